"""Matrix factorisation: the policy on planted groups of users, and the fit in its two forms."""

import dataclasses

import numpy as np
from policy_cases import choices, labelled, parts, small_world

from prouter_jax import metrics
from prouter_jax.evaluation.baselines import factorisation
from prouter_jax.evaluation.baselines.base import select
from prouter_jax.evaluation.baselines.factorisation import Factorisation

PREPARED = small_world()


def _two_groups(rng, missing):
    """Users 0-3 and 4-7 like opposite answers, which ones changes from query to query; some pairs are held out."""
    user, query = (grid.ravel() for grid in np.meshgrid(np.arange(8), np.arange(60), indexing="ij"))
    liked = rng.permuted(np.tile(np.arange(5), (60, 1)), axis=1)[:, :2]
    everything = choices(user, query, liked[query, user // 4], 5)
    hidden = rng.random(len(user)) < missing
    return select(everything, ~hidden), select(everything, hidden)


def test_a_users_group_tells_what_it_likes_on_a_query():
    train, test = _two_groups(np.random.default_rng(0), 0.3)
    policy = Factorisation(PREPARED, rank=4, penalty=0.5)
    policy.fit(train, test)
    right = policy.score(train, test.decisions).argmax(1) == test.rewards.argmax(1)
    assert right.mean() > 0.95
    alone = Factorisation(PREPARED, rank=0)
    alone.fit(train, test)
    assert (alone.score(train, test.decisions).argmax(1) == test.rewards.argmax(1)).mean() < 0.75


def test_a_new_user_joins_its_group_without_a_new_fit():
    train, _ = _two_groups(np.random.default_rng(0), 0.0)
    seen = select(train, train.decisions.user != 7)
    policy = Factorisation(PREPARED, rank=4, penalty=0.5)
    policy.fit(seen, seen)
    half = (train.decisions.user != 7) | (train.decisions.query < 30)
    asked = select(train, ~half)
    assert (policy.score(select(train, half), asked.decisions).argmax(1) == asked.rewards.argmax(1)).mean() > 0.9


def test_new_queries_get_the_users_mean_prediction():
    """User 0 has a favourite of its own, the others one for each task."""
    task = PREPARED.data.queries.task
    query, user = np.tile(np.arange(60), 6), np.repeat(np.arange(6), 60)
    train = choices(user, query, np.where(user == 0, 3, np.where(task[query] == 1, 1, 0)), 5)
    policy = Factorisation(PREPARED, rank=0, user_penalty=0.1, task_strength=1.0)
    policy.fit(train, choices([0], [99], [0], 5))
    cold = np.arange(80, 100)
    found = policy.score(train, choices(np.repeat([0, 1], 20), np.tile(cold, 2), [0] * 40, 5).decisions).argmax(1)
    assert (found[:20] == 3).all()
    np.testing.assert_array_equal(found[20:], np.where(task[cold] == 1, 1, 0))


def test_the_position_bias_is_separated_from_preference():
    """Of pairs in random order the first is chosen; LLM 0 is always shown first and deserves nothing for it."""
    rng = np.random.default_rng(0)
    pairs = np.array([rng.choice(np.arange(1, 5), 2, replace=False) for _ in range(300)])
    rewards = np.full((300, 5), np.nan)
    rewards[np.arange(300), pairs[:, 0]], rewards[np.arange(300), pairs[:, 1]] = 1, 0
    votes = labelled(rng.integers(8, size=300), rng.integers(60, size=300), rewards, first=pairs[:, 0])
    policy = Factorisation(PREPARED, rank=0)
    policy.fit(votes, votes)
    found = policy.score(votes, votes.decisions)
    assert (found[np.arange(300), pairs[:, 0]] > found[np.arange(300), pairs[:, 1]]).all()
    unknown = labelled([0], [0], [[0] * 5]).decisions
    assert np.ptp(policy.score(votes, unknown)[0, 1:]) < 0.5


def test_rewards_are_factorised_by_their_squares():
    dataset = small_world("multi_cost_efficiency")
    train, validation, test = parts(dataset)
    policy = Factorisation(dataset, rank=2)
    policy.fit(train, validation)
    fitted = policy.score(train, train.decisions)
    observed = ~np.isnan(train.rewards)
    assert np.corrcoef(fitted[observed], train.rewards[observed])[0, 1] > 0.9
    picked = metrics.choose(policy.score(train, test.decisions), ~np.isnan(test.rewards))
    assert metrics.mean(metrics.values_of_selected(test.rewards, picked)) > np.nanmean(test.rewards)


PENALTIES = {"user": 1.0, "answer": 1.0, "user_llm": 1.0, "query_llm": 1.0, "llm": 0.1, "side": 0.1, "user_side": 1.0}


def _decisions(side: int):
    user, query = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(6), indexing="ij"))
    return choices(user, query, (user * query) % 3, 3, first=np.full(len(user), side))


def test_dense_and_listed_decisions_have_the_same_fit():
    start = factorisation.init_params(4, 6, 3, 2, np.random.default_rng(0))
    unsided = _decisions(-1)
    assert factorisation._is_dense(unsided.decisions, start)
    listed = dataclasses.replace(unsided, decisions=dataclasses.replace(unsided.decisions, first=np.full(24, 0)))
    assert not factorisation._is_dense(listed.decisions, start)
    fixed = tuple(name for name in start if not name.endswith("side"))
    first, second = (factorisation.fit_params(start, some, True, PENALTIES, 20, fixed) for some in (unsided, listed))
    for name in start:
        np.testing.assert_allclose(first[name], second[name], atol=1e-3, err_msg=name)


def test_only_moving_parameters_are_fitted():
    start = factorisation.init_params(4, 6, 3, 2, np.random.default_rng(0))
    found = factorisation.fit_params(start, _decisions(-1), True, PENALTIES, 5, factorisation.USER_PARAMS)
    np.testing.assert_array_equal(found["answer"], start["answer"])
    assert not np.array_equal(found["user"], start["user"])


def test_dense_and_listed_logits_are_equal():
    params = factorisation.init_params(4, 6, 3, 2, np.random.default_rng(0))
    params = {name: value + np.random.default_rng(1).normal(size=value.shape) for name, value in params.items()}
    dense = factorisation.dense_logits(params, np.arange(4), np.arange(6))
    user, query = np.array([0, 3, 2]), np.array([5, 1, 1])
    np.testing.assert_allclose(factorisation.listed_logits(params, user, query), dense[:, user, query])
    found = factorisation.listed_logits(params, user, query, first=np.array([1, -1, 0])) - dense[:, user, query]
    bias = params["side"] + params["user_side"][user]
    np.testing.assert_allclose(found, [[0, 0, bias[2]], [bias[0], 0, 0], [0, 0, 0]], atol=1e-12)
