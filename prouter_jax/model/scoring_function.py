"""The logits of new queries as one function of arrays, for `jax.export`; equations in the modules that it is made of.

    share_predictor, query_kernel     choice probabilities on new queries
    mixed_choices                     those of similar users beside a user's own
    paper_network                     answers' states of preset "paper"

`Scorer` computes the same for many users and queries at a time, with what it has seen before. Here a user's
coefficients are computed anew for each row, by the matrix R that regresses any values on the known queries:

    p(new query)  =  m + k(new query) R (p(known queries) - m),   m the mean of p over the known queries
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.model.answer_features import COST
from prouter_jax.model.application import Application
from prouter_jax.model.likelihood import MIN_SHARE
from prouter_jax.model.network import Architecture
from prouter_jax.model.query_kernel import coefficients, predict_values

Arrays = Mapping[str, Any]
"""Arrays by name, nested."""


def scoring_arrays(applied: Application, temperature: float) -> Arrays:
    """Returns all arrays that `logits` needs, of a network in a world with prices as they are now.

    Args:
      temperature: factor on the logits that calibrates them.
    """
    encoded, scale = applied.encoded, applied.world.scale
    arrays: dict[str, Any] = {"sharpness": encoded.sharpness, "temperature": np.float32(temperature)}
    arrays["price"] = {"factor": applied.price_factor, "low": scale.low, "high": scale.high}
    if applied.kernel is not None and encoded.rounds is not None:
        arrays["kernel"], arrays["weights"] = applied.kernel, applied.weights
        arrays["means"], known = encoded.rounds.means, len(encoded.rounds.deviations)
        if applied.by_share:
            arrays["regression"] = coefficients(applied.kernel, np.eye(known, dtype=np.float32))
            answers, cost = (np.asarray(x)[: len(applied.unseen)] for x in (encoded.answers, encoded.cost))
            priced, _ = applied.priced(answers, cost, applied.world.interactions.queries.task)
            arrays["answers"] = priced[~applied.unseen]
    if encoded.messages is not None:
        arrays |= {"params": applied.params, "messages": encoded.messages, "mean_cost": encoded.mean_cost}
    if applied.similar is not None:
        mixer = applied.similar.mixer
        arrays["similar"] = {"mean": mixer.mean, "coefficients": mixer.coefficients}
    return jax.tree.map(lambda x: jnp.asarray(x, None if np.issubdtype(x.dtype, np.integer) else jnp.float32), arrays)


def logits(
    network: Architecture,
    arrays: Arrays,
    states: Float[Array, "rows width"],
    vectors: Float[Array, "rows vector"],
    style: Float[Array, "rows style"],
    task: Int[Array, " rows"],
) -> tuple[Float[Array, "rows llms"], Float[Array, "rows llms"]]:
    """Returns the calibrated logits of a choice, and the expected costs in USD, for pairs of a user and a new query.

    Args:
      arrays: from `scoring_arrays`.
      states: of the users.
      vectors, style, task: features of the queries, as in `QueryFeatures`.
    """
    places, nearness, parts = QueryFeatures(vectors, style, task), None, []
    if "kernel" in arrays:
        features, nearness = predict_values(arrays["kernel"], arrays["means"], arrays["weights"], places)
        parts.append(features)
    if "messages" in arrays:
        parts.append(_states_of_answers(network, arrays, places))
    answers = jnp.concatenate(parts, -1)
    scaled = answers[..., COST] if "kernel" in arrays else arrays["mean_cost"][task]
    scaled, cost = _priced(arrays["price"], scaled, task)
    if "kernel" in arrays:
        answers = answers.at[..., COST].set(scaled)
    own = arrays["sharpness"] * jnp.einsum("ra,rla->rl", states[:, : answers.shape[2]], answers)
    if nearness is not None and "regression" in arrays:
        own = jnp.log(jnp.maximum(_own_shares(arrays, states[:, : answers.shape[2]], nearness), MIN_SHARE))
    if nearness is not None and "similar" in arrays:
        own = _mixed(arrays["similar"], states[:, answers.shape[2] :], own, nearness)
    return arrays["temperature"] * own, cost


def _states_of_answers(network: Architecture, arrays: Arrays, places: QueryFeatures) -> jax.Array:
    layers, states = network.layers, arrays["messages"]
    if layers is None:
        raise ValueError("expected a network with layers, found none")
    vectors = jnp.pad(places.vectors, ((0, 0), (0, layers.width - places.vectors.shape[1])))
    return layers.bind(arrays["params"]).predict_answers(states.tasks, states.llms, vectors, jnp.asarray(places.task))


def _priced(price: Arrays, scaled: jax.Array, task: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Scaled costs and costs in USD at current prices, from scaled costs at those of training."""
    low, width = price["low"][task, None], (price["high"] - price["low"])[task, None]
    then = jnp.maximum(scaled * width + low, 0)
    now = then * price["factor"]
    changed = jnp.where(width > 0, (now - low) / jnp.where(width > 0, width, 1), 0)
    return jnp.where(price["factor"] == 1, scaled, changed), now


def _own_shares(arrays: Arrays, states: jax.Array, nearness: jax.Array) -> jax.Array:
    """Choice probabilities by the users' own weights, regressed from those on the known queries."""
    known = jax.nn.softmax(arrays["sharpness"] * jnp.einsum("rp,qlp->rql", states, arrays["answers"]), -1)
    mean = known.mean(1)
    return mean + jnp.einsum("rm,mq,rql->rl", nearness, arrays["regression"], known - mean[:, None])


def _mixed(similar: Arrays, columns: jax.Array, own: jax.Array, nearness: jax.Array) -> jax.Array:
    """Logits of the choice probabilities, mixed with those of similar users; `columns` as in `mixed_choices`."""
    weights, share, factor = columns[:, :-2], columns[:, -2, None], columns[:, -1, None]
    others = weights @ similar["mean"] + jnp.einsum("rm,rv,vml->rl", nearness, weights, similar["coefficients"])
    mixed = (1 - share) * jax.nn.softmax(own, -1) + share * others
    return factor * jnp.log(jnp.maximum(mixed, MIN_SHARE))
