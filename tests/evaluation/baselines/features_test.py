"""Kernel features and principal components against their definitions."""

import numpy as np
import pytest
from policy_cases import choices, parts, small_world

from prouter_jax.dataset import Labelled
from prouter_jax.evaluation.baselines import features
from prouter_jax.evaluation.baselines.base import select
from prouter_jax.evaluation.baselines.features import DecisionFeatures, is_warm, llm_features


def test_kernel_features_give_the_kernel_back():
    rng = np.random.default_rng(0)
    vectors, seen = rng.normal(size=(30, 6)), np.arange(30) < 20
    found = features.kernel_features(vectors, seen, width=0.8, landmarks=50)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = np.exp((unit @ unit.T - 1) / 0.8**2)
    np.testing.assert_allclose(found[seen] @ found.T, kernel[seen], atol=1e-4)
    assert features.kernel_features(vectors, seen, 0.8, landmarks=5).shape == (30, 5)


def test_principal_components_are_those_of_the_seen_rows():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 3)) * [1, 10, 5]
    seen = np.arange(200) < 150
    found = features.principal_components(vectors, seen, 2)
    np.testing.assert_allclose(found[seen].std(0), 1, atol=0.01)
    assert abs(np.corrcoef(found[seen, 0], vectors[seen, 1])[0, 1]) > 0.98
    far = np.where(seen[:, None], vectors, 1e3)
    np.testing.assert_allclose(features.principal_components(far, seen, 2)[seen], found[seen], rtol=1e-4, atol=1e-4)


def _features(dataset, warm=False):
    return DecisionFeatures(dataset, 4, choices=True, warm=warm)


@pytest.mark.parametrize("warm", [False, True])
def test_a_training_decision_is_hidden_from_its_own_features(warm):
    """A fold's decisions are not in the statistics of the fold."""
    dataset = small_world(split="warm_query" if warm else "cold_query")
    train, _, _ = parts(dataset)
    everything = np.arange(len(train.rewards))
    for statistics, rows in _features(dataset, warm).folds(train, everything, np.random.default_rng(0)):
        seen = np.expm1(statistics.query_count.astype(float)).round().sum()
        hidden = set(train.decisions.query[rows])
        rest = np.setdiff1d(everything, rows)
        assert seen == train.decisions.offered[rest].sum()
        if not warm:
            assert not statistics.query_count[sorted(hidden)].any()
            assert hidden.isdisjoint(train.decisions.query[rest])


def test_every_training_decision_is_in_one_fold():
    dataset = small_world()
    train, _, _ = parts(dataset)
    chosen = np.arange(0, len(train.rewards), 3)
    found = [rows for _, rows in _features(dataset).folds(train, chosen, np.random.default_rng(0))]
    assert len(found) > 1
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), chosen)


def test_some_histories_are_short_in_training():
    dataset = small_world()
    train, _, _ = parts(dataset)
    folds = _features(dataset).folds(train, np.arange(len(train.rewards)), np.random.default_rng(0))
    lengths = np.expm1(np.concatenate([statistics.history_length for statistics, _ in folds]))
    longest = np.bincount(train.decisions.user).max()
    assert (lengths < 5).any()
    assert (lengths > longest / 2).any()


def test_features_are_of_candidates_or_of_decisions():
    dataset = small_world()
    train, _, test = parts(dataset)
    features = _features(dataset)
    statistics = features.statistics(train, train)
    rows, vectors = (
        features.candidate_features(statistics, test.decisions),
        features.decision_features(statistics, test.decisions),
    )
    assert len(rows) == test.decisions.offered.sum()
    np.testing.assert_array_equal(rows[:, 0], np.nonzero(test.decisions.offered)[1])
    assert len(vectors) == len(test.rewards)
    assert np.isfinite(vectors).all()


def test_answers_are_described_only_where_queries_are_warm():
    dataset = small_world(split="warm_query")
    train, validation, test = parts(dataset)
    assert is_warm(train, validation)
    assert not is_warm(*parts(small_world())[:2])
    cold, warm = (_features(dataset, warm=kind) for kind in (False, True))
    widths = [x.candidate_features(x.statistics(train, train), test.decisions).shape[1] for x in (cold, warm)]
    style = dataset.world.interactions.outcomes.style
    assert widths[1] - widths[0] == 4 + (0 if style is None else style.shape[1])


def test_a_user_is_described_by_what_it_chose():
    dataset = small_world()
    train = choices([0] * 3 + [1] * 3, [0, 1, 2] * 2, [4, 4, 4, 0, 0, 0], 5, first=[4, 0, 4, 4, 1, 2])
    features = _features(dataset)
    statistics = features.statistics(train, train)
    assert statistics.by_user[0].argmax() == 4
    assert statistics.preferred[0, 2] == pytest.approx(2 / 3)
    assert statistics.preferred[1, 2] == 0
    assert np.isnan(statistics.preferred[5]).all()
    assert statistics.history_length[5] == 0


def test_llms_are_described_by_training_outcomes():
    dataset = small_world()
    found, outcomes = llm_features(dataset), dataset.world.interactions.outcomes
    for llm in range(5):
        assert found[llm, 4] == pytest.approx(np.nanmean(outcomes.effect[outcomes.llm == llm]), rel=1e-4)


def test_unobserved_rewards_change_no_statistics():
    dataset = small_world()
    train, _, _ = parts(dataset)
    blank = Labelled(train.decisions, np.full_like(train.rewards, np.nan))
    features = _features(dataset)
    nothing, none = features.statistics(blank, train), features.statistics(select(train, np.zeros(0, int)), train)
    np.testing.assert_allclose(nothing.by_user, none.by_user)
    assert np.isnan(nothing.preferred[:, :2]).all()
