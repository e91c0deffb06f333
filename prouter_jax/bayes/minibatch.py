"""A round of messages a few users at a time: what `inference.BayesNetwork.round` does, for any number of users.

A round is some steps. Each reads the users of a batch from their histories alone, as strangers are read, and adds what
they say to `Sums`; the last one moves the population and the tastes. Nothing is kept of a user, so memory does not
depend on their number, and it does not matter how often anybody is met.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prouter_jax.bayes.inference import SUMS, BayesNetwork, metrics_of, scales, sums_of
from prouter_jax.bayes.population import Spread, learn, spread_of
from prouter_jax.bayes.reader import Population, misfit, read, residuals, uncertainty, utilities
from prouter_jax.bayes.tastes import after_step, loadings, with_sides
from prouter_jax.graph import RouterGraph
from prouter_jax.histories import Histories, only, over_users, read_histories

_READING_STEPS = 6  # Newton steps from the prior


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


def messages(
    network: BayesNetwork, params: dict, graph: RouterGraph, number: jax.Array
) -> tuple[Sums, dict, dict[str, jax.Array]]:
    """What the users of a graph say in round `number`.

    Returns:
      sums; the states of the first `network.users` of them as parameters "users" and "known"; how badly their feedback
      was told by what was read.
    """
    histories, population = read_histories(graph), network.population(params)
    if histories.llm is None:
        raise ValueError("a batch: expected users with histories of their own, found shared queries")
    answers = network.answers(params, graph, _shown_tastes(network, params, number))
    start = network.strangers(params, graph)
    theta, unknown, told, surprise, weight = _read(network, graph, histories, answers, population, start)
    visible = graph.visibility.decisions[..., None] * histories.said.offered
    known = (visible.sum((1, 2)) > 0).astype(jnp.float32)
    by_tastes = loadings(network.columns, theta, params["crowd"])
    place = histories.query[..., None] * network.llms + histories.llm
    upper = np.triu_indices(network.columns.tastes)
    sums = Sums(
        spread=spread_of(network.columns, theta, unknown, known, params["crowd"]),
        push=_to_answers(network, surprise, by_tastes, place),
        curvature=_to_answers(network, weight, by_tastes[:, upper[0]] * by_tastes[:, upper[1]], place),
        met=jax.ops.segment_sum(visible.reshape(-1), histories.llm.reshape(-1), network.llms),
        told=sums_of(told),
    )
    kept = {"users": theta[: network.users], "known": known[: network.users]}
    return sums, kept, metrics_of(told)


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


def _read(network: BayesNetwork, graph: RouterGraph, histories: Histories, answers, population: Population, start):
    """theta, what is not known of it, how it tells what was said, surprise and curvature in each utility; by user."""

    def of_user(answers, said, _, visible, theta):
        said = only(said, visible)
        answers = with_sides(network.columns, answers, said)
        theta = read(theta, answers, said, population, _READING_STEPS)
        utility = utilities(theta, answers)
        return (
            theta,
            uncertainty(theta, answers, said, population),
            misfit(utility, said, population),
            *residuals(utility, said, population),
        )

    return over_users(graph, of_user, answers, histories, graph.visibility.decisions, start)


def _to_answers(network: BayesNetwork, values: jax.Array, weights: jax.Array, place: jax.Array) -> jax.Array:
    """Sums over the candidates of values [users, decisions, candidates] times weights [users, n]: by answer."""
    each = (values[..., None] * weights[:, None, None, :]).reshape(values.size, weights.shape[1])
    total = jax.ops.segment_sum(each, place.reshape(-1), network.queries * network.llms)
    return total.reshape(network.queries, network.llms, weights.shape[1])
