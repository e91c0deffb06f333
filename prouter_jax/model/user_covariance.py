"""Posterior covariance of one user's weights, which Thompson sampling draws from; equations in `posterior`."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from prouter_jax.compilation import jit_program
from prouter_jax.graph.history import batch_histories, informative_feedback, mask_feedback
from prouter_jax.model.latent_factors import with_shown_first
from prouter_jax.model.network import Architecture
from prouter_jax.model.one_user import OneHistory
from prouter_jax.model.posterior import linearised_covariance
from prouter_jax.model.unseen_histories import UnseenReader
from prouter_jax.model.unseen_queries import CHOICE_WEIGHT, moderate, thumb_kappa, weaken


def covariance_factor(
    reader: UnseenReader, history: OneHistory, state: Float[np.ndarray, " width"]
) -> Float[np.ndarray, "features features"]:
    """Returns a factor F of the posterior covariance F F' of a user's weights; of the prior's for an empty history.

    The answers to unseen queries are the expected ones: choices there count `CHOICE_WEIGHT` of a decision, thumbs and
    ratings are read as for the mode. A program is compiled for each size of a history.

    Args:
      reader: of the network.
      history: the user's decisions.
      state: of the user after these; its first columns are the weights.
    """
    unseen = np.zeros(len(history.answers), np.float32)
    unseen[history.at[history.at >= 0]] = 1.0
    arguments = (reader.params, reader.variance, state[: reader.size], history.answers, unseen, history.batch())
    return np.asarray(_factor(reader.network, reader.solution is not None, *arguments))


@functools.partial(jit_program, static_argnums=(0, 1))
def _factor(
    network: Architecture, by_share: bool, params: dict, variance, theta, answers, unseen, batch
) -> Float[Array, "features features"]:
    bound, histories = network.bind(params), batch_histories(batch)
    rounds = bound.rounds
    if rounds is None:
        raise ValueError("expected a network with Bayesian rounds, found none")
    population = bound.population(rounds)
    feedback = mask_feedback(histories.feedback, batch["shown"])
    feedback = informative_feedback(feedback, histories.llm, rounds.sizes.llms)
    feedback = weaken(feedback, unseen, variance, population)
    weight = 1 - (1 - CHOICE_WEIGHT) * unseen if by_share else jnp.ones_like(unseen)
    feedback = dataclasses.replace(feedback, target=feedback.target * weight[:, None])
    seen = with_shown_first(rounds.sizes.features, answers, feedback)
    utility, slopes = moderate(theta, seen, thumb_kappa(feedback, unseen, variance, population), population)
    return jnp.linalg.cholesky(linearised_covariance(utility, slopes, feedback, population))
