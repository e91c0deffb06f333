"""Users who weigh effect and cost alone and never err: the mean of all weights that explain their choices."""

import jax
import numpy as np
from em_cases import make_world, network_of, rounds

from prouter_jax.model.preference_grid import make_preference_grid

_KNOWN, _QUERIES, _EACH = 12, 80, 30
COST_MODEL = {"style": False, "llm_weights": False, "factor_dim": 0, "population_mean": False, "warmup_rounds": 0}


def _world(decisions=0, effect_weight=0.0, cost_weight=0.0, effects=None):
    """Known users who look at effect alone or at cost alone and never err; and one more who weighs as told."""
    rng = np.random.default_rng(1)
    effect, cost = rng.random((2, _QUERIES, 4))
    effect = effect if effects is None else effects(effect)
    weights = [(1, 0) if user % 2 else (0, -1) for user in range(_KNOWN)] + [(effect_weight, cost_weight)]
    user = np.append(np.repeat(np.arange(_KNOWN), _EACH), np.full(decisions, _KNOWN))
    query = np.concatenate([rng.choice(_QUERIES, _EACH, replace=False) for _ in range(_KNOWN)])
    query = np.append(query, np.arange(decisions))
    worth = np.einsum("dk,dlk->dl", np.array(weights)[user], np.stack([effect, cost], -1)[query])
    feedback = np.eye(4)[worth.argmax(1)]
    return make_world(effect, cost, user, query, np.ones(feedback.shape, bool), feedback)


def _directions(fit, *worlds):
    """Effect and cost as nobody and the last user of each other world weigh them, of size 1."""
    network, graph = network_of(worlds[0], **COST_MODEL)
    params = rounds(network, graph, 2) if fit else network.init(jax.random.key(0))
    bound = network.bind(params)
    grid = make_preference_grid(network, params).fitted(graph, bound.answers(graph))
    users = [grid.read(graph, bound.answers(graph))[_KNOWN] for graph in (world.build_graph() for world in worlds[1:])]
    found = np.stack([grid.cold_start_user(), *users])[:, :2]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_few_choices_make_somebody_one_of_the_known():
    nobody, cheap, good = _directions(True, _world(), _world(2, 0, -1), _world(2, 1, 0))
    assert cheap[1] < -0.97
    assert good[0] > 0.97
    assert nobody[0] > 0.3
    assert nobody[1] < -0.3


def test_somebody_unlike_any_known_user_is_known_by_its_own_choices():
    _, dear = _directions(True, _world(), _world(75, 1, 1))  # the dearer the better
    assert dear[1] > 0.5
    assert dear[0] > 0.5


def test_choices_of_the_cheapest_right_answer_do_not_tell_how_much_cost_weighs():
    """The posterior mode would be the user who weighs cost most of all who choose so."""

    def right_or_wrong(effect):
        return (effect > 0.5).astype(float)

    _, few, many = _directions(
        False, _world(effects=right_or_wrong), *(_world(n, 0.7, -0.3, right_or_wrong) for n in (10, 80))
    )
    assert few[0] > 0.6
    assert many[0] > 0.6
    np.testing.assert_allclose(many, few, atol=0.25)


def test_all_users_have_weights_of_one_length():
    world = _world(3, 1, 0)
    network, graph = network_of(world, **COST_MODEL)
    params = network.init(jax.random.key(0))
    grid = make_preference_grid(network, params).fitted(graph, network.bind(params).answers(graph))
    users = grid.read(graph, network.bind(params).answers(graph))[: _KNOWN + 1]
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), np.linalg.norm(grid.cold_start_user()), rtol=1e-5)
