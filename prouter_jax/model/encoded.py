"""What a trained network says of a world besides its users: states and costs of answers, the user without history."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from prouter_jax.compilation import jit_program
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import COST, measured, task_means, tasks_of
from prouter_jax.model.network import Architecture, side_by_side
from prouter_jax.model.paper_network import GraphStates
from prouter_jax.model.prior import mean_direction


@struct.dataclass
class RoundsEncoded:
    """What the Bayesian rounds say of a world.

    Attributes:
      prior: prior mean of users' weights, [features].
      means: mean features of the known answers by task, [tasks + 1, llms, features].
      deviations: features of the known answers minus these, [queries, llms, features].
    """

    prior: jax.Array
    means: jax.Array
    deviations: jax.Array


@struct.dataclass
class Encoded:
    """What scoring needs of a world besides its users.

    Attributes:
      answers: states of the answers to the graph's queries, padding included, [queries, llms, width].
      cost: scaled costs of the answers, gaps filled, [queries, llms].
      mean_cost: mean scaled costs by task, [tasks + 1, llms].
      cold_start_user: state of a user without history, [width].
      sharpness: inverse temperature of choices, in 1 / utility.
      rounds: of the Bayesian rounds; None without them.
      messages: node states after message passing, without users and answers; None without layers.
    """

    answers: jax.Array
    cost: jax.Array
    mean_cost: jax.Array
    cold_start_user: jax.Array
    sharpness: jax.Array
    rounds: RoundsEncoded | None
    messages: GraphStates | None


@functools.partial(jit_program, static_argnums=(0, 4))
def encode(network: Architecture, params: dict, graph: RouterGraph, known: jax.Array, by_share: bool) -> Encoded:
    """Returns the `Encoded` of a world.

    Args:
      known: rows of the queries whose answers count as known.
      by_share: as of `application.Application`.
    """
    bound, answers, users, rounds, messages = network.bind(params), [], [], None, None
    if bound.rounds is not None:
        answers.append(bound.rounds.answers(graph))
        rounds = _encode_rounds(bound.population(bound.rounds).mean, graph, answers[0], known)
        users.append(
            rounds.prior if by_share else mean_direction(bound.rounds.users[...], bound.rounds.has_history[...])
        )
    if bound.messages is not None:
        states = bound.messages(graph)
        answers.append(states.answers)
        users.append(states.cold_start_user)
        messages = dataclasses.replace(states, users=None, answers=None)
    cost, mean_cost = _costs(graph)
    both = side_by_side(answers), side_by_side(users)
    return Encoded(both[0], cost, mean_cost, both[1], bound.sharpness(), rounds, messages)


def with_expected(encoded: Encoded, rows: np.ndarray, expected: np.ndarray) -> Encoded:
    """Returns it with expected features of the answers to unseen queries, in place of means and zeros."""
    answers, cost = np.array(encoded.answers), np.array(encoded.cost)
    answers[rows, :, : expected.shape[2]] = expected
    cost[rows] = expected[..., COST]
    return dataclasses.replace(encoded, answers=answers, cost=cost)


def _encode_rounds(
    prior: Float[Array, " features"],
    graph: RouterGraph,
    answers: Float[Array, "queries llms features"],
    known: Int[Array, " known"],
) -> RoundsEncoded:
    answers, task, num_tasks = answers[known], tasks_of(graph)[known], graph.layout.num("task")
    means = task_means(answers, jnp.ones_like(answers), task, num_tasks)
    return RoundsEncoded(prior, means, answers - means[task])


def _costs(graph: RouterGraph) -> tuple[Float[Array, "queries llms"], Float[Array, "tasks llms"]]:
    """Scaled costs of the answers to the graph's queries, gaps filled; mean costs by task."""
    values, seen = (x[..., COST] for x in measured(graph))
    task = tasks_of(graph)
    means = task_means(values, seen, task, graph.layout.num("task"))
    return jnp.where(seen > 0, values, means[task]), means
