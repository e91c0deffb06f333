"""A round of messages a few users at a time: what `inference.BayesNetwork.round` does, for any number of users.

A round is some steps. Each reads the users of a batch from their histories alone, as strangers are read, and adds what
they say to `Sums`; the last one moves the population and the tastes. Nothing is kept of a user, so memory does not
depend on their number, and it does not matter how often anybody is met. Each device reads users of its own, and
meets the others once a step, in the sums.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import PartitionSpec as P

from prouter_jax.bayes.inference import SUMS, BayesNetwork, metrics_of, scales, sums_of
from prouter_jax.bayes.population import Spread, learn, spread_of
from prouter_jax.bayes.reader import Population, misfit, read, residuals, uncertainty, utilities
from prouter_jax.bayes.tastes import after_step, loadings, with_sides
from prouter_jax.graph import RouterGraph
from prouter_jax.histories import Said, fold_over_users, only, read_histories
from prouter_jax.histories_batch import with_batch
from prouter_jax.sharding import DATA

_READING_STEPS = 6  # Newton steps from the prior
_ADDED_AT_ONCE = 2048  # users, to the answers: fewer would touch the sums too often, more would fill the memory


@struct.dataclass
class Sums:
    """Messages of the round so far.

    Attributes:
      push: on the tastes of each answer, [queries, llms, tastes]; curvature: the upper triangle of its matrix.
      met: in how many decisions each LLM was on offer, [llms].
      told: see `inference.sums_of`.
    """

    spread: Spread
    push: jax.Array
    curvature: jax.Array
    met: jax.Array
    told: dict[str, jax.Array]


def no_sums(network: BayesNetwork) -> Sums:
    """Before the first message."""
    size, tastes = network.columns.size, network.columns.tastes
    answers = (network.queries, network.llms)
    zero = jnp.zeros(())
    return Sums(
        spread=Spread(zero, jnp.zeros(size), jnp.zeros((size, size))),
        push=jnp.zeros((*answers, tastes)),
        curvature=jnp.zeros((*answers, tastes * (tastes + 1) // 2)),
        met=jnp.zeros(network.llms),
        told=dict.fromkeys(SUMS, zero),
    )


def make_step(network: BayesNetwork, steps_per_round: int, mesh: jax.sharding.Mesh) -> Callable:
    """A function (params, sums, graph, batch, number of the step) -> (params, sums, metrics), to be compiled."""

    def of_device(params, graph, batch, number):
        told, kept, misfits = messages(network, params, with_batch(graph, batch, 1), number)
        return jax.tree.map(lambda x: x[None], (told, misfits)), kept

    of_devices = jax.shard_map(
        of_device, mesh=mesh, in_specs=(P(), P(), P(DATA), P()), out_specs=P(DATA), check_vma=False
    )

    def step(params, sums, graph, batch, number):
        number, place = number // steps_per_round, number % steps_per_round
        parts, kept = of_devices(params, graph, batch, number)
        told, misfits = jax.tree.map(lambda x: x.sum(0), parts)
        sums = jax.tree.map(jnp.add, sums, told)
        params, sums = jax.lax.cond(
            place == steps_per_round - 1,
            lambda: (move(network, params, sums, number), no_sums(network)),
            lambda: (params, sums),
        )
        return {**params, **{name: rows[: network.users] for name, rows in kept.items()}}, sums, metrics_of(misfits)

    return step


def messages(
    network: BayesNetwork, params: dict, graph: RouterGraph, number: jax.Array
) -> tuple[Sums, dict[str, jax.Array], dict[str, jax.Array]]:
    """What the users of a graph say in round `number`.

    Returns:
      sums; the users' states as parameters "users" and "known"; the sums of how badly their feedback was told by what
      was read, see `reader.misfit`.
    """
    histories, population = read_histories(graph), network.population(params)
    if histories.llm is None:
        raise ValueError("a batch: expected users with histories of their own, found shared queries")
    answers = network.answers(params, graph, _shown_tastes(network, params, number))
    table = answers.reshape(-1, answers.shape[-1])

    def of_chunk(total, said: Said, query, llm, visible):
        said = jax.vmap(only)(said, visible)
        mine = with_sides(network.columns, table[query[..., None] * network.llms + llm], said)
        theta, unknown, misfits, surprise, weight = jax.vmap(_read, (0, 0, None))(mine, said, population)
        known = (said.offered.sum((1, 2)) > 0).astype(jnp.float32)
        spread = spread_of(network.columns, theta, unknown, known, params["crowd"])
        met = jax.ops.segment_sum(said.offered.reshape(-1), llm.reshape(-1), network.llms)
        return jax.tree.map(jnp.add, total, (spread, met)), (theta, known, misfits, surprise, weight)

    start = no_sums(network)
    (spread, met), kept = fold_over_users(
        graph, of_chunk, (start.spread, start.met), histories, graph.visibility.decisions
    )
    theta, known, misfits, surprise, weight = kept
    place = histories.query[..., None] * network.llms + histories.llm
    by_tastes = loadings(network.columns, theta, params["crowd"])
    rows, columns = np.triu_indices(network.columns.tastes)
    push = _add_to_answers(start.push, surprise, by_tastes, place)
    curvature = _add_to_answers(start.curvature, weight, by_tastes[:, rows] * by_tastes[:, columns], place)
    sums = Sums(spread, push, curvature, met, sums_of(misfits))
    return sums, {"users": theta, "known": known}, jax.tree.map(jnp.sum, misfits)


def move(network: BayesNetwork, params: dict, sums: Sums, number: jax.Array) -> dict:
    """The parameters after round `number`."""
    shift, precision = learn(network.columns, sums.spread, network.population_strength)
    new = {**params, **scales(params, sums.told), "crowd": params["crowd"] + shift, "precision": precision}
    new["met"] = sums.met
    if network.columns.tastes:
        rows, columns = np.triu_indices(network.columns.tastes)
        curvature = jnp.zeros((*sums.push.shape, network.columns.tastes))
        curvature = curvature.at[..., rows, columns].set(sums.curvature).at[..., columns, rows].set(sums.curvature)
        tastes = _shown_tastes(network, params, number)
        moved = after_step(tastes, sums.push, curvature, network.taste_precision)
        new["tastes"] = jnp.where(number < network.warmup_rounds, params["tastes"], moved)
    return new


def _shown_tastes(network: BayesNetwork, params: dict, number: jax.Array) -> jax.Array:
    return jnp.where(number < network.warmup_rounds, 0.0, params["tastes"])


def _read(answers: jax.Array, said: Said, population: Population):
    """theta of one user, what is not known of it, how it tells what was said, surprise and curvature of utilities."""
    theta = read(population.mean, answers, said, population, _READING_STEPS)
    utility = utilities(theta, answers)
    return (
        theta,
        uncertainty(theta, answers, said, population),
        misfit(utility, said, population),
        *residuals(utility, said, population),
    )


def _add_to_answers(sums: jax.Array, values: jax.Array, weights: jax.Array, place: jax.Array) -> jax.Array:
    """Adds values [users, decisions, candidates] times weights [users, n] to sums [queries, llms, n], at `place`."""
    users = len(values)
    at_once = users if users <= _ADDED_AT_ONCE else math.gcd(users, _ADDED_AT_ONCE)
    parts = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), (values, weights, place))

    def add(total, part):
        values, weights, place = part
        each = (values[..., None] * weights[:, None, None, :]).reshape(values.size, -1)
        return total.at[place.reshape(-1)].add(each), None

    return jax.lax.scan(add, sums.reshape(-1, sums.shape[-1]), parts)[0].reshape(sums.shape)
