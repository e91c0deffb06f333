"""Every metric agrees with an example worked by hand; the intervals cover what they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from prouter_jax import metrics

NAN = math.nan


def _choose(scores, offered):
    return metrics.choose(np.array(scores, float), np.array(offered, bool)).tolist()


def test_choose_takes_the_best_candidate_and_never_what_is_not_on_offer():
    assert _choose([[1, 3, 2], [1, 3, 2]], [[1, 1, 1], [1, 0, 1]]) == [1, 2]


def test_choose_takes_the_first_of_equal_candidates():
    assert _choose([[0, 5, 5], [7, 5, 5]], [[1, 1, 1], [0, 1, 1]]) == [1, 1]


def test_choose_stays_on_offer_even_where_every_candidate_scores_minus_infinity():
    assert _choose([[9, -np.inf, -np.inf]], [[0, 0, 1]]) == [2]


def test_choose_ignores_nan_where_it_is_not_on_offer():
    assert _choose([[NAN, 1, 2]], [[0, 1, 1]]) == [2]


def test_choose_refuses_nan_scores_missing_candidates_and_other_shapes():
    with pytest.raises(ValueError, match=r"scores.*NaN in decision 1"):
        _choose([[0, 1], [NAN, 1]], [[1, 1], [1, 1]])
    with pytest.raises(ValueError, match=r"offered.*none in decision 1"):
        _choose([[0, 1], [0, 1]], [[1, 1], [0, 0]])
    with pytest.raises(ValueError, match=r"expected shape \(2, 2\), found \(2, 3\)"):
        _choose([[0, 1, 2]] * 2, [[1, 1]] * 2)


def test_choose_of_no_decisions_is_empty():
    assert metrics.choose(np.zeros((0, 3)), np.zeros((0, 3), bool)).shape == (0,)


def test_a_pick_matches_any_choice_of_a_tie_and_nothing_where_nothing_was_chosen():
    shares = np.array([[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5], [0, 0, 0]])
    matches = metrics.matches(np.array([1, 1, 2, 0]), shares)
    np.testing.assert_array_equal(matches, [0, 1, 1, NAN])
    assert metrics.mean(matches) == pytest.approx(2 / 3)


def test_means_leave_out_what_is_not_known():
    assert metrics.mean(np.array([1.0, NAN, 2.0])) == 1.5
    assert math.isnan(metrics.mean(np.array([NAN])))
    assert math.isnan(metrics.mean(np.zeros(0)))
    found = metrics.group_means(np.array([1.0, 3.0, NAN, 5.0, NAN]), np.array([0, 0, 0, 2, 3]), 4)
    np.testing.assert_array_equal(found, [2, NAN, 5, NAN])


def test_means_of_many_small_float32_numbers_do_not_drift():
    assert metrics.mean(np.full(2_000_001, 0.1, np.float32)) == pytest.approx(0.1, abs=1e-8)


def test_gap_closed():
    assert metrics.gap_closed(0.3, 0.2, 0.6) == pytest.approx(0.25)
    assert metrics.gap_closed(0.1, 0.2, 0.6) == pytest.approx(-0.25)
    assert math.isnan(metrics.gap_closed(0.3, 0.4, 0.4))


def test_difference_over_seeds_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(2) = 4.3027."""
    found = metrics.difference_over_seeds(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert found == pytest.approx((2, 2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3), 3), abs=1e-5)


def test_one_seed_or_one_query_gives_no_interval():
    one = np.array([0.5]), np.array([0.25])
    for found in (metrics.difference_over_seeds(*one), metrics.difference_over_queries(*one, np.array([7]))):
        assert (found.mean, found.n) == (0.25, 1)
        assert np.isnan([found.low, found.high]).all()


def test_difference_over_queries_is_the_t_interval_of_the_means_per_query():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 6, 40))
    query = np.repeat(np.arange(40)[None] * 3, 6, axis=0)
    found = metrics.difference_over_queries(first.ravel(), second.ravel(), query.ravel())
    means = (first - second).mean(0)
    low, high = stats.t.interval(0.95, 39, means.mean(), means.std(ddof=1) / math.sqrt(40))
    assert found == pytest.approx((means.mean(), low, high, 40))


def test_difference_over_queries_of_unequal_size_has_the_mean_over_decisions():
    first, query = np.array([1.0, 1.0, 1.0, 0.0, NAN]), np.array([4, 4, 4, 9, 11])
    found = metrics.difference_over_queries(first, np.zeros(5), query)
    assert (found.mean, found.n) == (0.75, 2)


def test_the_interval_over_queries_covers_the_truth_where_decisions_on_a_query_resemble_each_other():
    """95 of 100 intervals hold the true difference 0; taking all decisions for independent, 45 would."""
    rng = np.random.default_rng(1)
    query = np.repeat(np.arange(30), 20)
    covered = 0
    for _ in range(400):
        difference = rng.normal(size=30)[query] + rng.normal(size=600)
        found = metrics.difference_over_queries(difference, np.zeros(600), query)
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / 400 <= 0.98
