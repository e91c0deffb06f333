"""Baselines that carry other users' choices to queries with new texts, on two planted groups of users."""

import numpy as np
import pytest
from policy_cases import choices, small_world, with_topics

from prouter_jax.evaluation.baselines.agreeing_users import AgreeingUsers
from prouter_jax.evaluation.baselines.base import select
from prouter_jax.evaluation.baselines.factorisation_kernel import FactorisationKernel
from prouter_jax.evaluation.baselines.implicit_als import ImplicitAls

TOPIC = np.random.default_rng(3).integers(2, size=100)
DATASET = with_topics(small_world(), TOPIC)
KNOWN, NEW = np.arange(60), np.arange(60, 100)
POLICIES = [
    AgreeingUsers(DATASET, near_width=0.05, personal_penalty=1.0),
    FactorisationKernel(DATASET, rank=4, penalty=0.5, user_penalty=1.0, kernel_penalty=0.3),
    ImplicitAls(DATASET, rank=4, penalty=0.3, kernel_penalty=0.3),
]
by_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)


def _choices(users, queries):
    """Even users like LLM 0 on one topic and LLM 1 on the other, odd users the reverse."""
    user, query = (grid.ravel() for grid in np.meshgrid(users, queries, indexing="ij"))
    return choices(user, query, (TOPIC[query] + user) % 2, 5)


def _right(policy, history, asked):
    return (policy.score(history, asked.decisions).argmax(1) == asked.rewards.argmax(1)).mean()


def _join(first, second):
    user, query = (
        np.concatenate([getattr(one.decisions, name) for one in (first, second)]) for name in ("user", "query")
    )
    return choices(user, query, np.concatenate([first.rewards, second.rewards]).argmax(1), 5)


@by_policy
def test_a_known_user_is_understood_on_new_texts(policy):
    train = _choices(range(8), KNOWN)
    policy.fit(train, train)
    assert _right(policy, train, _choices(range(8), NEW)) > 0.95


@by_policy
@pytest.mark.parametrize("queries", [KNOWN[:4], NEW[:4]], ids=["known", "new"])
def test_few_choices_of_a_new_user_find_its_group(policy, queries):
    train = _choices(range(6), KNOWN)
    policy.fit(train, train)
    history = _join(train, _choices([6, 7], queries))
    assert _right(policy, history, _choices([6, 7], NEW[4:])) > 0.95


@pytest.mark.parametrize("kind", [AgreeingUsers, ImplicitAls])
def test_a_user_without_history_gets_the_topics_favourite(kind):
    """Of three known users two are even."""
    policy = kind(DATASET)
    train = _choices([0, 1, 2], KNOWN)
    policy.fit(train, train)
    found = policy.score(train, _choices([7], NEW).decisions).argmax(1)
    np.testing.assert_array_equal(found, TOPIC[NEW])


@by_policy
def test_other_users_histories_say_nothing_about_a_user(policy):
    train = _choices(range(6), KNOWN)
    policy.fit(train, train)
    own, asked = _choices([6], KNOWN[:4]), _choices([6], NEW).decisions
    alone, beside = (policy.score(_join(train, one), asked) for one in (own, _join(own, _choices([7], NEW[:9]))))
    np.testing.assert_allclose(alone, beside, atol=1e-3)


def test_one_choice_is_read_by_who_chose_the_same_there():
    """Everybody likes LLM 4 but on query 0: it tells the groups apart, which differ on queries 1 to 9."""
    train = _choices(range(6), KNOWN[:10])
    query = np.tile(np.arange(10, 60), 6)
    train = _join(train, choices(np.repeat(np.arange(6), 50), query, np.full(300, 4), 5))
    policy = AgreeingUsers(DATASET, near_width=0.01, near_strength=0.3)
    policy.fit(train, train)
    asked = _choices([6, 7], KNOWN[1:10])
    assert _right(policy, _join(train, _choices([6, 7], KNOWN[:1])), asked) == 1
    far = _join(train, choices([6, 7], [10, 10], [4, 4], 5))
    assert len(np.unique(policy.score(far, select(asked, asked.decisions.query == 1).decisions), axis=0)) == 1
