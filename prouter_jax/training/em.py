"""Minibatch EM: a round of `EmNetwork.round` in steps over batches of users, for any number of users.

A step infers the weights of a batch's users from their histories alone (E-step) and adds their statistics to
`SufficientStatistics`. The last step of a round updates the parameters (M-step). Memory does not depend on the number
of users, and a user may be in several batches of a round.

Devices divide the users of a batch. Where there are many queries they also divide the table of answers by queries: each
device holds the statistics and updates the latent factors of its part. A step has two collectives: the features of all
answers are gathered for the E-step, the statistics are summed after it.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from prouter_jax.graph.history import HistoryFeedback, batch_histories, fold_over_users, mask_feedback
from prouter_jax.model.latent_factors import llm_mean_factors, loadings, newton_update, with_shown_first
from prouter_jax.model.likelihood import Population, negative_log_likelihood, residuals, utilities
from prouter_jax.model.network import (
    SCALE_STATISTICS,
    EmNetwork,
    mean_losses,
    scale_statistics,
    update_scales,
)
from prouter_jax.model.posterior import posterior_covariance, posterior_mode
from prouter_jax.model.prior import SecondMoments, m_step, second_moments
from prouter_jax.sharding import DATA, spec_of

_NEWTON_STEPS = 6  # from the prior mean to a user's posterior mode
_USERS_AT_ONCE = 2048  # added to the answers' statistics: fewer update the table too often, more fill the memory


@struct.dataclass
class SufficientStatistics:
    """Sums over the users of the round so far.

    Attributes:
      moments: of the users' weights, for the prior.
      messages: gradient and upper triangle of the curvature of the log-likelihood in each answer's latent factors,
        [queries, llms, factors + factors (factors + 1) / 2].
      offers: in how many decisions each LLM was a candidate, [llms].
      scales: the `model.network.SCALE_STATISTICS`.
    """

    moments: SecondMoments
    messages: jax.Array
    offers: jax.Array
    scales: dict[str, jax.Array]


def zero_statistics(network: EmNetwork) -> SufficientStatistics:
    """Returns the statistics of no users, the state at the start of a round."""
    size, factors = network.features.size, network.features.latent_factors
    zero = jnp.zeros(())
    return SufficientStatistics(
        moments=SecondMoments(zero, jnp.zeros(size), jnp.zeros((size, size))),
        messages=jnp.zeros((network.queries, network.llms, factors + factors * (factors + 1) // 2)),
        offers=jnp.zeros(network.llms),
        scales=dict.fromkeys(SCALE_STATISTICS, zero),
    )


def make_step(network: EmNetwork, steps_per_round: int, mesh: jax.sharding.Mesh) -> Callable:
    """Makes the step function, to be compiled.

    Returns:
      A function (params, statistics, observed, batch, step number) -> (params, statistics, metrics), where `observed`
      is the `model.answer_features.Observed` of the graph.
    """
    answers_spec = _answers_spec(network, mesh)

    def on_device(population, population_mean, answers, batch):
        statistics, users, losses = batch_statistics(network, population, population_mean, answers, batch)
        (moments, offers, scales), losses = jax.lax.psum(
            ((statistics.moments, statistics.offers, statistics.scales), losses), DATA
        )
        if answers_spec == P():
            messages = jax.lax.psum(statistics.messages, DATA)
        else:
            messages = jax.lax.psum_scatter(statistics.messages, DATA, tiled=True)
        return SufficientStatistics(moments, messages, offers, scales), users, losses

    statistics_specs = SufficientStatistics(P(), answers_spec, P(), P())  # pyright: ignore[reportArgumentType]
    on_devices = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(P(), P(), P(), P(DATA)),
        out_specs=(statistics_specs, P(DATA), P()),
        check_vma=False,
    )

    def step(params, statistics, observed, batch, step_number):
        round_number, step_of_round = step_number // steps_per_round, step_number % steps_per_round
        answers = network.features_of(params, observed, network.active_factors(params, round_number))
        answers = jax.lax.with_sharding_constraint(answers, NamedSharding(mesh, answers_spec))
        added, users, losses = on_devices(network.population(params), params["population_mean"], answers, batch)
        statistics = jax.tree.map(jnp.add, statistics, added)
        params, statistics = jax.lax.cond(
            step_of_round == steps_per_round - 1,
            lambda: (update_params(network, params, statistics, round_number, mesh), zero_statistics(network)),
            lambda: (params, statistics),
        )
        kept = {name: rows[: network.users] for name, rows in users.items()}
        return {**params, **kept}, statistics, mean_losses(losses)

    return step


def batch_statistics(
    network: EmNetwork,
    population: Population,
    population_mean: Float[Array, " features"],
    answers: Float[Array, "queries llms features"],
    batch: dict[str, jax.Array],
) -> tuple[SufficientStatistics, dict[str, jax.Array], dict[str, jax.Array]]:
    """Infers the weights of a batch's users and sums their statistics.

    Args:
      population_mean: mean weights of the population.
      answers: features of the answers.
      batch: rows of users, see `data.batches.Batches.rows`.

    Returns:
      The statistics; the parameters "users" and "has_history" of the batch's users; the sums over users of
      `likelihood.negative_log_likelihood`.
    """
    features, table = network.features, answers.reshape(-1, answers.shape[-1])

    def on_chunk(total, feedback: HistoryFeedback, query, llm, visible):
        feedback = jax.vmap(mask_feedback)(feedback, visible)
        candidates = with_shown_first(features, table[query[..., None] * network.llms + llm], feedback)
        inferred = jax.vmap(_infer_user, (0, 0, None))(candidates, feedback, population)
        theta, covariance, losses, residual, curvature = inferred
        has_history = (feedback.offered.sum((1, 2)) > 0).astype(jnp.float32)
        moments = second_moments(features, theta, covariance, has_history, population_mean)
        offers = jax.ops.segment_sum(feedback.offered.reshape(-1), llm.reshape(-1), network.llms)
        total = jax.tree.map(jnp.add, total, (moments, offers))
        return total, (theta, has_history, losses, residual, curvature)

    histories, start = batch_histories(batch), zero_statistics(network)
    (moments, offers), by_user = fold_over_users(on_chunk, (start.moments, start.offers), histories, batch["shown"])
    theta, has_history, losses, residual, curvature = by_user
    row = batch["query"][..., None] * network.llms + batch["llm"]
    messages = _sum_messages(network, loadings(features, theta, population_mean), residual, curvature, row)
    statistics = SufficientStatistics(moments, messages, offers, scale_statistics(losses))
    return statistics, {"users": theta, "has_history": has_history}, jax.tree.map(jnp.sum, losses)


def update_params(
    network: EmNetwork,
    params: dict,
    statistics: SufficientStatistics,
    round_number: jax.Array,
    mesh: jax.sharding.Mesh,
) -> dict:
    """Returns the parameters after a round (M-step); each device updates the latent factors of its queries."""
    shift, precision = m_step(network.features, statistics.moments, network.prior_strength)
    new = {
        **params,
        **update_scales(params, statistics.scales),
        "population_mean": params["population_mean"] + shift,
        "precision": precision,
        "llm_offers": statistics.offers,
    }
    size = network.features.latent_factors
    if size:
        factors, spec = network.active_factors(params, round_number), _answers_spec(network, mesh)
        diagonal = size + np.flatnonzero(np.equal(*np.triu_indices(size)))
        mean = llm_mean_factors(factors, statistics.messages[..., diagonal].sum(-1))
        updated = jax.shard_map(
            lambda *arrays: _update_factors(network, *arrays), mesh=mesh, in_specs=(spec, spec, P()), out_specs=spec
        )(factors, statistics.messages, mean)
        new["latent_factors"] = jnp.where(round_number < network.warmup_rounds, params["latent_factors"], updated)
    return new


def _answers_spec(network: EmNetwork, mesh: jax.sharding.Mesh) -> P:
    """The partition spec of arrays [queries, llms, ...]."""
    return spec_of("answers", (network.queries, network.llms, 1), mesh)


def _infer_user(answers: jax.Array, feedback: HistoryFeedback, population: Population):
    """Posterior mode, posterior covariance and losses of one user; gradient and curvature in the utilities."""
    theta = posterior_mode(population.mean, answers, feedback, population, _NEWTON_STEPS)
    utility = utilities(theta, answers)
    return (
        theta,
        posterior_covariance(theta, answers, feedback, population),
        negative_log_likelihood(utility, feedback, population),
        *residuals(utility, feedback, population),
    )


def _sum_messages(
    network: EmNetwork, loading: jax.Array, residual: jax.Array, curvature: jax.Array, row: jax.Array
) -> jax.Array:
    """`SufficientStatistics.messages`, added up for some users at a time.

    Args:
      loading: derivative of a user's utilities in the latent factors, [users, factors].
      residual, curvature: of the utilities, [users, decisions, candidates].
      row: rows of the answers, query * llms + LLM, the same shape.
    """
    users, zeros = len(row), zero_statistics(network).messages
    at_once = users if users <= _USERS_AT_ONCE else math.gcd(users, _USERS_AT_ONCE)
    upper = np.triu_indices(network.features.latent_factors)
    chunks = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), (loading, residual, curvature, row))

    def add(total, chunk):
        loading, residual, curvature, row = chunk
        pairs = loading[:, upper[0]] * loading[:, upper[1]]
        parts = [x[..., None] * y[:, None, None, :] for x, y in ((residual, loading), (curvature, pairs))]
        return total.at[row.reshape(-1)].add(jnp.concatenate(parts, -1).reshape(row.size, -1)), None

    return jax.lax.scan(add, zeros.reshape(-1, zeros.shape[-1]), chunks)[0].reshape(zeros.shape)


def _update_factors(network: EmNetwork, latent_factors: jax.Array, messages: jax.Array, mean: jax.Array) -> jax.Array:
    """The latent factors after the Newton step of the summed messages."""
    size = network.features.latent_factors
    rows, columns = np.triu_indices(size)
    gradient, triangle = messages[..., :size], messages[..., size:]
    curvature = jnp.zeros((*latent_factors.shape, size))
    curvature = curvature.at[..., rows, columns].set(triangle).at[..., columns, rows].set(triangle)
    return newton_update(latent_factors, gradient, curvature, mean, network.factor_precision)
