"""Every preset behind one door: made from a configuration, trained step by step, applied to a world."""

import jax
import numpy as np
import pytest

from prouter_jax.config import PRESETS
from prouter_jax.data.rewards import build_decisions
from prouter_jax.model.inference import apply_network, extend, make_scorer, score_decisions
from prouter_jax.model.network import make_network
from prouter_jax.sharding import make_mesh
from prouter_jax.training.step import init_network, make_recipe, make_step


@pytest.fixture(params=PRESETS)
def made(request, tiny_config, dataset):
    """(configuration, graph, network) of each preset."""
    tiny_config.model.preset = request.param
    graph = dataset.world.build_graph()
    return tiny_config, graph, make_network(tiny_config, graph, 6)


def test_a_preset_names_its_parts(made):
    config, _, network = made
    parts = {name for name in ("rounds", "layers", "transfer") if getattr(network, name) is not None}
    expected = {"em": {"rounds"}, "tuned": {"rounds", "transfer"}, "paper": {"layers"}}
    assert parts == expected[config.model.preset]


def _two_steps(config, graph, network):
    """Parameters before and after (the first step of a warm-up moves nothing), the optimizer's state, the loss."""
    recipe = make_recipe(config)
    before, opt_state = init_network(network, recipe, jax.random.key(0))
    step, params = jax.jit(make_step(network, recipe, make_mesh(config.mesh))), before
    for number in range(2):
        params, opt_state, metrics = step(params, opt_state, graph, {}, number, jax.random.key(1))
    return before, params, opt_state, float(metrics["loss"])


def test_steps_change_parameters_and_say_the_loss(made):
    before, after, opt_state, loss = _two_steps(*made)
    assert bool(jax.tree.leaves(opt_state)) == (made[0].model.preset != "em")
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert np.isfinite(loss)
    assert any((x != y).any() for x, y in zip(*map(jax.tree.leaves, (before, after)), strict=True))


def test_a_world_that_has_not_grown_is_scored_alike(made, dataset):
    config, graph, network = made
    params = _two_steps(*made)[1]
    same, kept = extend(network, params, graph)
    assert same == network
    assert kept is params
    decisions = build_decisions(dataset.data, np.arange(40))
    scorers = (
        make_scorer(network, params, dataset.world, graph, config.model),
        apply_network(network, params, dataset.world, graph, config.model),
        make_scorer(network, params, dataset.world, graph, config.model, np.ones(4)),
    )
    first, *others = (score_decisions(scorer, dataset, decisions) for scorer in scorers)
    assert first.shape == (40, 4)
    assert np.isfinite(first).all()
    for other in others:
        np.testing.assert_array_equal(other, first)
