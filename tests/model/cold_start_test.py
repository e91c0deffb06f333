"""A few choices tell which known users somebody is like; many tell who it is."""

import jax
import numpy as np
from em_cases import make_world, network_of, rounds

from prouter_jax.model.cold_start import compare_with_known

_KNOWN, _QUERIES, _EACH = 12, 80, 30
COST_MODEL = {"style": False, "llm_weights": False, "factor_dim": 0, "population_mean": False, "warmup_rounds": 0}


def _world(decisions=0, effect_weight=0.0, cost_weight=0.0):
    """Known users who look at effect alone or at cost alone and never err; and one more who weighs as told."""
    rng = np.random.default_rng(1)
    effect, cost = rng.random((2, _QUERIES, 4))
    weights = [(1, 0) if user % 2 else (0, -1) for user in range(_KNOWN)] + [(effect_weight, cost_weight)]
    user = np.append(np.repeat(np.arange(_KNOWN), _EACH), np.full(decisions, _KNOWN))
    query = np.concatenate([rng.choice(_QUERIES, _EACH, replace=False) for _ in range(_KNOWN)])
    query = np.append(query, np.arange(decisions))
    worth = np.einsum("dk,dlk->dl", np.array(weights)[user], np.stack([effect, cost], -1)[query])
    feedback = np.eye(4)[worth.argmax(1)]
    return make_world(effect, cost, user, query, np.ones(feedback.shape, bool), feedback)


def _directions(decisions, effect_weight, cost_weight):
    """Effect and cost as the last user weighs them: read by itself, and compared with known users; of size 1."""
    network, graph = network_of(_world(), **COST_MODEL)
    params = rounds(network, graph, 12)
    graph = _world(decisions, effect_weight, cost_weight).build_graph()
    bound = network.bind(params)
    answers = bound.answers(graph)
    alone = np.asarray(bound.read_users(graph, answers))
    both = np.stack(
        [alone, compare_with_known(network, params, graph, answers, alone, np.asarray(bound.population().mean))]
    )[:, _KNOWN, :2]
    return both / np.linalg.norm(both, axis=1, keepdims=True)


def test_a_few_choices_make_somebody_one_of_the_known():
    alone, compared = _directions(2, 0, -1)
    assert compared[1] < -0.97
    assert compared[1] < alone[1] - 0.01


def test_somebody_unlike_any_known_user_is_known_by_its_own_choices():
    alone, compared = _directions(75, 1, 1)  # the dearer the better
    assert compared[1] > 0.3
    np.testing.assert_allclose(compared, alone, atol=0.01)


def test_without_known_users_nothing_is_compared():
    network, graph = network_of(_world(3, 1, 0), **COST_MODEL)
    params = network.init(jax.random.key(0))
    bound = network.bind(params)
    answers = bound.answers(graph)
    alone = np.asarray(bound.read_users(graph, answers))
    np.testing.assert_array_equal(
        compare_with_known(network, params, graph, answers, alone, np.asarray(bound.population().mean)), alone
    )
