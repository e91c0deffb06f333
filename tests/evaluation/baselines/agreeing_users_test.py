"""Agreeing users: the likelihood of histories, whom the weights fall on, and what a user's own history does."""

import numpy as np
from policy_cases import choices, labelled, parts, small_world

from prouter_jax.evaluation.baselines import agreeing_users
from prouter_jax.evaluation.baselines.agreeing_users import AgreeingUsers

NAN = np.nan


def _fitted(dataset, **settings):
    train, validation, _ = parts(dataset)
    policy = AgreeingUsers(dataset, **settings)
    policy.fit(train, validation)
    return policy, train


def test_the_likelihood_of_a_choice_is_its_expected_share_among_the_candidates():
    policy, _ = _fitted(small_world())
    history = labelled([2, 5, 5], [40, 3, 40], [[1, 0, 0, 0, 0], [NAN, 0.5, 0.5, NAN, 0], [NAN, NAN, 0, 1, NAN]])
    found = policy._log_likelihood(history, np.array([0, 1, 1]), 2)
    expected = np.zeros_like(found)
    for row, query, rewards in zip([0, 1, 1], history.decisions.query, history.rewards, strict=True):
        shares = policy._expected(np.array([query]))[:, :, 0].T
        offered = ~np.isnan(rewards)
        logs = np.log(shares / shares[:, offered].sum(1, keepdims=True))
        expected[row] += logs @ np.nan_to_num(rewards)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_known_users_own_choice_goes_before_its_habits():
    """User 0 chooses LLM 1 everywhere but on query 7."""
    dataset = small_world()
    query = np.tile(np.arange(30), 2)
    llm = np.where((np.repeat([0, 1], 30) == 0) & (query == 7), 3, 1)
    train = choices(np.repeat([0, 1], 30), query, llm, 5)
    policy = AgreeingUsers(dataset, near_width=0.05, near_strength=0.5)
    policy.fit(train, train)
    expected = policy._expected(np.array([6, 7]))
    assert expected[:, 0].argmax(0).tolist() == [1, 3]
    assert expected[:, 1].argmax(0).tolist() == [1, 1]
    np.testing.assert_allclose(expected.sum(0), 1, atol=1e-3)


def test_users_of_like_preferences_have_the_largest_weights():
    policy, train = _fitted(small_world("multi_cost_efficiency"), temperature=1e-3)
    weights = policy._weights(train, np.arange(8))
    np.testing.assert_allclose(weights.sum(1), 1)
    # users stand in the order of their preference: a neighbour explains each best
    assert set(np.abs(weights.argmax(1) - np.arange(8))) == {1}


def test_without_history_known_users_count_alike():
    policy, _ = _fitted(small_world())
    nothing = labelled(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 5)))
    np.testing.assert_allclose(policy._weights(nothing, np.array([6])), np.where(np.arange(8) == 6, 0, 1 / 7)[None])


def test_a_users_own_history_wins_in_the_end():
    dataset = small_world()
    user, llm = np.repeat(np.arange(3), 400), np.repeat([0, 0, 4], 400)
    train = choices(user, np.zeros(1200, int), llm, 5)
    policy = AgreeingUsers(dataset)
    policy.fit(train, train)
    assert policy.score(train, choices([2], [0], [0], 5).decisions).argmax() == 4


def test_large_tables_are_of_a_sample_of_users(monkeypatch):
    users = np.arange(0, 600, 2)
    np.testing.assert_array_equal(agreeing_users._limited(users, 1000), users)
    monkeypatch.setattr(agreeing_users, "_MAX_ENTRIES", 1000)
    found = agreeing_users._limited(users, 10)
    assert len(found) == 100
    assert set(found) <= set(users)
    assert (np.diff(found) > 0).all()
