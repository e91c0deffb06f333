"""Scores of decisions: what the model says of user and answers, one decision at a time or many."""

import dataclasses

import numpy as np
import pytest

from prouter_jax import scoring
from prouter_jax.decisions import build_decisions
from prouter_jax.model import with_tastes
from prouter_jax.scoring import expected_utilities, make_scorer, score_decisions


@pytest.fixture(scope="module")
def scorer(network, params, prepared):
    return make_scorer(network, params, prepared.world.build_graph())


def _take(decisions, rows):
    return dataclasses.replace(decisions, **{name: value[rows] for name, value in vars(decisions).items()})


@pytest.fixture(scope="module")
def everything(prepared):
    return build_decisions(prepared.data, np.arange(len(prepared.data.decisions.user)))


def test_known_queries_are_scored_with_their_answers_and_new_ones_by_text_and_task(prepared, scorer, everything):
    found = score_decisions(scorer, prepared, everything)
    row = prepared.world_query[everything.query]
    assert (row >= 0).any()
    assert (row < 0).any()
    theta = np.asarray(scorer.states.users)[everything.user]
    in_graph = np.asarray(with_tastes(scorer.states.answers, scorer.states.shared.tastes[-1]))[row]
    data = prepared.data.queries
    new = scorer.answers(prepared.vectors.query[everything.query], data.task[everything.query])
    answers = np.where((row >= 0)[:, None, None], in_graph, new)
    np.testing.assert_allclose(found, (theta[:, None] * answers).sum(-1), rtol=1e-4, atol=1e-5)


def test_a_score_does_not_depend_on_what_else_is_scored(monkeypatch, prepared, scorer, everything):
    together = score_decisions(scorer, prepared, everything)
    rows = np.random.default_rng(0).permutation(len(together))[:40]
    np.testing.assert_allclose(score_decisions(scorer, prepared, _take(everything, rows)), together[rows], atol=1e-5)
    monkeypatch.setattr(scoring, "_QUERIES_AT_ONCE", 16)
    monkeypatch.setattr(scoring, "_DECISIONS_AT_ONCE", 7)
    np.testing.assert_allclose(score_decisions(scorer, prepared, everything), together, atol=1e-5)


def test_few_compilations_serve_all_numbers_of_queries(prepared, scorer):
    vectors, task = np.repeat(prepared.vectors.query, 3, 0), np.repeat(prepared.data.queries.task, 3)
    for number in (65, 66, 67, 68):
        scorer.answers(vectors[:number], task[:number])
    compiled = scoring._predict._cache_size()
    for number in (69, 70, 71, 72, 66):
        scorer.answers(vectors[:number], task[:number])
    assert scoring._predict._cache_size() <= compiled + 1


def test_tastes_can_be_left_out(prepared, scorer):
    some, task = prepared.vectors.query[:5], prepared.data.queries.task[:5]
    full, bare = (scorer.answers(some, task, with_tastes=taste) for taste in (True, False))
    np.testing.assert_allclose(with_tastes(bare, scorer.states.shared.tastes[-1]), full, atol=1e-6)
    assert np.abs(full - bare).max() > 1e-3


def test_what_a_caller_does_to_answers_stays_with_the_caller(scorer):
    before = scorer.known_answers().copy()
    scorer.known_answers()[:] = 0
    np.testing.assert_array_equal(scorer.known_answers(), before)


def test_expected_utilities_are_inner_products():
    rng = np.random.default_rng(0)
    users, answers = rng.normal(size=(3, 5)), rng.normal(size=(4, 2, 5))
    user, query = np.array([0, 2, 2]), np.array([3, 0, 3])
    found = expected_utilities(users, answers, user, query)
    expected = [[users[u] @ answers[q, llm] for llm in range(2)] for u, q in zip(user, query, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected_utilities(users, answers, user[:0], query[:0]).shape == (0, 2)


def test_sharpness_is_that_of_the_served_softmax(params, scorer):
    assert scorer.sharpness() == pytest.approx(float(np.exp(params["model"]["log_score_sharpness"])))
