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

from prouter_jax.graph.history import Said, batch_histories, fold_over_users, only
from prouter_jax.model.latent_factors import loadings, stepped, usual, with_sides
from prouter_jax.model.network import SUMS, BayesNetwork, metrics_of, scales, sums_of
from prouter_jax.model.posterior import Population, misfit, read, residuals, uncertainty, utilities
from prouter_jax.model.prior import Spread, learn, spread_of
from prouter_jax.sharding import DATA, spec_of

_READING_STEPS = 6  # Newton steps from the prior
_ADDED_AT_ONCE = 2048  # users, to the answers: fewer would touch the sums too often, more would fill the memory


@struct.dataclass
class Sums:
    """Messages of the round so far.

    Attributes:
      messages: to each answer, a push on its tastes and the upper triangle of their curvature, [queries, llms, n].
      met: in how many decisions each LLM was on offer, [llms].
      told: see `inference.sums_of`.
    """

    spread: Spread
    messages: jax.Array
    met: jax.Array
    told: dict[str, jax.Array]


def no_sums(network: BayesNetwork) -> Sums:
    """Before the first message."""
    size, tastes = network.columns.size, network.columns.tastes
    zero = jnp.zeros(())
    return Sums(
        spread=Spread(zero, jnp.zeros(size), jnp.zeros((size, size))),
        messages=jnp.zeros((network.queries, network.llms, tastes + tastes * (tastes + 1) // 2)),
        met=jnp.zeros(network.llms),
        told=dict.fromkeys(SUMS, zero),
    )


def make_step(network: BayesNetwork, steps_per_round: int, mesh: jax.sharding.Mesh) -> Callable:
    """A function (params, sums, observed, batch, number of the step) -> (params, sums, metrics), to be compiled."""
    parts = _by_queries(network, mesh)

    def of_device(population, crowd, answers, batch):
        sums, kept, misfits = messages(network, population, crowd, answers, batch)
        (spread, met, told), misfits = jax.lax.psum(((sums.spread, sums.met, sums.told), misfits), DATA)
        if parts == P():
            by_answer = jax.lax.psum(sums.messages, DATA)
        else:
            by_answer = jax.lax.psum_scatter(sums.messages, DATA, tiled=True)
        return Sums(spread, by_answer, met, told), kept, misfits

    places = Sums(P(), parts, P(), P())  # pyright: ignore[reportArgumentType]
    of_devices = jax.shard_map(
        of_device, mesh=mesh, in_specs=(P(), P(), P(), P(DATA)), out_specs=(places, P(DATA), P()), check_vma=False
    )

    def step(params, sums, observed, batch, number):
        number, place = number // steps_per_round, number % steps_per_round
        answers = network.properties(params, observed, _shown_tastes(network, params, number))
        answers = jax.lax.with_sharding_constraint(answers, NamedSharding(mesh, parts))
        told, kept, misfits = of_devices(network.population(params), params["crowd"], answers, batch)
        sums = jax.tree.map(jnp.add, sums, told)
        params, sums = jax.lax.cond(
            place == steps_per_round - 1,
            lambda: (move(network, params, sums, number, mesh), no_sums(network)),
            lambda: (params, sums),
        )
        return {**params, **{name: rows[: network.users] for name, rows in kept.items()}}, sums, metrics_of(misfits)

    return step


def messages(
    network: BayesNetwork, population: Population, crowd: jax.Array, answers: jax.Array, batch: dict[str, jax.Array]
) -> tuple[Sums, dict[str, jax.Array], dict[str, jax.Array]]:
    """What the users of a batch say.

    Args:
      crowd: what everybody weighs each property with; answers: properties [queries, llms, properties].

    Returns:
      sums; the users' states as parameters "users" and "known"; the sums of how badly their feedback was told by what
      was read, see `reader.misfit`.
    """
    table = answers.reshape(-1, answers.shape[-1])

    def of_chunk(total, said: Said, query, llm, visible):
        said = jax.vmap(only)(said, visible)
        mine = with_sides(network.columns, table[query[..., None] * network.llms + llm], said)
        theta, unknown, misfits, surprise, weight = jax.vmap(_read, (0, 0, None))(mine, said, population)
        known = (said.offered.sum((1, 2)) > 0).astype(jnp.float32)
        spread = spread_of(network.columns, theta, unknown, known, crowd)
        met = jax.ops.segment_sum(said.offered.reshape(-1), llm.reshape(-1), network.llms)
        return jax.tree.map(jnp.add, total, (spread, met)), (theta, known, misfits, surprise, weight)

    histories, start = batch_histories(batch), no_sums(network)
    (spread, met), kept = fold_over_users(of_chunk, (start.spread, start.met), histories, batch["shown"])
    theta, known, misfits, surprise, weight = kept
    place = batch["query"][..., None] * network.llms + batch["llm"]
    by_answer = _messages_to_answers(network, loadings(network.columns, theta, crowd), surprise, weight, place)
    sums = Sums(spread, by_answer, met, sums_of(misfits))
    return sums, {"users": theta, "known": known}, jax.tree.map(jnp.sum, misfits)


def move(network: BayesNetwork, params: dict, sums: Sums, number: jax.Array, mesh: jax.sharding.Mesh) -> dict:
    """The parameters after round `number`; each device of the mesh moves the tastes that it keeps."""
    shift, precision = learn(network.columns, sums.spread, network.population_strength)
    new = {**params, **scales(params, sums.told), "crowd": params["crowd"] + shift, "precision": precision}
    new["met"] = sums.met
    if network.columns.tastes:
        tastes, parts = _shown_tastes(network, params, number), _by_queries(network, mesh)
        diagonal = network.columns.tastes + np.flatnonzero(np.equal(*np.triu_indices(network.columns.tastes)))
        mean = usual(tastes, sums.messages[..., diagonal].sum(-1))
        moved = jax.shard_map(
            lambda *state: _moved(network, *state), mesh=mesh, in_specs=(parts, parts, P()), out_specs=parts
        )(tastes, sums.messages, mean)
        new["tastes"] = jnp.where(number < network.warmup_rounds, params["tastes"], moved)
    return new


def _by_queries(network: BayesNetwork, mesh: jax.sharding.Mesh) -> P:
    """How arrays [queries, llms, ...] are divided among the devices: whole on each where there are few queries."""
    return spec_of("answers", (network.queries, network.llms, 1), mesh)


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


def _messages_to_answers(
    network: BayesNetwork, by_tastes: jax.Array, surprise: jax.Array, weight: jax.Array, place: jax.Array
) -> jax.Array:
    """`Sums.messages`, some users after the other.

    Args:
      by_tastes: loadings, [users, tastes]; surprise, weight: of utilities, [users, decisions, candidates].
      place: rows of the answers, the same shape.
    """
    users, start = len(place), no_sums(network).messages
    at_once = users if users <= _ADDED_AT_ONCE else math.gcd(users, _ADDED_AT_ONCE)
    rows, columns = np.triu_indices(network.columns.tastes)
    parts = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), (by_tastes, surprise, weight, place))

    def add(total, part):
        by_tastes, surprise, weight, place = part
        pairs = by_tastes[:, rows] * by_tastes[:, columns]
        each = [x[..., None] * y[:, None, None, :] for x, y in ((surprise, by_tastes), (weight, pairs))]
        return total.at[place.reshape(-1)].add(jnp.concatenate(each, -1).reshape(place.size, -1)), None

    return jax.lax.scan(add, start.reshape(-1, start.shape[-1]), parts)[0].reshape(start.shape)


def _moved(network: BayesNetwork, tastes: jax.Array, told: jax.Array, mean: jax.Array) -> jax.Array:
    """Tastes after a step, from `Sums.messages`."""
    size = network.columns.tastes
    rows, columns = np.triu_indices(size)
    curvature = jnp.zeros((*tastes.shape, size))
    curvature = curvature.at[..., rows, columns].set(told[..., size:]).at[..., columns, rows].set(told[..., size:])
    return stepped(tastes, told[..., :size], curvature, mean, network.taste_precision)
