"""Empirical Bayes: the weights of training users and the scores that follow."""

import numpy as np
from policy_cases import choices, labelled, parts, small_world

from prouter_jax.evaluation.baselines.empirical_bayes import EmpiricalBayes, choice_likelihood, reward_distance

NAN = np.nan


def test_likelihood_counts_only_the_candidates_of_a_choice():
    shares = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    history = labelled([0, 0, 1], [0, 1, 2], [[1, 0, 0], [NAN, 1, 0], [NAN, 0.5, 0.5]])
    log = np.log
    expected = [
        [log(0.5) + log(0.3 / 0.5), log(0.1) + log(0.1 / 0.9)],
        [(log(0.6) + log(0.4)) / 2, (log(1 / 9) + log(8 / 9)) / 2],
    ]
    np.testing.assert_allclose(choice_likelihood(history, shares), expected)


def test_rewards_are_compared_on_the_answers_that_both_users_rated():
    first = labelled([0, 0, 1], [0, 1, 1], [[1, 2], [3, NAN], [5, 5]])
    second = labelled([1, 1], [0, 1], [[2, NAN], [4, 7]])
    expected = [[0, (1 - 2) ** 2 + (3 - 4) ** 2], [0, (5 - 4) ** 2 + (5 - 7) ** 2]]
    np.testing.assert_allclose(reward_distance(first, second, (2, 2)), expected)


def test_one_choice_of_a_new_user_predicts_its_other_choices():
    """Users who sometimes choose LLM 3 mostly choose LLM 2; the others choose LLM 0."""
    dataset = small_world()
    kinds = ([0] * 40, [0] * 40, [0] * 40, [2] * 30 + [3] * 10)
    user = np.repeat(np.arange(4), 40)
    train = choices(user, [0] * 160, np.concatenate(kinds), 5)
    asked = choices([6, 7], [0, 0], [0, 0], 5).decisions
    policy = EmpiricalBayes(dataset, strength=1.0)
    policy.fit(train, train)
    history = choices([6, *user], [0] * 161, [3, *np.concatenate(kinds)], 5)
    assert policy.score(history, asked).argmax(1).tolist() == [2, 0]


def test_a_users_own_history_wins_in_the_end():
    dataset = small_world()
    user, llm = np.repeat(np.arange(3), 400), np.repeat([0, 0, 4], 400)
    train = choices(user, np.zeros(1200, int), llm, 5)
    policy = EmpiricalBayes(dataset)
    policy.fit(train, train)
    assert policy.score(train, choices([2], [0], [0], 5).decisions).argmax() == 4


def test_users_of_like_preferences_have_the_largest_weights():
    dataset = small_world("multi_cost_efficiency")
    train, validation, _ = parts(dataset)
    policy = EmpiricalBayes(dataset, temperature=1e-6)
    policy.fit(train, validation)
    weights = policy._weights(train)
    np.testing.assert_allclose(weights.sum(1), 1)
    # users stand in the order of their preference: a neighbour explains each best
    assert set(np.abs(weights.argmax(1) - np.arange(len(weights)))) == {1}
