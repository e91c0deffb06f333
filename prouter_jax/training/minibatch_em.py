"""Minibatch EM: a round of `em` in steps over batches of users, for any number of users.

A step infers the weights of a batch's users from their histories alone (E-step) and adds their statistics to
`SufficientStatistics`. The last step of a round updates the parameters (M-step). Memory does not depend on the number
of users, and a user may be in several batches of a round.

Devices divide the users of a batch. Where there are many queries they also divide the table of answers by queries: each
device holds the statistics and updates the latent factors of its part. A step has two collectives: the features of all
answers are gathered for the E-step, the statistics are summed after it. Where the whole table would fill the memory,
nothing is whole on a device: what some users ask of the table, and what they add to it, passes all devices in a ring.
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

from prouter_jax.config import USERS_AT_ONCE
from prouter_jax.graph.history import HistoryFeedback, batch_histories, fold_over_users, mask_feedback
from prouter_jax.model.latent_factors import llm_mean_factors, loadings, newton_update, with_shown_first
from prouter_jax.model.likelihood import Population, negative_log_likelihood, residuals, utilities
from prouter_jax.model.posterior import posterior_covariance, posterior_mode
from prouter_jax.model.prior import SecondMoments, m_step, second_moments
from prouter_jax.model.rounds import Rounds
from prouter_jax.model.scales import SCALE_STATISTICS, mean_losses, scale_statistics, update_scales
from prouter_jax.sharding import EVERY, spec_of

_NEWTON_STEPS = 6  # from the prior mean to a user's posterior mode
_MOST_USERS_ADDED = 2048  # added to the answers' statistics: fewer update the table too often, more fill the memory
_MOST_GATHERED = 2**30  # bytes of a table of answers that a device holds whole
_ANSWERS_AT_ONCE = 2**15  # whose factors are updated: a TPU pads the 9 x 9 matrix of each answer to 8 KiB


@struct.dataclass
class SufficientStatistics:
    """Sums over the users of the round so far.

    Attributes:
      moments: of the users' weights, for the prior.
      messages: gradient and upper triangle of the curvature of the log-likelihood in each answer's latent factors,
        [queries, llms, factors + factors (factors + 1) / 2].
      offers: in how many decisions each LLM was a candidate, [llms].
      scales: the `model.scales.SCALE_STATISTICS`.
    """

    moments: SecondMoments
    messages: jax.Array
    offers: jax.Array
    scales: dict[str, jax.Array]


def zero_statistics(sizes: Rounds) -> SufficientStatistics:
    """Returns the statistics of no users, the state at the start of a round."""
    size, factors = sizes.features.size, sizes.features.latent_factors
    zero = jnp.zeros(())
    return SufficientStatistics(
        moments=SecondMoments(zero, jnp.zeros(size), jnp.zeros((size, size))),
        messages=jnp.zeros((sizes.queries, sizes.llms, factors + factors * (factors + 1) // 2)),
        offers=jnp.zeros(sizes.llms),
        scales=dict.fromkeys(SCALE_STATISTICS, zero),
    )


def make_e_step(sizes: Rounds, steps_per_round: int, mesh: jax.sharding.Mesh) -> Callable:
    """Makes the E-step on a batch of users.

    Returns:
      A function (params, observed, batch, step number) -> ((statistics, users' parameters), metrics), where `observed`
      is the `model.answer_features.Observed` of the graph.
    """
    answers_spec = _answers_spec(sizes, mesh)
    in_ring = answers_spec != P() and _table_bytes(sizes) > _MOST_GATHERED

    def on_device(population, population_mean, answers, batch):
        ring = mesh.size if in_ring else 1
        statistics, users, losses = batch_statistics(sizes, population, population_mean, answers, batch, ring)
        (moments, offers, scales), losses = jax.lax.psum(
            ((statistics.moments, statistics.offers, statistics.scales), losses), EVERY
        )
        messages = statistics.messages
        if answers_spec == P():
            messages = jax.lax.psum(messages, EVERY)
        elif not in_ring:
            messages = jax.lax.psum_scatter(messages, EVERY, tiled=True)
        return SufficientStatistics(moments, messages, offers, scales), users, losses

    statistics_specs = SufficientStatistics(P(), answers_spec, P(), P())  # pyright: ignore[reportArgumentType]
    on_devices = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(P(), P(), answers_spec if in_ring else P(), P(EVERY)),
        out_specs=(statistics_specs, P(EVERY), P()),
        check_vma=False,
    )

    def e_step(params, observed, batch, number):
        rounds = sizes.bind(params)
        answers = rounds.features_of(observed, rounds.active_factors(number // steps_per_round))
        answers = jax.lax.with_sharding_constraint(answers, NamedSharding(mesh, answers_spec))
        added, users, losses = on_devices(rounds.population(), params["population_mean"], answers, batch)
        kept = {name: rows[: sizes.users] for name, rows in users.items()}
        return (added, kept), mean_losses(losses)

    return e_step


def update(
    sizes: Rounds,
    steps_per_round: int,
    mesh: jax.sharding.Mesh,
    params: dict,
    statistics: SufficientStatistics,
    expected: tuple[SufficientStatistics, dict[str, jax.Array]],
    number: jax.Array,
) -> tuple[dict, SufficientStatistics]:
    """Adds the statistics of a batch; the last step of a round has the M-step, and its statistics are zero again.

    Args:
      statistics: of the round so far.
      expected: of the batch, see `make_e_step`.
      number: number of the step.

    Returns:
      The parameters after the step, and the statistics.
    """
    added, kept = expected
    own = {name: params[name] for name in sizes.kinds()}
    statistics = jax.tree.map(jnp.add, statistics, added)
    new, statistics = jax.lax.cond(
        number % steps_per_round == steps_per_round - 1,
        lambda: (update_params(sizes, own, statistics, number // steps_per_round, mesh), zero_statistics(sizes)),
        lambda: (own, statistics),
    )
    return {**new, **kept}, statistics


def batch_statistics(
    sizes: Rounds,
    population: Population,
    population_mean: Float[Array, " features"],
    answers: Float[Array, "queries llms features"],
    batch: dict[str, jax.Array],
    ring: int = 1,
) -> tuple[SufficientStatistics, dict[str, jax.Array], dict[str, jax.Array]]:
    """Infers the weights of a batch's users and sums their statistics.

    Args:
      population_mean: mean weights of the population.
      answers: features of the answers, or this device's part of them.
      batch: rows of users, see `data.batches.Batches.rows`.
      ring: number of devices that hold a part of the answers each, and so of the messages.

    Returns:
      The statistics; the parameters "users" and "has_history" of the batch's users; the sums over users of
      `likelihood.negative_log_likelihood`.
    """
    features, table = sizes.features, answers.reshape(-1, answers.shape[-1])

    def on_chunk(total, feedback: HistoryFeedback, query, llm, visible):
        feedback = jax.vmap(mask_feedback)(feedback, visible)
        candidates = with_shown_first(features, _look_up(table, query[..., None] * sizes.llms + llm, ring), feedback)
        inferred = jax.vmap(_infer_user, (0, 0, None))(candidates, feedback, population)
        theta, covariance, losses, residual, curvature = inferred
        has_history = (feedback.offered.sum((1, 2)) > 0).astype(jnp.float32)
        moments = second_moments(features, theta, covariance, has_history, population_mean)
        offers = jax.ops.segment_sum(feedback.offered.reshape(-1), llm.reshape(-1), sizes.llms)
        total = jax.tree.map(jnp.add, total, (moments, offers))
        return total, (theta, has_history, losses, residual, curvature)

    histories, start = batch_histories(batch), zero_statistics(sizes)
    (moments, offers), by_user = fold_over_users(on_chunk, (start.moments, start.offers), histories, batch["shown"])
    theta, has_history, losses, residual, curvature = by_user
    row = batch["query"][..., None] * sizes.llms + batch["llm"]
    loading = loadings(features, theta, population_mean)
    messages = _sum_messages(len(answers), sizes, (loading, residual, curvature, row), ring)
    statistics = SufficientStatistics(moments, messages, offers, scale_statistics(losses))
    return statistics, {"users": theta, "has_history": has_history}, jax.tree.map(jnp.sum, losses)


def update_params(
    sizes: Rounds,
    params: dict,
    statistics: SufficientStatistics,
    round_number: jax.Array,
    mesh: jax.sharding.Mesh,
) -> dict:
    """Returns the parameters after a round (M-step); each device updates the latent factors of its queries."""
    shift, precision = m_step(sizes.features, statistics.moments, sizes.prior_strength)
    new = {
        **params,
        **update_scales(params, statistics.scales),
        "population_mean": params["population_mean"] + shift,
        "precision": precision,
        "llm_offers": statistics.offers,
    }
    size = sizes.features.latent_factors
    if size:
        factors, spec = sizes.bind(params).active_factors(round_number), _answers_spec(sizes, mesh)
        diagonal = size + np.flatnonzero(np.equal(*np.triu_indices(size)))
        mean = llm_mean_factors(factors, statistics.messages[..., diagonal].sum(-1))
        updated = jax.shard_map(
            lambda *arrays: _update_factors(sizes, *arrays), mesh=mesh, in_specs=(spec, spec, P()), out_specs=spec
        )(factors, statistics.messages, mean)
        new["latent_factors"] = jnp.where(round_number < sizes.warmup_rounds, params["latent_factors"], updated)
    return new


def _answers_spec(sizes: Rounds, mesh: jax.sharding.Mesh) -> P:
    """The partition spec of arrays [queries, llms, ...]."""
    return spec_of("answers", (sizes.queries, sizes.llms, 1), mesh)


def _table_bytes(sizes: Rounds) -> int:
    """Bytes of the features of all answers and of their statistics."""
    factors = sizes.features.latent_factors
    width = sizes.features.size + factors + factors * (factors + 1) // 2
    return 4 * sizes.queries * sizes.llms * width


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


def _sum_messages(queries: int, sizes: Rounds, parts: tuple[jax.Array, ...], ring: int) -> jax.Array:
    """`SufficientStatistics.messages` of this device's queries, added up for some users at a time.

    Args:
      queries: their number.
      parts: derivative of a user's utilities in the latent factors, [users, factors]; residual and curvature of the
        utilities, [users, decisions, candidates]; rows of the answers, query * llms + LLM, the same shape.
      ring: as in `batch_statistics`.
    """
    users, size = len(parts[0]), sizes.features.latent_factors
    most = _MOST_USERS_ADDED if ring == 1 else USERS_AT_ONCE
    at_once = users if users <= most else math.gcd(users, most)
    upper = np.triu_indices(size)
    chunks = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), parts)

    def add(total, chunk):
        loading, residual, curvature, row = chunk
        pairs = loading[:, upper[0]] * loading[:, upper[1]]
        sums = [x[..., None] * y[:, None, None, :] for x, y in ((residual, loading), (curvature, pairs))]
        at = _place_here(row, len(total), ring).reshape(-1)
        return total.at[at].add(jnp.concatenate(sums, -1).reshape(row.size, -1), mode="drop"), chunk

    zeros = jnp.zeros((queries * sizes.llms, size + len(upper[0])))
    total = jax.lax.scan(lambda total, chunk: (_pass_around(ring, add, total, chunk)[0], None), zeros, chunks)[0]
    return total.reshape(queries, sizes.llms, -1)


def _look_up(table: jax.Array, row: jax.Array, ring: int) -> jax.Array:
    """The given rows of a table that the devices of a ring hold in parts."""
    if ring == 1:
        return table[row]

    def add(_, asked):
        row, found = asked
        at = _place_here(row, len(table), ring)
        return None, (row, jnp.where((at < len(table))[..., None], table[at], found))

    return _pass_around(ring, add, None, (row, jnp.zeros((*row.shape, table.shape[-1]))))[1][1]


def _place_here(row: jax.Array, rows: int, ring: int) -> jax.Array:
    """Places of rows of a table in the part of this device, which has so many; that number for rows elsewhere."""
    if ring == 1:
        return row
    at = row - rows * jax.lax.axis_index(EVERY)
    return jnp.where(at < 0, rows, jnp.minimum(at, rows))


def _pass_around(ring: int, function: Callable, kept, passed):
    """Calls `function(kept, passed) -> (kept, passed)` on every device with what each has to pass, and returns both.

    Every device keeps `kept`; `passed` ends where it began.
    """
    if ring == 1:
        return function(kept, passed)
    neighbours = [(device, (device + 1) % ring) for device in range(ring)]

    def step(_, carry):
        kept, passed = function(*carry)
        return kept, jax.lax.ppermute(passed, EVERY, neighbours)

    return jax.lax.fori_loop(0, ring, step, (kept, passed))


def _update_factors(sizes: Rounds, latent_factors: jax.Array, messages: jax.Array, mean: jax.Array) -> jax.Array:
    """The latent factors after the Newton step of the summed messages, for some queries at a time."""
    queries, llms, size = latent_factors.shape
    rows, columns = np.triu_indices(size)

    def on_chunk(chunk):
        factors, messages = chunk
        gradient, triangle = messages[..., :size], messages[..., size:]
        curvature = jnp.zeros((*factors.shape, size))
        curvature = curvature.at[..., rows, columns].set(triangle).at[..., columns, rows].set(triangle)
        return newton_update(factors, gradient, curvature, mean, sizes.factor_precision)

    chunks = next(n for n in range(1, queries + 1) if queries % n == 0 and queries // n * llms <= _ANSWERS_AT_ONCE)
    if chunks == 1:
        return on_chunk((latent_factors, messages))
    parts = jax.tree.map(lambda x: x.reshape(chunks, -1, *x.shape[1:]), (latent_factors, messages))
    return jax.lax.map(on_chunk, parts).reshape(latent_factors.shape)
