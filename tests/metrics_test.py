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


LOG = math.log
# three decisions: a clear choice, a tie of two of the candidates, no choice
LOGITS = np.array([[LOG(6.0), LOG(3.0), 9.0, 0.0], [0.0, LOG(2.0), 0.0, -np.inf], [1.0, NAN, 0.0, 0.0]])
OFFERED = np.array([[1, 1, 0, 1], [1, 1, 1, 1], [1, 0, 1, 1]], bool)
SHARES = np.array([[0, 1, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0]])
BY_HAND = [-LOG(0.3), -0.5 * LOG(0.5) - 0.5 * LOG(0.25), NAN]


def test_log_loss_by_hand():
    """Softmax over candidates only: 6, 3, 1 of 10; 1, 2, 1, 0 of 4, the tie sharing the target."""
    np.testing.assert_allclose(metrics.log_loss(LOGITS, OFFERED, SHARES), BY_HAND, rtol=1e-12)
    np.testing.assert_allclose(metrics.log_loss(LOGITS + 700, OFFERED, SHARES), BY_HAND, rtol=1e-10)
    np.testing.assert_allclose(metrics.log_loss(LOGITS.astype(np.float32), OFFERED, SHARES), BY_HAND, rtol=1e-6)


def test_log_loss_is_infinite_for_a_choice_held_impossible():
    found = metrics.log_loss(np.array([[0.0, -np.inf]]), np.ones((1, 2), bool), np.array([[0.0, 1.0]]))
    assert found.tolist() == [np.inf]


def test_probabilities_need_a_finite_logit_and_a_choice_on_offer():
    both, first = np.ones((1, 2), bool), np.array([[1.0, 0.0]])
    with pytest.raises(ValueError, match=r"logits: expected a finite one, found none in decision 0"):
        metrics.log_loss(np.full((1, 2), -np.inf), both, first)
    with pytest.raises(ValueError, match=r"logits: expected below infinity, found inf in decision 0"):
        metrics.log_loss(np.array([[np.inf, 0]]), both, first)
    with pytest.raises(
        ValueError, match=r"shares: expected a choice among the candidates, found another in decision 0"
    ):
        metrics.calibration_error(np.zeros((1, 2)), ~first.astype(bool), first)
    with pytest.raises(ValueError, match=r"scores.*NaN in decision 0"):
        metrics.top_k(np.full((1, 2), NAN), both, first, 1)


def test_top_k_by_hand():
    offered = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [1, 1, 1], [0, 1, 1]], bool)
    scores = np.array([[3, 2, 1], [3, 9, 1], [1, 1, 1], [3, 2, 1], [9, -np.inf, -np.inf]])
    shares = np.array([[0, 0, 1], [0, 0, 1], [0, 0.5, 0.5], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(metrics.top_k(scores, offered, shares, 1), [0, 0, 0, NAN, 0])
    np.testing.assert_array_equal(metrics.top_k(scores, offered, shares, 2), [0, 1, 1, NAN, 1])
    assert metrics.mean(metrics.top_k(scores, offered, shares, 7)) == 1


def test_top_1_is_what_the_pick_matches():
    rng = np.random.default_rng(2)
    scores, offered = rng.integers(0, 4, (300, 6)).astype(float), rng.random((300, 6)) < 0.7
    offered[:, 0] = True
    shares = np.where(offered & (rng.random((300, 6)) < 0.3), 0.5, 0)
    expected = metrics.matches(metrics.choose(scores, offered), shares)
    np.testing.assert_array_equal(metrics.top_k(scores, offered, shares, 1), expected)


def test_accuracy_without_ties_leaves_out_ties_and_what_was_not_chosen():
    shares = np.array([[1, 0], [0, 1], [0.5, 0.5], [0, 0], [0, 1]])
    assert metrics.accuracy_without_ties(np.array([0, 0, 0, 0, 1]), shares) == pytest.approx(2 / 3)
    assert math.isnan(metrics.accuracy_without_ties(np.array([0]), np.array([[0.5, 0.5]])))


def test_the_temperature_of_a_coin_by_hand():
    """First of two chosen in 8 of 10 decisions, logits 1 and 0: factor log(8 / 2)."""
    shares = np.repeat([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [8, 2, 5], axis=0)
    logits = np.tile([1.0, 0.0], (15, 1))
    assert metrics.fit_temperature(logits, np.ones((15, 2), bool), shares) == pytest.approx(LOG(4), rel=1e-4)
    assert metrics.fit_temperature(logits / 1000, np.ones((15, 2), bool), shares) == pytest.approx(1000 * LOG(4), 1e-3)


def test_the_temperature_undoes_a_wrong_scale_and_no_other_has_less_log_loss():
    logits, offered, shares = _drawn(20_000)
    factor = metrics.fit_temperature(5 * logits, offered, shares)
    assert factor == pytest.approx(0.2, rel=0.05)
    losses = [metrics.mean(metrics.log_loss(5 * logits * f, offered, shares)) for f in factor * np.array([0.9, 1, 1.1])]
    assert losses[1] == min(losses)


def _wrong_scale(users, decisions_each, scale, seed=0):
    """Choices whose logits are `scale` times too large, and the user of each."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(users * decisions_each, 4))
    picked = (logits + random.gumbel(size=logits.shape)).argmax(1)
    return scale * logits, np.ones(logits.shape, bool), np.eye(4)[picked], np.repeat(np.arange(users), decisions_each)


def test_many_users_tell_the_temperature_and_few_do_not():
    many, few = (metrics.shrunken_temperature(*_wrong_scale(n, 20, 3.0)) for n in (500, 1))
    assert many == pytest.approx(1 / 3, rel=0.05)
    assert metrics.fit_temperature(*_wrong_scale(1, 20, 3.0)[:3]) < few < 1


def test_alike_decisions_of_a_user_count_as_fewer():
    logits, offered, shares, user = _wrong_scale(10, 1, 3.0)
    repeated = [np.repeat(x, 50, 0) for x in (logits, offered, shares, user)]
    once = metrics.shrunken_temperature(logits, offered, shares, user)
    assert metrics.shrunken_temperature(*repeated) == pytest.approx(once, rel=0.05)
    assert metrics.fit_temperature(logits, offered, shares) < metrics.shrunken_temperature(*repeated[:3]) < once - 0.02


def test_a_perfect_validation_set_does_not_make_the_router_certain():
    logits = np.array([[1.0, 0.0]] * 8)
    factor = metrics.shrunken_temperature(logits, np.ones((8, 2), bool), np.eye(2)[np.zeros(8, int)], np.arange(8))
    assert 1 < factor < 3


def test_a_temperature_needs_choices_that_are_possible():
    with pytest.raises(ValueError, match="expected a decision with a choice, found none"):
        metrics.fit_temperature(LOGITS[2:], OFFERED[2:], SHARES[2:])
    with pytest.raises(ValueError, match="expected a finite one for each choice, found -inf"):
        metrics.fit_temperature(np.array([[0.0, -np.inf]]), np.ones((1, 2), bool), np.array([[0.0, 1.0]]))


def test_calibration_error_by_hand():
    """Bins at 3/4 (1 of 2 chosen) and at 9/10 (a tie and a choice): (1/4 + (0.9 - 0.75)) / 2."""
    logits = np.log([[3.0, 1.0], [9.0, 1.0], [1.0, 3.0], [1.0, 9.0], [1.0, 1.0]])
    shares = np.array([[1, 0], [0.5, 0.5], [1, 0], [0, 1], [0, 0]])
    offered = np.ones((5, 2), bool)
    assert metrics.calibration_error(logits, offered, shares, bins=2) == pytest.approx(0.2)
    assert metrics.calibration_error(logits, offered, shares, bins=1) == pytest.approx(0.825 - 0.625)
    assert metrics.calibration_error(logits[::-1], offered, shares[::-1], bins=2) == pytest.approx(0.2)
    assert math.isnan(metrics.calibration_error(logits[4:], offered[4:], shares[4:]))


def test_calibration_bins_hold_equal_counts():
    """0.6 and 0.7 with one right, 0.8 and 0.9 with one right: (0.3 + 0.7) / 4."""
    chance = np.array([0.6, 0.7, 0.8, 0.9])
    shares = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    found = metrics.calibration_error(np.log(np.stack([chance, 1 - chance], 1)), shares >= 0, shares, bins=2)
    assert found == pytest.approx(0.25)


def test_equal_probabilities_share_a_bin():
    """A router that always says 3/4 and is right 3 times in 4 is calibrated, in whatever order the decisions come."""
    shares = np.repeat([[1.0, 0.0], [0.0, 1.0]], [30, 10], axis=0)
    assert metrics.calibration_error(np.tile(np.log([3.0, 1.0]), (40, 1)), shares >= 0, shares) == pytest.approx(0)


def test_true_probabilities_are_calibrated_and_sharper_ones_are_not():
    logits, offered, shares = _drawn(20_000)
    assert metrics.calibration_error(logits, offered, shares) < 0.02
    assert metrics.calibration_error(3 * logits, offered, shares) > 0.1


def test_the_error_by_chance_is_that_of_true_probabilities():
    """The mean of 30 draws of 600 decisions, of which each has nearly the variance that is expected."""
    logits, offered, _ = _drawn(600)
    rng, found = np.random.default_rng(5), []
    for _ in range(30):
        chosen = np.where(offered, logits + rng.gumbel(size=logits.shape), -np.inf).argmax(1)
        found.append(metrics.calibration_error(logits, offered, np.eye(5)[chosen]))
    expected = metrics.calibration_error_by_chance(logits, offered, np.eye(5)[chosen])
    assert expected == pytest.approx(np.mean(found), rel=0.1)
    assert math.isnan(metrics.calibration_error_by_chance(logits, offered, np.zeros((600, 5))))


def test_users_worse_by_hand():
    """Means 2, -1 and -0.1; the second without doubt, the third has one decision."""
    change, user = np.array([1.0, 3, -0.9, -1.1, -1, -0.1, NAN]), np.array([4, 4, 9, 9, 9, 2, 7])
    found = metrics.users_worse(change, user)
    assert (found.share, found.significant) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert found.by_chance == pytest.approx((stats.norm.cdf(-2) + 0.5) / 2)  # standard error 1 of the first user
    assert np.isnan(metrics.users_worse(np.array([NAN]), np.array([0]))).all()


def test_few_are_significantly_worse_where_nobody_is():
    """Half of the users gain a lot and half nothing: a quarter of all seem worse, one in 40 significantly."""
    rng = np.random.default_rng(6)
    user = np.repeat(np.arange(3000), 20)
    found = metrics.users_worse(rng.normal(np.where(user % 2, 3, 0), 1), user)
    assert found.share == pytest.approx(0.25, abs=0.02)
    assert found.significant == pytest.approx(0.025, abs=0.01)
    assert 0.15 < found.by_chance <= found.share


def _drawn(decisions):
    """Choices among some of five candidates drawn from the softmax of their logits."""
    rng = np.random.default_rng(3)
    logits, offered = rng.normal(size=(decisions, 5)), rng.random((decisions, 5)) < 0.8
    offered[:, :2] = True
    chosen = np.where(offered, logits + rng.gumbel(size=logits.shape), -np.inf).argmax(1)
    return logits, offered, np.eye(5)[chosen]


def test_share_recovered():
    assert metrics.share_recovered(0.3, 0.2, 0.6) == pytest.approx(0.25)
    assert metrics.share_recovered(0.65, 0.7, 0.6) == pytest.approx(0.5)  # a loss: less is better
    assert math.isnan(metrics.share_recovered(0.3, 0.4, 0.4))


def test_share_over_seeds_by_hand():
    """Gains 1, 3 of gaps 2, 4: share 4/6, residuals -1/3 and 1/3 over the mean gap 3, t(1) = 12.7062."""
    found = metrics.share_over_seeds(np.array([2.0, 3.0]), np.array([1.0, 0.0]), np.array([3.0, 4.0]))
    reach = 12.7062 * (math.sqrt(2) / 3) / 3 / math.sqrt(2)
    assert found == pytest.approx((2 / 3, 2 / 3 - reach, 2 / 3 + reach, 2), rel=1e-5)


def test_a_seed_without_a_gap_does_not_drown_the_share_and_no_gap_gives_none():
    found = metrics.share_over_seeds(np.array([0.5, 0.01]), np.zeros(2), np.array([1.0, 0.0]))
    assert found.mean == pytest.approx(0.51)
    assert math.isnan(metrics.share_over_seeds(np.ones(2), np.zeros(2), np.zeros(2)).mean)
    assert metrics.share_over_seeds(np.array([0.5, NAN]), np.zeros(2), np.ones(2)).n == 1


def test_a_fit_is_of_decisions_between_several_and_has_the_wider_of_two_intervals():
    """u's losses are alike and v's are, so that users tell less than queries do; one candidate tells nothing."""
    logits = np.array([[1.0, 0.0, 0.0]] * 7)
    offered = np.array([[True, True, False]] * 5 + [[True, False, False], [True, True, True]])
    shares = np.array([[1.0, 0, 0]] * 2 + [[0, 1.0, 0]] * 3 + [[1.0, 0, 0], [0, 0, 0]])
    user, query = np.array([0, 0, 1, 1, 1, 0, 0]), np.arange(7)
    fit = metrics.measure_fit(logits, offered, shares, user, query)
    chance = 1 / (1 + math.exp(-1))
    losses = -np.log([chance] * 2 + [1 - chance] * 3)
    assert (fit.decisions, fit.log_loss) == (5, pytest.approx(losses.mean()))
    by_user = metrics.mean_over_clusters(losses, user[:5])
    assert fit.log_loss_margin == pytest.approx(by_user.high - by_user.mean)
    assert fit.log_loss_margin > metrics.mean_over_clusters(losses, query[:5]).high - by_user.mean
    assert fit.calibration_error == pytest.approx(chance - 0.4)


def test_a_fit_of_nothing_is_not_known():
    nothing = metrics.measure_fit(np.zeros((1, 2)), np.array([[True, False]]), np.eye(2)[:1], np.zeros(1), np.zeros(1))
    assert nothing.decisions == 0
    assert np.isnan([nothing.log_loss, nothing.log_loss_margin, nothing.calibration_error]).all()
