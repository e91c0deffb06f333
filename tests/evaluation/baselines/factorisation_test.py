"""The two forms of the same fit."""

import dataclasses

import numpy as np
from policy_cases import choices

from prouter_jax.evaluation.baselines import factorisation as fit

PENALTIES = {"user": 1.0, "answer": 1.0, "user_llm": 1.0, "query_llm": 1.0, "llm": 0.1, "side": 0.1, "user_side": 1.0}


def _decisions(side: int):
    user, query = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(6), indexing="ij"))
    return choices(user, query, (user * query) % 3, 3, first=np.full(len(user), side))


def test_a_table_of_all_pairs_and_a_list_of_decisions_give_one_fit():
    start = fit.init_params(4, 6, 3, 2, np.random.default_rng(0))
    told = _decisions(-1)
    assert fit._is_dense(told.decisions, start)
    listed = dataclasses.replace(told, decisions=dataclasses.replace(told.decisions, first=np.full(24, 0)))
    assert not fit._is_dense(listed.decisions, start)
    fixed = tuple(name for name in start if not name.endswith("side"))
    first, second = (fit.fit_params(start, some, True, PENALTIES, 20, fixed) for some in (told, listed))
    for name in start:
        np.testing.assert_allclose(first[name], second[name], atol=1e-3, err_msg=name)


def test_only_what_moves_is_fitted():
    start = fit.init_params(4, 6, 3, 2, np.random.default_rng(0))
    found = fit.fit_params(start, _decisions(-1), True, PENALTIES, 5, fit.USER_PARTS)
    np.testing.assert_array_equal(found["answer"], start["answer"])
    assert not np.array_equal(found["user"], start["user"])


def test_both_logits_are_the_same_sum():
    params = fit.init_params(4, 6, 3, 2, np.random.default_rng(0))
    params = {name: value + np.random.default_rng(1).normal(size=value.shape) for name, value in params.items()}
    dense = fit.dense_logits(params, np.arange(4), np.arange(6))
    user, query = np.array([0, 3, 2]), np.array([5, 1, 1])
    np.testing.assert_allclose(fit.listed_logits(params, user, query), dense[:, user, query])
    found = fit.listed_logits(params, user, query, first=np.array([1, -1, 0])) - dense[:, user, query]
    bias = params["side"] + params["user_side"][user]
    np.testing.assert_allclose(found, [[0, 0, bias[2]], [bias[0], 0, 0], [0, 0, 0]], atol=1e-12)
