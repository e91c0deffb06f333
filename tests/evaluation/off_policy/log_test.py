"""Context features: only what was available before the selection."""

import dataclasses

import numpy as np
from off_policy_cases import make_log

from prouter_jax.evaluation.off_policy.log import build_contexts


def test_columns_are_standardised_beside_a_constant():
    log, _ = make_log()
    contexts = build_contexts(log)
    assert (contexts[:, 0] == 1).all()
    np.testing.assert_allclose(contexts[:, 1:].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(contexts[:, 1:].std(0), 1)
    assert contexts.shape[1] == 1 + 2 + 2 + 1 + 3  # tasks, candidate sets, length, usual LLMs


def test_the_usual_llm_of_a_user_is_a_feature_without_the_decision_itself():
    log, _ = make_log(400, users=4)
    served = np.where(log.user == 0, 2, np.arange(400) % 3)
    usual = build_contexts(dataclasses.replace(log, served=served))[:, -3:]
    most = usual[log.user == 0].mean(0) - usual[log.user != 0].mean(0)
    assert (most > 1).sum() == 1
    single = dataclasses.replace(log, user=np.arange(400))  # no user has another decision
    assert build_contexts(single).shape[1] == build_contexts(log).shape[1] - 3


def test_rare_tasks_and_none_have_no_column():
    log, _ = make_log()
    rare = np.where(np.arange(600) < 10, 7, -1)
    assert build_contexts(dataclasses.replace(log, task=rare)).shape[1] == build_contexts(log).shape[1] - 2
