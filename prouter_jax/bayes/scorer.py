"""A trained `BayesNetwork` applied to a world, on the host: users read, answers known, new queries foreseen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.bayes.columns import COST, task_means, tasks_of
from prouter_jax.bayes.foresight import Foresight
from prouter_jax.bayes.inference import BayesNetwork
from prouter_jax.bayes.known_users import compare_with_known
from prouter_jax.bayes.near import NearQueries, coefficients, kernel_to, make_near
from prouter_jax.bayes.population import middle, prior_mean
from prouter_jax.config import Model
from prouter_jax.graph import RouterGraph
from prouter_jax.places import Places, in_parts, places_of
from prouter_jax.scoring import Scorer
from prouter_jax.world import World


def make_bayes_scorer(
    network: BayesNetwork, params: dict, world: World, graph: RouterGraph, model: Model, price_factor: np.ndarray
) -> Scorer:
    """Reads every user of `graph`, which is that of `world`, and prepares messages from its queries to new ones.

    Args:
      price_factor: today's over that time's price of each LLM, [llms]; moves the costs that are foreseen.
    """
    count, num_tasks = len(world.interactions.queries.ids), graph.layout.num("task")
    users, every, answers, means, beside = _encode(network, params, graph, count)
    near = make_near(_places(world, num_tasks), num_tasks, model.near)
    told = coefficients(near, beside[near.rows])
    by_share = model.foresight == "share"
    sharpness = float(network.population(params).sharpness)

    def priced(answers: np.ndarray, task: np.ndarray) -> np.ndarray:
        answers = np.array(answers)
        answers[..., COST] = world.scale.reprice(answers[..., COST], np.where(task < num_tasks, task, -1), price_factor)
        return answers

    def predict(places: Places) -> tuple[np.ndarray, np.ndarray]:
        expected = in_parts(lambda some: _predict(near, means, told, some), places)
        expected = priced(expected, np.asarray(places.task))
        return expected, expected[..., COST]

    answers = priced(answers, world.interactions.queries.task)
    number = len(world.interactions.users.ids)
    seen = np.bincount(world.interactions.decisions.user, minlength=number) > 0
    users, stranger = _people(network, params, graph, every, users, by_share)
    return Scorer(
        users=np.where(seen[:, None], users[:number], stranger),
        stranger=stranger,
        answers=answers,
        cost=answers[..., COST],
        predict=predict,
        nearness=functools.partial(in_parts, functools.partial(kernel_to, near)) if by_share else None,
        foresight=Foresight(near, jnp.asarray(answers[near.rows]), sharpness).logits if by_share else None,
        side=network.columns.side if network.columns.sides else None,
        sharpness=sharpness,
        named=network.columns.named(),
    )


def _people(network: BayesNetwork, params: dict, graph: RouterGraph, answers, users, by_share: bool):
    """Users, and whom nobody knows, as shares or utilities want them: [users, properties] and [properties]."""
    if by_share:
        return users, np.asarray(prior_mean(network.columns, params["crowd"]))
    if network.columns.plain and not (graph.layout.has_ratings or graph.layout.has_thumbs):
        users = compare_with_known(network, params, graph, answers, users)
    return users, np.asarray(middle(params["users"], params["known"]))


def _places(world: World, num_tasks: int) -> Places:
    vectors = world.vectors
    return places_of(vectors.query, vectors.query_style, world.interactions.queries.task, num_tasks)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _encode(network: BayesNetwork, params: dict, graph: RouterGraph, count: int):
    """Users; all answers; those to the `count` known queries; their means by task and what is told beside these."""
    every = network.answers(params, graph)
    users = network.read_users(params, graph, every)
    answers, task, num_tasks = every[:count], tasks_of(graph)[:count], graph.layout.num("task")
    means = task_means(answers, jnp.ones_like(answers), task, num_tasks)
    return users, every, answers, means, answers - means[task]


@jax.jit
def _predict(near: NearQueries, means: jax.Array, told: jax.Array, places: Places) -> jax.Array:
    """Expected properties of the answers to new queries: the task's mean and what near queries say beside it."""
    flat = kernel_to(near, places) @ told.reshape(len(told), -1)
    return means[places.task] + flat.reshape(-1, *told.shape[1:])
