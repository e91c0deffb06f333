"""What tests of the paper's network share: a small one of which no parameter is zero, and what it makes of a graph."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.config import ExperimentConfig, Model
from prouter_jax.graph.schema import RouterGraph, hide
from prouter_jax.model.network import Architecture, make_network
from prouter_jax.training.masked_loss import Masking, choose_masked

SMALL = Model(preset="paper", hidden_dim=8)
HIDING = Masking(folds=2, whole_queries=True, full_history_share=1.0, no_task_share=0.3, text_noise=0.0)


def small(graph: RouterGraph, **changes) -> Architecture:
    """A network for a graph's node width, with changes to `SMALL`."""
    return make_network(ExperimentConfig(model=dataclasses.replace(SMALL, **changes)), graph, 0)


@functools.cache
def noisy(network: Architecture) -> dict:
    """Parameters with noise on all of them, so that every path through the network counts."""
    rng = np.random.default_rng(0)
    fresh = jax.jit(network.init)(jax.random.key(0))
    return jax.tree.map(lambda x: np.asarray(x) + rng.normal(0, 0.2, x.shape).astype(np.float32), fresh)


@functools.partial(jax.jit, static_argnums=0)
def _states(network: Architecture, params: dict, graph: RouterGraph):
    return network.layers.bind(params)(graph)


def states_of(network: Architecture, graph: RouterGraph):
    """What the network with its noisy parameters makes of a graph, as NumPy arrays."""
    return jax.tree.map(np.asarray, _states(network, noisy(network), graph))


def scores(states):
    """[users, queries, llms]."""
    return np.einsum("ua,qla->uql", states.users, states.answers)


def partly_hidden(graph: RouterGraph) -> tuple[RouterGraph, np.ndarray]:
    """The graph as a training step sees it, and the decisions that it must foresee, [users, decisions]."""
    visibility, scored = choose_masked(graph, HIDING, jnp.int32(0), jax.random.key(0))
    return hide(graph, jax.tree.map(np.asarray, visibility)), np.asarray(scored)
