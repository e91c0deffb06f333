"""Predicted rewards: near the truth, and independent of the user's own rewards."""

import dataclasses

import numpy as np
from off_policy_cases import make_log

from prouter_jax.evaluation.off_policy.log import build_contexts
from prouter_jax.evaluation.off_policy.reward_model import fold_users, predict_rewards


def test_the_mean_reward_of_each_llm_is_predicted():
    log, _ = make_log(6000)
    found = predict_rewards(log, build_contexts(log)).mean(0)
    np.testing.assert_allclose(found[1:], [1 / 3, 2 / 3], atol=0.05)
    assert found[0] < 0.25  # it was hardly ever picked, so it is drawn towards the mean of all


def test_a_users_own_rewards_do_not_change_its_predictions():
    log, _ = make_log()
    contexts, own = build_contexts(log), log.user == log.user[0]
    other = dataclasses.replace(log, reward=np.where(own, 50.0, log.reward))
    before, after = predict_rewards(log, contexts), predict_rewards(other, contexts)
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).any()


def test_hints_are_used():
    log, chances = make_log(3000)
    hinted = dataclasses.replace(log, reward=log.at_served(chances))
    errors = [
        np.abs(predict_rewards(hinted, build_contexts(log)[:, :1], hints) - chances)[log.offered].mean()
        for hints in (None, chances)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_all_decisions_of_a_user_are_in_one_fold_and_folds_are_alike():
    user = np.random.default_rng(0).integers(0, 1000, 5000)
    fold = fold_users(user)
    assert all(len(set(fold[user == one])) == 1 for one in range(50))
    assert (abs(np.bincount(fold) / 5000 - 0.2) < 0.03).all()
    assert len(set(fold_users(np.array([3, 3, 9])))) == 2
