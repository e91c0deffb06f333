"""The two networks behind one door: the default (`bayes`) and the paper's (`gnn`)."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from prouter_jax import config
from prouter_jax.bayes import minibatch
from prouter_jax.bayes.columns import Observed, observe
from prouter_jax.bayes.inference import BayesNetwork, make_bayes
from prouter_jax.bayes.newcomers import meet_newcomers
from prouter_jax.bayes.scorer import make_bayes_scorer
from prouter_jax.gnn.hiding import Hiding, make_hiding
from prouter_jax.gnn.network import GraphNetwork, make_gnn
from prouter_jax.gnn.scorer import make_gnn_scorer
from prouter_jax.graph import RouterGraph
from prouter_jax.histories_batch import with_batch
from prouter_jax.scoring import Scorer
from prouter_jax.sharding import DATA
from prouter_jax.world import World

Network = BayesNetwork | GraphNetwork

_MOST_KEPT = 1024  # users of a batch whose states stay among the parameters, to compare newcomers with


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained; hashable, so that compiled functions can depend on it.

    Attributes:
      steps_per_round: where a step reads a batch of users; 0 where it reads the whole graph.
    """

    optimizer: tuple
    num_train_steps: int
    hiding: Hiding
    steps_per_round: int


def make_network(experiment: config.ExperimentConfig, graph: RouterGraph, num_users: int) -> Network:
    """The network of a configuration for the world of a graph."""
    model, batch = experiment.model, experiment.train.users_per_step
    if model.preset != "bayes":
        return make_gnn(model, graph)
    return make_bayes(model, graph, min(batch, _MOST_KEPT) if batch else num_users)


def make_recipe(experiment: config.ExperimentConfig, steps_per_pass: int = 1) -> Recipe:
    """What a configuration says of training, where so many batches are a pass over all users."""
    train = experiment.train
    steps = (train.steps_per_round or steps_per_pass) if train.users_per_step else 0
    return Recipe(dataclasses.astuple(experiment.optimizer), train.num_train_steps, make_hiding(experiment), steps)


def init_network(network: Network, recipe: Recipe, key: jax.Array) -> tuple[dict, object]:
    """Parameters and the optimizer's state before the first step; of the default network, the sums of a round."""
    params = network.init(key)
    if isinstance(network, BayesNetwork):
        return params, minibatch.no_sums(network) if recipe.steps_per_round else ()
    return params, network.init_opt_state(params, config.Optimizer(*recipe.optimizer), recipe.num_train_steps)


def read_world(network: Network, recipe: Recipe, graph: RouterGraph) -> RouterGraph | Observed:
    """What a step reads beside its batch: the graph; of the default network in batches, what it shows of answers."""
    return observe(graph) if isinstance(network, BayesNetwork) and recipe.steps_per_round else graph


def make_step(network: Network, recipe: Recipe, mesh: jax.sharding.Mesh) -> Callable:
    """A function (params, opt_state, world, batch, step, key) -> (params, opt_state, metrics), to be compiled.

    A step is a round of messages of the default network, or a batch's part of one; a gradient step of the paper's.
    The batch, if any, takes the place of the graph's users.
    """
    if isinstance(network, GraphNetwork):
        return _make_gradient_step(network, recipe, mesh)

    def in_batches(params, sums, observed, batch, number, key):
        del key
        return minibatch.make_step(network, recipe.steps_per_round, mesh)(params, sums, observed, batch, number)

    def whole(params, opt_state, graph, batch, number, key):
        del batch, key
        params, metrics = network.round(params, graph, number)
        return params, opt_state, metrics

    return in_batches if recipe.steps_per_round else whole


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


def _make_gradient_step(network: GraphNetwork, recipe: Recipe, mesh: jax.sharding.Mesh) -> Callable:
    inner = network.make_step(config.Optimizer(*recipe.optimizer), recipe.num_train_steps, recipe.hiding, mesh)

    def step(params, opt_state, graph, batch, number, key):
        graph = with_batch(graph, batch, mesh.shape[DATA]) if recipe.steps_per_round else graph
        return inner(params, opt_state, graph, number, key)

    return step


def apply_network(
    network: Network, params: dict, world: World, model: config.Model, price_factor: np.ndarray | None = None
) -> Scorer:
    """A trained network in a world that may have grown since; nothing is trained."""
    graph = world.build_graph()
    network, params = meet(network, params, graph)
    return make_scorer(network, params, world, graph, model, price_factor)
