"""Expectation maximisation (EM) as an optax transformation.

A round is

    E-step   posterior mode and covariance of every user's weights, from the visible history  (`model.posterior`)
    M-step   the Gaussian prior that all users share                                          (`model.prior`)
             the noise of ratings and the threshold of thumbs                                 (`model.scales`)
             one damped Newton step of the answers' latent factors                            (`model.latent_factors`)

The E-step stands where other methods compute a gradient. The transformation makes the M-step: its updates are the new
values minus the old ones. A step either takes all users of a graph and is a round, or a batch of users; then the
transformation's state is the sum of the batches' statistics, and the last step of a round has the M-step
(`minibatch_em`).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct

from prouter_jax.graph.history import Histories, read_histories, sum_over_users
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import Observed, observe
from prouter_jax.model.latent_factors import update_latent_factors
from prouter_jax.model.prior import m_step, prior_mean, recentre, second_moments
from prouter_jax.model.rounds import Rounds
from prouter_jax.model.scales import mean_losses, scale_statistics, update_scales
from prouter_jax.training import minibatch_em


@struct.dataclass
class Expectation:
    """The E-step over all users of a graph.

    Attributes:
      users: weights of the users, [users, features].
      covariance: their posterior covariance, [users, features, features].
      has_history: 1 for users with a visible decision, [users].
      scales: the `model.scales.SCALE_STATISTICS`.
    """

    users: jax.Array
    covariance: jax.Array
    has_history: jax.Array
    scales: dict[str, jax.Array]


def em(sizes: Rounds, steps_per_round: int) -> optax.GradientTransformationExtraArgs:
    """Makes the transformation whose updates are the M-step; it ignores gradients.

    Its update takes, besides the parameters, what `make_e_step` returned as `expected`, and `world`, `number` and
    `mesh` of the step.

    Args:
      steps_per_round: steps of a round of minibatch EM; 0 if a step takes all users.
    """

    def init(params: optax.Params):
        del params
        return minibatch_em.zero_statistics(sizes) if steps_per_round else optax.EmptyState()

    def update(updates, state, params, *, expected, world, number, mesh, **others):
        del others
        if steps_per_round:
            new, state = minibatch_em.update(sizes, steps_per_round, mesh, params, state, expected, number)
        else:
            new = maximise(sizes, params, world, expected, number)
        return {**updates, **{name: value - params[name] for name, value in new.items()}}, state

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def make_e_step(sizes: Rounds, steps_per_round: int, mesh: jax.sharding.Mesh) -> Callable:
    """Makes the E-step of a training step.

    Returns:
      A function (params, world, batch, step number) -> (expected, metrics), where `expected` is for the update of `em`.
    """
    if not steps_per_round:
        return lambda params, world, batch, number: expect(sizes, params, world, number)
    on_batch = minibatch_em.make_e_step(sizes, steps_per_round, mesh)

    def e_step(params, world, batch, number):
        return on_batch(params, world if isinstance(world, Observed) else observe(world), batch, number)

    return e_step


def expect(
    sizes: Rounds, params: dict, graph: RouterGraph, number: jax.Array
) -> tuple[Expectation, dict[str, jax.Array]]:
    """The E-step over all users of a graph: one Newton step from their weights of the round before.

    Args:
      number: number of the round, from 0.

    Returns:
      The expectation, and the mean losses of the visible feedback under the parameters.
    """
    rounds, histories = sizes.bind(params), read_histories(graph)
    visible = graph.visibility.decisions * _has_decision(graph, histories)
    answers = rounds.answers(graph, rounds.active_factors(number))
    start = jnp.pad(params["users"], ((0, graph.layout.users - sizes.users), (0, 0)))
    users, covariance, losses = rounds.e_step(graph, histories, answers, start, 1)
    has_history = (visible.sum(1) > 0).astype(jnp.float32)
    return Expectation(users, covariance, has_history, scale_statistics(losses)), mean_losses(losses)


def maximise(
    sizes: Rounds, params: dict, graph: RouterGraph, expected: Expectation, number: jax.Array
) -> dict[str, jax.Array]:
    """The M-step over all users of a graph.

    Args:
      number: number of the round, from 0.

    Returns:
      The new values of parameters.
    """
    features, histories, old_mean = sizes.features, read_histories(graph), params["population_mean"]
    moments = second_moments(features, expected.users, expected.covariance, expected.has_history, old_mean)
    shift, precision = m_step(features, moments, sizes.prior_strength)
    users = recentre(features, expected.users, shift)
    new = {
        **update_scales(params, expected.scales),
        "population_mean": old_mean + shift,
        "precision": precision,
        "users": users[: sizes.users],
        "has_history": expected.has_history[: sizes.users],
        "llm_offers": _count_offers(graph, histories, sizes.llms),
    }
    if features.latent_factors:
        new["latent_factors"] = _moved_factors(sizes, params, new, graph, users, number)
    return new


def _moved_factors(
    sizes: Rounds, params: dict, new: dict, graph: RouterGraph, users: jax.Array, number: jax.Array
) -> jax.Array:
    """The latent factors after the Newton step at the users' new weights; unchanged during the warm-up."""
    rounds, features, population_mean = sizes.bind(params), sizes.features, new["population_mean"]
    answers = sizes.bind({**params, **new}).answers(graph, rounds.active_factors(number))
    states = (users, answers, params["latent_factors"])
    population = dataclasses.replace(rounds.population(), mean=prior_mean(features, population_mean))
    updated = update_latent_factors(
        graph, read_histories(graph), features, population, states, population_mean, sizes.factor_precision
    )
    return jnp.where(number < sizes.warmup_rounds, params["latent_factors"], updated)


def _has_decision(graph: RouterGraph, histories: Histories) -> jax.Array:
    """1 where a user has a decision, 0 for padding; [users, decisions]."""
    offered = histories.feedback.offered
    return jnp.moveaxis(offered.max(1), -1, 0) if graph.layout.shared_queries else offered.max(-1)


def _count_offers(graph: RouterGraph, histories: Histories, num_llms: int) -> jax.Array:
    """In how many visible decisions each LLM is a candidate, [llms]."""

    def with_shared_queries(feedback, query, llm, visible):
        del query, llm
        return (feedback.offered * visible[:, None]).sum((0, 2))

    def with_own_queries(feedback, query, llm, visible):
        del query
        return jax.ops.segment_sum((feedback.offered * visible[..., None]).reshape(-1), llm.reshape(-1), num_llms)

    function = with_shared_queries if graph.layout.shared_queries else with_own_queries
    return sum_over_users(graph, function, histories, graph.visibility.decisions)
