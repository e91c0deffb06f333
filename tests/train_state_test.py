"""States are plain arrays of fixed types; the optimizer moves what describes everybody faster."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from prouter_jax.config import Model, Optimizer
from prouter_jax.train_state import init_state, make_network, make_optimizer

SMALL = Model(hidden_dim=3, message_passing_steps=1, history_steps=1, taste_dim=2)


@pytest.fixture(scope="module")
def abstract():
    network, optimizer = make_network(SMALL, 7), make_optimizer(Optimizer(), 10)
    return jax.eval_shape(lambda: init_state(jax.random.key(0), network, optimizer))


def test_a_fresh_state_has_the_types_of_a_trained_one(abstract):
    """A weak type would have every function of the state compiled twice."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(abstract):
        assert not leaf.weak_type, path
        assert leaf.dtype in (jnp.float32, jnp.int32), path


def test_a_fresh_state_has_done_and_reached_nothing(trained, prepared):
    from prouter_jax.train import initial_state, make_run

    run = make_run(trained.config, prepared)
    state, same, other = (initial_state(run, seed) for seed in (0, 0, 1))
    assert (int(state.step), int(state.stale)) == (0, 0)
    assert float(state.best_reward) == float(state.validation_reward) == -np.inf
    jax.tree.map(np.testing.assert_array_equal, state, same)
    assert any((x != y).any() for x, y in zip(*map(jax.tree.leaves, (state.params, other.params)), strict=True))


def test_bound_parameters_are_those_of_the_network(network, params):
    learner = network.bind(params)
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(learner, nnx.Param)), params)


def test_a_network_is_what_decides_the_shapes():
    assert make_network(SMALL, 7) == make_network(SMALL, 7)
    assert hash(make_network(SMALL, 7)) == hash(make_network(SMALL, 7))
    assert make_network(SMALL, 7) != make_network(SMALL, 8)


@pytest.mark.parametrize("num_train_steps", [1, 2, 100])
def test_updates_warm_up_and_fade_and_move_the_population_faster(num_train_steps):
    config = Optimizer(learning_rate=1e-2, population_rate=5.0, weight_decay=0.0, warmup_steps=10)
    optimizer = make_optimizer(config, num_train_steps)
    params = {"model": {"kernel": jnp.ones(2), "log_noise": jnp.ones(2), "mean": jnp.ones(2)}}
    state, sizes = optimizer.init(params), []
    update = jax.jit(optimizer.update)
    for _ in range(num_train_steps):
        moved, state = update(jax.tree.map(jnp.ones_like, params), state, params)
        moved = jax.tree.map(lambda x: -float(x[0]), moved["model"])
        assert moved["log_noise"] == pytest.approx(5 * moved["kernel"])
        assert moved["mean"] == pytest.approx(5 * moved["kernel"])
        sizes.append(moved["kernel"])
    assert np.isfinite(sizes).all()
    assert max(sizes) == pytest.approx(1e-2, rel=0.01)
    if num_train_steps == 100:
        assert np.argmax(sizes) == 10
        assert sizes[-1] < 0.2e-2
