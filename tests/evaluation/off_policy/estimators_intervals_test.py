"""Intervals over users: Student's t for normal data, wider for dependent decisions, shifted for skewed ones."""

import math

import numpy as np
import pytest
from scipy import special

from prouter_jax.evaluation.off_policy.estimators import _inverse_hall, interval_over_users


def _half(found):
    return (found.high - found.low) / 2


def test_even_independent_values_have_the_usual_interval():
    values = np.concatenate([(draws := np.random.default_rng(0).normal(size=500)), -draws])
    found = interval_over_users(5.0, values, np.arange(1000))
    usual = special.stdtrit(999, 0.975) * values.std(ddof=1) / math.sqrt(1000)
    assert found.mean == 5.0
    assert _half(found) == pytest.approx(usual, rel=0.002)
    assert (found.high + found.low) / 2 == pytest.approx(5.0, abs=1e-9)


def test_duplicated_decisions_do_not_narrow_the_interval():
    values, user = np.random.default_rng(0).normal(size=300), np.arange(300) % 50
    once, twice = (interval_over_users(0.0, np.tile(values, n), np.tile(user, n)) for n in (1, 2))
    assert (once.low, once.high) == pytest.approx((twice.low, twice.high))


def test_users_that_differ_make_it_wide():
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(50), 20)
    values = rng.normal(size=50)[user] + rng.normal(size=1000)
    by_user, as_if_alone = (interval_over_users(0.0, values, groups) for groups in (user, np.arange(1000)))
    assert _half(by_user) > 2 * _half(as_if_alone)


def test_a_skewed_distribution_shifts_the_interval():
    values = np.random.default_rng(0).exponential(size=100)
    right, left = (interval_over_users(0.0, sign * values, np.arange(100)) for sign in (1, -1))
    assert right.high > -right.low > 0
    assert (left.low, left.high) == pytest.approx((-right.high, -right.low))


@pytest.mark.parametrize("skewness", [-0.4, -1e-7, 0.02, 0.4])
@pytest.mark.parametrize("quantile", [-2.0, 0.5, 2.0])
def test_the_inverse_of_halls_polynomial(skewness, quantile):
    found = _inverse_hall(quantile, skewness)
    back = found + skewness * found**2 / 3 + skewness**2 * found**3 / 27 + skewness / 6
    assert back == pytest.approx(quantile, abs=1e-6)


def test_one_user_has_no_interval():
    found = interval_over_users(1.0, np.ones(5), np.zeros(5, int))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_equal_values_have_no_width():
    found = interval_over_users(1.0, np.ones(5), np.arange(5))
    assert (found.low, found.high) == (1.0, 1.0)


def test_intervals_of_means_of_skewed_draws_cover_the_true_value():
    rng, held = np.random.default_rng(1), 0
    for _ in range(2000):
        draws = rng.exponential(size=60)
        found = interval_over_users(draws.mean(), draws, np.arange(60))
        held += found.low <= 1 <= found.high
    assert 0.935 < held / 2000 < 0.97
