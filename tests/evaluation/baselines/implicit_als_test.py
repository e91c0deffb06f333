"""Implicit ALS: each step against a general optimiser of the stated objective."""

import numpy as np
from policy_cases import labelled
from scipy import optimize

from prouter_jax.evaluation.baselines import implicit_als

NAN = np.nan
CONFIDENCE, PENALTY, SHAPE = 3.0, 0.7, (2, 3)  # users, queries
HISTORY = labelled(
    [0, 0, 1, 1, 1],
    [0, 1, 1, 2, 2],
    [[1, 0, 0, 0], [0, NAN, 0.5, 0.5], [0, 1, NAN, NAN], [NAN, NAN, 0, 1], [NAN] * 4],
)
RNG = np.random.default_rng(0)
USERS, ANSWERS = RNG.normal(size=(2, 2)), RNG.normal(size=(3, 4, 2))
MEAN, LLM = RNG.normal(size=2), RNG.normal(size=(4, 2))


def _objective(users, answers):
    total = PENALTY * (np.square(users - MEAN).sum() + np.square(answers - LLM).sum())
    for user, query, rewards in zip(HISTORY.decisions.user, HISTORY.decisions.query, HISTORY.rewards, strict=True):
        for llm in np.flatnonzero(~np.isnan(rewards)):
            share = rewards[llm]
            total += (1 + CONFIDENCE * share) * (share - users[user] @ answers[query, llm]) ** 2
    return total


def _cells():
    return implicit_als._cells(HISTORY, HISTORY.decisions.user, SHAPE, CONFIDENCE)


def test_the_users_step_minimises_the_objective():
    found = implicit_als._user_step(_cells(), ANSWERS, MEAN, PENALTY)
    expected = optimize.minimize(lambda x: _objective(x.reshape(2, 2), ANSWERS), np.zeros(4)).x.reshape(2, 2)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_answers_step_minimises_the_objective():
    found = implicit_als._answer_step(_cells(), USERS, LLM, PENALTY)
    expected = optimize.minimize(lambda x: _objective(USERS, x.reshape(3, 4, 2)), np.zeros(24)).x.reshape(3, 4, 2)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(found[2, 0], LLM[0])  # never a candidate


def test_a_user_without_history_is_the_mean_user():
    nothing = labelled(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)))
    cells = implicit_als._cells(nothing, np.zeros(0, int), SHAPE, CONFIDENCE)
    np.testing.assert_allclose(implicit_als._user_step(cells, ANSWERS, MEAN, PENALTY), [MEAN, MEAN])
