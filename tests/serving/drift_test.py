"""Drift of users, queries and calibration: planted drift is measured, and an unchanged stream has none."""

import numpy as np
import pytest

from prouter_jax.serving.choice_drift import LoggedChoices
from prouter_jax.serving.drift import measure_calibration, measure_queries, measure_users

LLMS = 5


def test_users_are_counted_by_users_and_by_decisions():
    found = measure_users(np.array([0, 0, 0, 2, 3]), np.array([True, True, True, False]))
    assert (found.users, found.new, found.new_share) == (3, 1, 0.2)


def test_queries_of_the_same_kind_are_near_and_others_far():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (8, 32))

    def queries(number, centres):
        return (centres[rng.integers(0, len(centres), number)] + rng.normal(0, 0.3, (number, 32))).astype(np.float32)

    for _ in range(20):
        trained, same, other = queries(400, centres), queries(200, centres), queries(200, rng.normal(0, 1, (8, 32)))
        in_training = np.zeros(200, bool)
        usual = measure_queries(same, in_training, trained)
        assert usual.far_share < 0.12
        assert usual.p_value > 1e-3
        strange = measure_queries(np.concatenate([same[:100], other[:100]]), in_training, trained)
        assert 0.5 <= strange.far_share < 0.62
        assert strange.p_value < 1e-9
    mixed = measure_queries(np.concatenate([same[:100], other[:100]]), np.arange(200) >= 100, trained)
    assert mixed.new == 100
    assert mixed.far_share < 0.06  # training queries are near, wherever they are
    known = measure_queries(other, ~in_training, trained)
    assert (known.new, known.far, known.p_value) == (0, 0, 1)


def test_training_queries_that_are_all_alike_do_not_make_everything_far():
    trained = np.repeat(np.eye(4, dtype=np.float32), 50, axis=0)
    found = measure_queries(np.eye(4, dtype=np.float32), np.zeros(4, bool), trained)
    assert found.limit == pytest.approx(np.sqrt(2))
    assert found.far == 0


def test_true_probabilities_rarely_exceed_the_calibration_error_limit():
    rng = np.random.default_rng(0)
    above = []
    for _ in range(30):
        logits = rng.normal(0, 1.5, (300, LLMS))
        offered = np.ones(logits.shape, bool)
        liked = logits + rng.gumbel(size=logits.shape)
        shares = (liked == liked.max(1, keepdims=True)).astype(np.float32)
        choices = LoggedChoices(np.arange(300), np.arange(300), offered, shares)
        found = measure_calibration(logits, choices)
        above.append(found.fit.calibration_error > found.calibration_error_limit)
        assert measure_calibration(3 * logits, choices).fit.calibration_error > 0.1
    assert np.mean(above) < 0.08


def test_no_decisions_have_no_calibration():
    none = np.zeros((0, LLMS), bool)
    choices = LoggedChoices(np.zeros(0, int), np.zeros(0, int), none, none.astype(np.float32))
    assert measure_calibration(np.zeros((0, LLMS)), choices).fit.decisions == 0
