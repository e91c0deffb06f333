"""Drift is measured as it was planted, and an unchanged stream has none."""

import numpy as np
import pytest

from prouter_jax.serving.drift import Said, measure_foreseen, measure_people, measure_topics

LLMS = 5


def test_people_are_counted_by_users_and_by_decisions():
    found = measure_people(np.array([0, 0, 0, 2, 3]), np.array([True, True, True, False]))
    assert (found.users, found.new, found.new_share) == (3, 1, 0.2)


def test_queries_of_the_same_kind_are_near_and_others_far():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (8, 32))

    def queries(number, centres):
        return (centres[rng.integers(0, len(centres), number)] + rng.normal(0, 0.3, (number, 32))).astype(np.float32)

    for _ in range(20):
        trained, same, other = queries(400, centres), queries(200, centres), queries(200, rng.normal(0, 1, (8, 32)))
        unknown = np.zeros(200, bool)
        usual = measure_topics(same, unknown, trained)
        assert usual.far_share < 0.12
        assert usual.chance > 1e-3
        strange = measure_topics(np.concatenate([same[:100], other[:100]]), unknown, trained)
        assert 0.5 <= strange.far_share < 0.62
        assert strange.chance < 1e-9
    mixed = measure_topics(np.concatenate([same[:100], other[:100]]), np.arange(200) >= 100, trained)
    assert mixed.new == 100
    assert mixed.far_share < 0.06  # what training held is near, wherever it lies
    known = measure_topics(other, ~unknown, trained)
    assert (known.new, known.far, known.chance) == (0, 0, 1)


def test_training_queries_that_are_all_alike_do_not_make_everything_far():
    trained = np.repeat(np.eye(4, dtype=np.float32), 50, axis=0)
    found = measure_topics(np.eye(4, dtype=np.float32), np.zeros(4, bool), trained)
    assert found.limit == pytest.approx(np.sqrt(2))
    assert found.far == 0


def test_calibration_error_by_chance_is_what_true_probabilities_have():
    rng = np.random.default_rng(0)
    above = []
    for _ in range(30):
        logits = rng.normal(0, 1.5, (300, LLMS))
        offered = np.ones(logits.shape, bool)
        liked = logits + rng.gumbel(size=logits.shape)
        shares = (liked == liked.max(1, keepdims=True)).astype(np.float32)
        said = Said(np.arange(300), np.arange(300), offered, shares)
        found = measure_foreseen(logits, said)
        above.append(found.fit.calibration_error > found.by_chance)
        assert measure_foreseen(3 * logits, said).fit.calibration_error > 0.1
    assert np.mean(above) < 0.08


def test_of_nothing_nothing_is_foreseen():
    none = np.zeros((0, LLMS), bool)
    nobody = Said(np.zeros(0, int), np.zeros(0, int), none, none.astype(np.float32))
    assert measure_foreseen(np.zeros((0, LLMS)), nobody).fit.decisions == 0
