"""States are plain arrays of fixed types; networks and recipes are what compiled functions may depend on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.config import PRESETS
from prouter_jax.model.network import make_network
from prouter_jax.training.run import initial_state, make_run, make_train_step
from prouter_jax.training.state import init_state
from prouter_jax.training.step import make_recipe


@pytest.mark.parametrize("preset", PRESETS)
def test_a_fresh_state_has_the_types_of_a_trained_one(tiny_config, dataset, preset):
    """A weak type would have every function of the state compiled twice."""
    tiny_config.model.preset = preset
    network = make_network(tiny_config, dataset.world.build_graph(), 6)
    recipe = make_recipe(tiny_config)
    abstract = jax.eval_shape(lambda: init_state(jax.random.key(0), network, recipe))
    for path, leaf in jax.tree_util.tree_leaves_with_path(abstract):
        assert not leaf.weak_type, path
        assert leaf.dtype in (jnp.float32, jnp.int32), path
    assert bool(jax.tree.leaves(abstract.opt_state)) == (preset != "em")


def test_a_fresh_state_has_done_and_reached_nothing(tiny_config, dataset):
    run = make_run(tiny_config, dataset)
    state, same, other = (initial_state(run, seed) for seed in (0, 0, 1))
    assert (int(state.step), int(state.stale), float(state.temperature)) == (0, 0, 1)
    assert float(state.best_reward) == float(state.validation_reward) == -np.inf
    jax.tree.map(np.testing.assert_array_equal, state, same)
    assert any((x != y).any() for x, y in zip(*map(jax.tree.leaves, (state.params, other.params)), strict=True))


def test_a_step_counts_and_leaves_what_validation_found(tiny_config, dataset):
    run = make_run(tiny_config, dataset)
    before = dataclasses.replace(initial_state(run, 0), temperature=jnp.float32(2), best_reward=jnp.float32(0.5))
    after, _ = make_train_step(run)(before, run.world, {}, jax.random.key(0))
    assert (int(after.step), float(after.temperature), float(after.best_reward)) == (1, 2, 0.5)


def test_a_network_is_what_decides_the_shapes(tiny_config, dataset, shared_dataset):
    graph = dataset.world.build_graph()
    model = tiny_config.model
    first, same, wider, rated = (
        make_network(dataclasses.replace(tiny_config, model=dataclasses.replace(model, factor_dim=size)), some, 6)
        for size, some in ((2, graph), (2, graph), (3, graph), (2, shared_dataset.world.build_graph()))
    )
    assert first == same
    assert hash(first) == hash(same)
    assert first != wider
    assert first != rated
    assert make_network(tiny_config, graph, 7) != first
