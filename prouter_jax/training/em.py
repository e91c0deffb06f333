"""A round of messages a few users at a time: what `inference.BayesNetwork.round` does, for any number of users.

A round is some steps. Each reads the users of a batch from their histories alone, as strangers are read, and adds what
they say to `Sums`; the last one moves the population and the tastes. Nothing is kept of a user, so memory does not
depend on their number, and it does not matter how often anybody is met.

Each device reads users of its own. Where there are many queries, each also has a part of them: it keeps and moves
the tastes of their answers, and knows their properties, which all devices see for as long as they read. They meet
twice a step, then and in the sums.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from prouter_jax.graph.history import HistoryFeedback, batch_histories, fold_over_users, only
from prouter_jax.model.latent_factors import loadings, stepped, usual, with_sides
from prouter_jax.model.network import SUMS, EmNetwork, metrics_of, scales, sums_of
from prouter_jax.model.posterior import (
    Population,
    negative_log_likelihood,
    posterior_covariance,
    posterior_mode,
    residuals,
    utilities,
)
from prouter_jax.model.prior import SecondMoments, m_step, second_moments
from prouter_jax.sharding import DATA, spec_of

_READING_STEPS = 6  # Newton steps from the prior
_ADDED_AT_ONCE = 2048  # users, to the answers: fewer would touch the sums too often, more would fill the memory


@struct.dataclass
class SufficientStatistics:
    """Messages of the round so far.

    Attributes:
      messages: to each answer, a push on its tastes and the upper triangle of their curvature, [queries, llms, n].
      met: in how many decisions each LLM was on offer, [llms].
      told: see `inference.sums_of`.
    """

    spread: SecondMoments
    messages: jax.Array
    offers: jax.Array
    told: dict[str, jax.Array]


def zero_statistics(network: EmNetwork) -> SufficientStatistics:
    """Before the first message."""
    size, latent_factors = network.columns.size, network.columns.latent_factors
    zero = jnp.zeros(())
    return SufficientStatistics(
        spread=SecondMoments(zero, jnp.zeros(size), jnp.zeros((size, size))),
        messages=jnp.zeros(
            (network.queries, network.llms, latent_factors + latent_factors * (latent_factors + 1) // 2)
        ),
        offers=jnp.zeros(network.llms),
        told=dict.fromkeys(SUMS, zero),
    )


def make_step(network: EmNetwork, steps_per_round: int, mesh: jax.sharding.Mesh) -> Callable:
    """A function (params, sums, observed, batch, number of the step) -> (params, sums, metrics), to be compiled."""
    parts = _by_queries(network, mesh)

    def of_device(population, population_mean, answers, batch):
        sums, kept, misfits = messages(network, population, population_mean, answers, batch)
        (spread, offers, told), misfits = jax.lax.psum(((sums.spread, sums.offers, sums.told), misfits), DATA)
        if parts == P():
            by_answer = jax.lax.psum(sums.messages, DATA)
        else:
            by_answer = jax.lax.psum_scatter(sums.messages, DATA, tiled=True)
        return SufficientStatistics(spread, by_answer, offers, told), kept, misfits

    places = SufficientStatistics(P(), parts, P(), P())  # pyright: ignore[reportArgumentType]
    of_devices = jax.shard_map(
        of_device, mesh=mesh, in_specs=(P(), P(), P(), P(DATA)), out_specs=(places, P(DATA), P()), check_vma=False
    )

    def step(params, sums, observed, batch, number):
        number, place = number // steps_per_round, number % steps_per_round
        answers = network.properties(params, observed, _active_factors(network, params, number))
        answers = jax.lax.with_sharding_constraint(answers, NamedSharding(mesh, parts))
        told, kept, misfits = of_devices(network.population(params), params["population_mean"], answers, batch)
        sums = jax.tree.map(jnp.add, sums, told)
        params, sums = jax.lax.cond(
            place == steps_per_round - 1,
            lambda: (move(network, params, sums, number, mesh), zero_statistics(network)),
            lambda: (params, sums),
        )
        return {**params, **{name: rows[: network.users] for name, rows in kept.items()}}, sums, metrics_of(misfits)

    return step


def messages(
    network: EmNetwork,
    population: Population,
    population_mean: jax.Array,
    answers: jax.Array,
    batch: dict[str, jax.Array],
) -> tuple[SufficientStatistics, dict[str, jax.Array], dict[str, jax.Array]]:
    """What the users of a batch say.

    Args:
      crowd: what everybody weighs each property with; answers: properties [queries, llms, properties].

    Returns:
      statistics; the users' states as parameters "users" and "has_history"; the sums of the users'
      `posterior.negative_log_likelihood`.
    """
    table = answers.reshape(-1, answers.shape[-1])

    def of_chunk(total, feedback: HistoryFeedback, query, llm, visible):
        feedback = jax.vmap(only)(feedback, visible)
        mine = with_sides(network.columns, table[query[..., None] * network.llms + llm], feedback)
        theta, unknown, misfits, residual, weight = jax.vmap(_read, (0, 0, None))(mine, feedback, population)
        known = (feedback.offered.sum((1, 2)) > 0).astype(jnp.float32)
        spread = second_moments(network.columns, theta, unknown, known, population_mean)
        offers = jax.ops.segment_sum(feedback.offered.reshape(-1), llm.reshape(-1), network.llms)
        return jax.tree.map(jnp.add, total, (spread, offers)), (theta, known, misfits, residual, weight)

    histories, start = batch_histories(batch), zero_statistics(network)
    (spread, offers), kept = fold_over_users(of_chunk, (start.spread, start.offers), histories, batch["shown"])
    theta, known, misfits, residual, weight = kept
    place = batch["query"][..., None] * network.llms + batch["llm"]
    by_answer = _messages_to_answers(
        network, loadings(network.columns, theta, population_mean), residual, weight, place
    )
    sums = SufficientStatistics(spread, by_answer, offers, sums_of(misfits))
    return sums, {"users": theta, "has_history": known}, jax.tree.map(jnp.sum, misfits)


def move(
    network: EmNetwork, params: dict, sums: SufficientStatistics, number: jax.Array, mesh: jax.sharding.Mesh
) -> dict:
    """The parameters after round `number`; each device of the mesh moves the tastes that it keeps."""
    shift, precision = m_step(network.columns, sums.spread, network.prior_strength)
    new = {
        **params,
        **scales(params, sums.told),
        "population_mean": params["population_mean"] + shift,
        "precision": precision,
    }
    new["llm_offers"] = sums.offers
    if network.columns.latent_factors:
        latent_factors, parts = _active_factors(network, params, number), _by_queries(network, mesh)
        diagonal = network.columns.latent_factors + np.flatnonzero(
            np.equal(*np.triu_indices(network.columns.latent_factors))
        )
        mean = usual(latent_factors, sums.messages[..., diagonal].sum(-1))
        moved = jax.shard_map(
            lambda *state: _moved(network, *state), mesh=mesh, in_specs=(parts, parts, P()), out_specs=parts
        )(latent_factors, sums.messages, mean)
        new["latent_factors"] = jnp.where(number < network.warmup_rounds, params["latent_factors"], moved)
    return new


def _by_queries(network: EmNetwork, mesh: jax.sharding.Mesh) -> P:
    """How arrays [queries, llms, ...] are divided among the devices: whole on each where there are few queries."""
    return spec_of("answers", (network.queries, network.llms, 1), mesh)


def _active_factors(network: EmNetwork, params: dict, number: jax.Array) -> jax.Array:
    return jnp.where(number < network.warmup_rounds, 0.0, params["latent_factors"])


def _read(answers: jax.Array, feedback: HistoryFeedback, population: Population):
    """theta of one user, what is not known of it, how it tells what was said, surprise and curvature of utilities."""
    theta = posterior_mode(population.mean, answers, feedback, population, _READING_STEPS)
    utility = utilities(theta, answers)
    return (
        theta,
        posterior_covariance(theta, answers, feedback, population),
        negative_log_likelihood(utility, feedback, population),
        *residuals(utility, feedback, population),
    )


def _messages_to_answers(
    network: EmNetwork, by_factors: jax.Array, residual: jax.Array, weight: jax.Array, place: jax.Array
) -> jax.Array:
    """`Sums.messages`, some users after the other.

    Args:
      by_tastes: loadings, [users, tastes]; surprise, weight: of utilities, [users, decisions, candidates].
      place: rows of the answers, the same shape.
    """
    users, start = len(place), zero_statistics(network).messages
    at_once = users if users <= _ADDED_AT_ONCE else math.gcd(users, _ADDED_AT_ONCE)
    rows, columns = np.triu_indices(network.columns.latent_factors)
    parts = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), (by_factors, residual, weight, place))

    def add(total, part):
        by_factors, residual, weight, place = part
        pairs = by_factors[:, rows] * by_factors[:, columns]
        each = [x[..., None] * y[:, None, None, :] for x, y in ((residual, by_factors), (weight, pairs))]
        return total.at[place.reshape(-1)].add(jnp.concatenate(each, -1).reshape(place.size, -1)), None

    return jax.lax.scan(add, start.reshape(-1, start.shape[-1]), parts)[0].reshape(start.shape)


def _moved(network: EmNetwork, latent_factors: jax.Array, told: jax.Array, mean: jax.Array) -> jax.Array:
    """Tastes after a step, from `Sums.messages`."""
    size = network.columns.latent_factors
    rows, columns = np.triu_indices(size)
    curvature = jnp.zeros((*latent_factors.shape, size))
    curvature = curvature.at[..., rows, columns].set(told[..., size:]).at[..., columns, rows].set(told[..., size:])
    return stepped(latent_factors, told[..., :size], curvature, mean, network.factor_precision)
