"""Drift of users, queries and calibration: planted drift is measured, and an unchanged stream has none."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.serving.drift import (
    LoggedChoices,
    expected_shares,
    fit_strengths,
    measure_calibration,
    measure_choices,
    measure_queries,
    measure_users,
)

NUM_LLMS = 5


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
        logits = rng.normal(0, 1.5, (300, NUM_LLMS))
        offered = np.ones(logits.shape, bool)
        liked = logits + rng.gumbel(size=logits.shape)
        shares = (liked == liked.max(1, keepdims=True)).astype(np.float32)
        choices = LoggedChoices(np.arange(300), np.arange(300), offered, shares)
        found = measure_calibration(logits, choices)
        above.append(found.fit.calibration_error > found.calibration_error_limit)
        assert measure_calibration(3 * logits, choices).fit.calibration_error > 0.1
    assert np.mean(above) < 0.08


def test_no_decisions_have_no_calibration():
    none = np.zeros((0, NUM_LLMS), bool)
    choices = LoggedChoices(np.zeros(0, int), np.zeros(0, int), none, none.astype(np.float32))
    assert measure_calibration(np.zeros((0, NUM_LLMS)), choices).fit.decisions == 0


LLMS, USERS = 5, 40
NAMES = [f"llm{number}" for number in range(LLMS)]


def _utilities(rng):
    return rng.normal(0, 1.5, (USERS, LLMS)) + np.linspace(0, 1, LLMS)


def _stream(rng, utilities, decisions, users=None, fewest=2, queries=None):
    """Decisions of random users (one of `users`) between random candidates, by their utilities.

    `queries` [queries, llms] is how good each answer is; all alike by default.
    """
    user = rng.choice(np.arange(len(utilities)) if users is None else users, decisions)
    query = rng.integers(0, 200 if queries is None else len(queries), decisions)
    size = rng.integers(fewest, LLMS, decisions, endpoint=True)
    offered = rng.random((decisions, LLMS)).argsort(1).argsort(1) < size[:, None]
    answers = 0 if queries is None else queries[query]
    liked = np.where(offered, utilities[user] + answers + rng.gumbel(size=offered.shape), -np.inf)
    shares = (liked == liked.max(1, keepdims=True)).astype(np.float32)
    return LoggedChoices(user, query, offered, shares)


def _moved(seed, change=None, **now):
    rng = np.random.default_rng(seed)
    utilities = _utilities(rng)
    before = _stream(rng, utilities, 2000)
    return measure_choices(before, _stream(rng, utilities if change is None else change(utilities), 500, **now), NAMES)


def test_strengths_are_shares_where_all_are_on_offer_and_do_not_depend_on_offers():
    rng = np.random.default_rng(0)
    same = np.repeat(rng.normal(0, 1, (1, LLMS)), USERS, axis=0)
    whole = _stream(rng, same, 4000, fewest=LLMS)
    np.testing.assert_allclose(fit_strengths(whole), whole.shares.mean(0), atol=1e-6)
    truth = np.exp(same[0]) / np.exp(same[0]).sum()
    np.testing.assert_allclose(fit_strengths(_stream(rng, same, 20_000)), truth, atol=0.02)


def test_expected_shares_are_those_of_the_candidates():
    offered = np.array([[True, True, False], [False, False, True]])
    found = expected_shares(np.array([0.6, 0.2, 0.0]), offered)
    np.testing.assert_allclose(found, [[0.75, 0.25, 0], [0, 0, 1]])


def test_an_unchanged_stream_is_rarely_significant():
    """One in a hundred, by definition; also where only some of the users decide, or other LLMs are on offer."""
    for now in ({}, {"users": np.arange(8)}, {"fewest": LLMS}):
        p_values = [_moved(seed, **now).p_value for seed in range(100)]
        assert np.mean(np.array(p_values) < 0.01) <= 0.04, now


def test_other_queries_are_not_other_preferences():
    """A few queries whose answers differ a lot: the choices on them are correlated, however many users decide."""
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        utilities = _utilities(rng)
        before, now = (
            _stream(rng, utilities, 1500, queries=rng.normal(0, 1.5, (number, LLMS))) for number in (150, 40)
        )
        now = dataclasses.replace(now, query=now.query + 1000)
        p_values.append(measure_choices(before, now, NAMES).p_value)
    assert np.mean(np.array(p_values) < 0.01) <= 0.04


def test_a_shift_of_preferences_is_found_and_named():
    for seed in range(10):
        found = _moved(seed, lambda utilities: utilities + 1.2 * (np.arange(LLMS) == 1))
        assert found.p_value < 0.01
        assert found.moved > 0.05
        largest = max(found.shifts, key=lambda shift: abs(shift.found - shift.expected))
        assert (largest.llm, largest.low > 0) == ("llm1", True)


def test_the_interval_covers_the_true_difference():
    covered = []
    for seed in range(100):
        found = _moved(seed, fewest=LLMS)
        covered += [shift.low <= 0 <= shift.high for shift in found.shifts]
    assert 0.9 < np.mean(covered) <= 1


def test_choices_of_new_llms_are_counted_apart():
    rng = np.random.default_rng(0)
    utilities = _utilities(rng)
    now = _stream(rng, utilities, 400, fewest=LLMS)
    old = _stream(rng, utilities[:, :4] @ np.eye(4, LLMS) - 99 * (np.arange(LLMS) == 4), 2000)
    before = LoggedChoices(old.user, old.query, old.offered[:, :4], old.shares[:, :4])
    found = measure_choices(before, now, NAMES[:4])
    assert found.new_llm_share == pytest.approx(now.shares[:, 4].mean())
    assert [shift.llm for shift in found.shifts] == NAMES[:4]
    assert found.p_value > 0.01


def test_one_user_or_none_gives_no_interval():
    rng = np.random.default_rng(0)
    utilities = _utilities(rng)
    before, one = _stream(rng, utilities, 100), _stream(rng, utilities, 50, users=[3])
    assert measure_choices(before, one, NAMES).p_value == 1
    assert np.isnan(measure_choices(before, one, NAMES).shifts[0].low)
    none = before.take(np.zeros(0, int))
    assert measure_choices(before, none, NAMES).shifts == []
