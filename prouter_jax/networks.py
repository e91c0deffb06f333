"""The two networks behind one door: the default (`bayes`) and the paper's (`gnn`)."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from prouter_jax import config
from prouter_jax.bayes.inference import BayesNetwork, make_bayes
from prouter_jax.bayes.newcomers import meet_newcomers
from prouter_jax.bayes.scorer import make_bayes_scorer
from prouter_jax.gnn.hiding import Hiding, make_hiding
from prouter_jax.gnn.network import GraphNetwork, make_gnn
from prouter_jax.gnn.scorer import make_gnn_scorer
from prouter_jax.graph import RouterGraph
from prouter_jax.scoring import Scorer
from prouter_jax.world import World

Network = BayesNetwork | GraphNetwork


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained; hashable, so that compiled functions can depend on it."""

    optimizer: tuple
    num_train_steps: int
    hiding: Hiding


def make_network(model: config.Model, graph: RouterGraph, num_users: int) -> Network:
    """The network of a configuration for the world of a graph."""
    return make_bayes(model, graph, num_users) if model.preset == "bayes" else make_gnn(model, graph)


def make_recipe(experiment: config.ExperimentConfig) -> Recipe:
    """What a configuration says of training."""
    optimizer = dataclasses.astuple(experiment.optimizer)
    return Recipe(optimizer, experiment.train.num_train_steps, make_hiding(experiment))


def init_network(network: Network, recipe: Recipe, key: jax.Array) -> tuple[dict, object]:
    """Parameters and the optimizer's state before the first step; the default network needs no optimizer."""
    params = network.init(key)
    if isinstance(network, BayesNetwork):
        return params, ()
    return params, network.init_opt_state(params, config.Optimizer(*recipe.optimizer), recipe.num_train_steps)


def make_step(network: Network, recipe: Recipe, mesh: jax.sharding.Mesh) -> Callable:
    """A function (params, opt_state, graph, step, key) -> (params, opt_state, metrics), to be compiled.

    A step is a round of messages of the default network, a gradient step of the paper's.
    """
    if isinstance(network, BayesNetwork):

        def step(params, opt_state, graph, number, key):
            del key
            params, metrics = network.round(params, graph, number)
            return params, opt_state, metrics

        return step
    return network.make_step(config.Optimizer(*recipe.optimizer), recipe.num_train_steps, recipe.hiding, mesh)


def make_scorer(
    network: Network,
    params: dict,
    world: World,
    graph: RouterGraph,
    model: config.Model,
    price_factor: np.ndarray | None = None,
) -> Scorer:
    """The network applied to a world, of which `graph` is the graph; not to LLMs it never met, see `meet`.

    Args:
      price_factor: today's over that time's price of each LLM, [llms]; None where none has changed.
    """
    factor = np.ones(graph.layout.num("llm")) if price_factor is None else price_factor
    if isinstance(network, BayesNetwork):
        return make_bayes_scorer(network, params, world, graph, model, factor)
    return make_gnn_scorer(network, params, world, graph, factor)


def meet(network: Network, params: dict, graph: RouterGraph) -> tuple[Network, dict]:
    """The network and parameters for a world that has grown: more users, queries and LLMs, without training.

    Args:
      graph: of the world, whose rows start with those that the network was trained on.
    """
    if isinstance(network, BayesNetwork):
        return meet_newcomers(network, params, graph)
    return network, params


def apply_network(
    network: Network, params: dict, world: World, model: config.Model, price_factor: np.ndarray | None = None
) -> Scorer:
    """A trained network in a world that may have grown since; nothing is trained."""
    graph = world.build_graph()
    network, params = meet(network, params, graph)
    return make_scorer(network, params, world, graph, model, price_factor)
