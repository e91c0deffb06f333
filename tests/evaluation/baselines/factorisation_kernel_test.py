"""Factorisation with kernel ridge: what differs from plain factorisation. See also new_texts_test.py."""

import numpy as np
from policy_cases import choices, small_world, with_topics

from prouter_jax.evaluation.baselines.factorisation import Factorisation
from prouter_jax.evaluation.baselines.factorisation_kernel import FactorisationKernel

TOPIC = np.arange(100) // 2 % 2  # the embedded tasks repeat with another period
DATASET = with_topics(small_world(), TOPIC)


def _train():
    user, query = np.repeat(np.arange(6), 60), np.tile(np.arange(60), 6)
    return choices(user, query, TOPIC[query], 5)


def test_texts_tell_unseen_queries_apart_where_tasks_do_not():
    train, asked = _train(), choices([0] * 40, np.arange(60, 100), [0] * 40, 5).decisions
    kernel, plain = FactorisationKernel(DATASET, rank=4, kernel_penalty=0.3), Factorisation(DATASET, rank=4)
    right = []
    for policy in (kernel, plain):
        policy.fit(train, choices([0], [99], [0], 5))
        right.append((policy.score(train, asked).argmax(1) == TOPIC[60:]).mean())
    assert right[0] == 1
    assert right[1] < 0.75


def test_known_queries_are_scored_as_by_factorisation():
    train = _train()
    asked = choices([0, 3], [5, 6], [0, 0], 5).decisions
    scores = []
    for kind in (FactorisationKernel, Factorisation):
        policy = kind(DATASET, rank=4, user_penalty=2.0)
        policy.fit(train, train)
        scores.append(policy.score(train, asked))
    np.testing.assert_allclose(*scores)


def test_trust_makes_a_short_history_say_more():
    train = _train()
    own = [*train.rewards.argmax(1), 3]
    history = choices([*train.decisions.user, 7], [*train.decisions.query, 0], own, 5)
    asked, found = choices([7], [1], [0], 5).decisions, []
    for trust in (1.0, 10.0):
        policy = FactorisationKernel(DATASET, rank=4, trust=trust)
        policy.fit(train, train)
        scores = policy.score(history, asked)[0]
        found.append(scores[3] - scores[2])
    assert found[1] > 2 * found[0] > 0
