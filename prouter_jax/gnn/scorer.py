"""A trained `GraphNetwork` applied to a world: users read, answers known, new queries foreseen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.bayes.columns import COST, measured, task_means, tasks_of
from prouter_jax.gnn.model import GraphStates
from prouter_jax.gnn.network import GraphNetwork
from prouter_jax.graph import RouterGraph
from prouter_jax.places import Places, in_parts
from prouter_jax.scoring import Scorer
from prouter_jax.world import World


def make_gnn_scorer(
    network: GraphNetwork, params: dict, world: World, graph: RouterGraph, price_factor: np.ndarray
) -> Scorer:
    """Passes messages once over `graph`, which is that of `world`; scores are products of what comes of it.

    Args:
      price_factor: today's over that time's price of each LLM, [llms]; moves the expected costs alone, the states
        know an LLM by the prices it was met with.
    """
    count, num_tasks = len(world.interactions.queries.ids), graph.layout.num("task")
    states, cost, mean_cost = _encode(network, params, graph, count)
    mean_cost = np.asarray(mean_cost)

    def predict(places: Places) -> tuple[np.ndarray, np.ndarray]:
        answers = in_parts(lambda some: _predict(network, params, states, some), places)
        task = np.where(places.task < num_tasks, places.task, -1)
        return answers, world.scale.reprice(mean_cost[places.task], task, price_factor)

    return Scorer(
        users=np.asarray(states.users)[: len(world.interactions.users.ids)],
        stranger=np.asarray(states.stranger),
        answers=np.asarray(states.answers)[:count],
        cost=world.scale.reprice(np.asarray(cost), world.interactions.queries.task, price_factor),
        predict=predict,
        nearness=None,
        foresight=None,
        side=None,
        sharpness=float(np.exp(params["head"]["log_sharpness"])),
    )


@functools.partial(jax.jit, static_argnums=(0, 3))
def _encode(
    network: GraphNetwork, params: dict, graph: RouterGraph, count: int
) -> tuple[GraphStates, jax.Array, jax.Array]:
    """States; scaled costs of the answers to the `count` known queries, gaps filled; their means by task."""
    values, known = (x[..., COST] for x in measured(graph))
    task = tasks_of(graph)
    means = task_means(values, known, task, graph.layout.num("task"))
    return network.bind(params)(graph), jnp.where(known > 0, values, means[task])[:count], means


@functools.partial(jax.jit, static_argnums=0)
def _predict(network: GraphNetwork, params: dict, states: GraphStates, places: Places) -> jax.Array:
    vectors = jnp.pad(places.vectors, ((0, 0), (0, network.width - places.vectors.shape[1])))
    task = jnp.asarray(places.task)
    return network.bind(params).predict_answers(states.tasks, states.llms, vectors, task)
