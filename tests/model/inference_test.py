"""Scores of decisions: what the network says of user and answers, one decision at a time or many."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.query_features import make_query_features
from prouter_jax.data.rewards import build_decisions
from prouter_jax.model import inference as scoring
from prouter_jax.model.inference import Scorer, join, make_scorer, score_decisions


@pytest.fixture(scope="module")
def scorer(network, params, dataset, tiny_model):
    return make_scorer(network, params, dataset.world, dataset.world.build_graph(), tiny_model)


@pytest.fixture(scope="module")
def by_utility(network, params, dataset, tiny_model):
    model = dataclasses.replace(tiny_model, unseen_queries="utility")
    return make_scorer(network, params, dataset.world, dataset.world.build_graph(), model)


def _take(decisions, rows):
    return dataclasses.replace(decisions, **{name: value[rows] for name, value in vars(decisions).items()})


@pytest.fixture(scope="module")
def everything(dataset):
    return build_decisions(dataset.data, np.arange(len(dataset.data.decisions.user)))


def _places(dataset, rows):
    vectors, tasks = dataset.vectors, dataset.data.queries.task[rows]
    return make_query_features(vectors.query[rows], vectors.query_style[rows], tasks, len(dataset.data.tasks.ids))


def _softmax(logits):
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def test_known_queries_are_scored_with_their_answers_and_new_ones_by_what_is_expected(dataset, by_utility, everything):
    found = score_decisions(by_utility, dataset, everything)
    row = dataset.world_query[everything.query]
    assert (row >= 0).any()
    assert (row < 0).any()
    expected, *_ = by_utility.predict(_places(dataset, everything.query))
    answers = np.where((row >= 0)[:, None, None], by_utility.answers[row], expected)
    theta = by_utility.users[everything.user]
    np.testing.assert_allclose(found, (theta[:, None] * answers).sum(-1), rtol=1e-4, atol=1e-5)


def test_a_new_query_is_chosen_on_as_the_known_ones_near_it(dataset, scorer, everything):
    """By hand: a ridge of the user's shares on the known queries, in the kernel that says how near these are."""
    row = dataset.world_query[everything.query]
    new = _take(everything, np.flatnonzero(row < 0)[:20])
    found = score_decisions(scorer, dataset, new)
    known = np.flatnonzero(dataset.world_query >= 0)
    to_known = scorer.ask(_places(dataset, new.query)).kernel
    gram = scorer.ask(_places(dataset, known)).kernel + 5.0 * np.eye(len(known))
    shares = _softmax(np.einsum("up,qlp->uql", scorer.users, scorer.answers))
    for at, user in enumerate(new.user):
        base = shares[user].mean(0)
        foreseen = base + to_known[at] @ np.linalg.solve(gram, shares[user] - base)
        np.testing.assert_allclose(found[at], np.log(np.maximum(foreseen, 1e-4)), atol=1e-3)


@pytest.mark.parametrize("kind", ["scorer", "by_utility"])
def test_a_score_does_not_depend_on_what_else_is_scored(request, monkeypatch, dataset, everything, kind):
    scorer = request.getfixturevalue(kind)
    together = score_decisions(scorer, dataset, everything)
    rows = np.random.default_rng(0).permutation(len(together))[:40]
    np.testing.assert_allclose(score_decisions(scorer, dataset, _take(everything, rows)), together[rows], atol=1e-4)
    monkeypatch.setattr(scoring, "_DECISIONS_AT_ONCE", 7)
    np.testing.assert_allclose(score_decisions(scorer, dataset, everything), together, atol=1e-4)


def test_a_blind_score_is_that_of_the_stranger(dataset, scorer, everything):
    found = score_decisions(scorer, dataset, everything, blind=True)
    alike = dataclasses.replace(scorer, users=np.tile(scorer.cold_start_user, (len(scorer.users), 1)))
    np.testing.assert_allclose(found, score_decisions(alike, dataset, everything), atol=1e-5)
    assert np.abs(found - score_decisions(scorer, dataset, everything)).max() > 0.1


def test_the_answer_shown_first_gains_what_the_user_gives_to_it(dataset, scorer, everything):
    sided = dataclasses.replace(scorer, side=3, sharpness=2.0)
    first = np.where(np.arange(len(everything.user)) % 3, -1, everything.offered.argmax(1)).astype(np.int32)
    shown = dataclasses.replace(everything, first=first)
    gain = score_decisions(sided, dataset, shown) - score_decisions(sided, dataset, everything)
    expected = np.zeros_like(gain)
    rows = np.flatnonzero(first >= 0)
    expected[rows, first[rows]] = 2.0 * scorer.users[everything.user[rows], 3]
    np.testing.assert_allclose(gain, expected, atol=1e-5)
    blind = score_decisions(sided, dataset, shown, blind=True) - score_decisions(sided, dataset, everything, blind=True)
    assert blind[rows, first[rows]] == pytest.approx(2.0 * scorer.cold_start_user[3], abs=1e-5)


def _plain(sharpness: float) -> Scorer:
    """Two users who want one thing each, four answers of two LLMs."""
    answers = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    users = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    return Scorer(
        users, users[0], answers, answers[..., 1], lambda _: (answers, answers[..., 1], None), None, None, sharpness
    )


def test_logits_are_inner_products_times_sharpness():
    scorer = _plain(3.0)
    user, place = np.array([0, 2, 2]), np.array([3, 0, 3])
    found = scorer.logits(scorer.users, scorer.recall(np.arange(4)), user, place)
    expected = [
        [3 * scorer.users[u] @ scorer.answers[q, llm] for llm in range(2)] for u, q in zip(user, place, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert scorer.logits(scorer.users, scorer.recall(np.arange(4)), user[:0], place[:0]).shape == (0, 2)


def test_joined_queries_stay_what_they_were(scorer, dataset):
    known, new = scorer.recall(np.arange(3)), scorer.ask(_places(dataset, np.array([5, 6])))
    both = join(known, new)
    assert both.known.tolist() == [True] * 3 + [False] * 2
    np.testing.assert_array_equal(both.kernel[3:], new.kernel)
    np.testing.assert_array_equal(both.answers, np.concatenate([known.answers, new.answers]))
    assert join(known, known).kernel is None
