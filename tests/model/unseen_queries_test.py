"""Histories on queries that training did not have: read through the prediction for such queries."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from em_cases import said_by
from finite_differences import check_gradients
from router_cases import small_router

from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.graph.history import informative_feedback
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.likelihood import Population, thumb_up_probability
from prouter_jax.model.posterior import posterior_mode
from prouter_jax.model.unseen_queries import ChoicePrediction, mode_with_unseen, moderate, thumb_kappa, weaken
from prouter_jax.serving.router import Router

KNOWN, LLMS, SIZE, DECISIONS = 7, 3, 5, 4
FEATURES = AnswerFeatures(0, 0, 0, 0, 0, SIZE - 3)
TEXTS = ["Name three rivers of Africa.", "Sort the words by length.", "Is 91 a prime number?", "Write a haiku on rain."]


@pytest.fixture
def prediction():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(KNOWN), DECISIONS)
    answers = rng.normal(size=(KNOWN, LLMS, SIZE))
    return ChoicePrediction(jnp.asarray(weights), jnp.asarray(answers), jnp.asarray(1.3))


@pytest.fixture
def population():
    numbers = (np.full(SIZE, 0.2), 2 * np.eye(SIZE), 1.1, 4.0)
    return Population(*[jnp.asarray(x, jnp.float32) for x in numbers])


def test_the_features_of_a_step_are_the_slopes_of_the_log_shares(prediction):
    theta = jnp.asarray(np.random.default_rng(1).normal(size=SIZE))
    logs, slopes = prediction.linearise(theta)
    np.testing.assert_allclose(jnp.exp(logs), prediction.shares(theta), rtol=1e-5)
    np.testing.assert_allclose(slopes, jax.jacobian(lambda x: jnp.log(prediction.shares(x)))(theta), atol=1e-5)
    check_gradients(lambda x: prediction.linearise(x)[0].sum(), theta)


def test_the_mode_maximises_the_posterior_of_the_predicted_shares(prediction, population):
    target = np.eye(LLMS)[[0, 0, 1, 2]]
    feedback = said_by(np.ones((DECISIONS, LLMS)), target)
    llm = jnp.broadcast_to(jnp.arange(LLMS), (DECISIONS, LLMS))
    nothing = jnp.zeros((DECISIONS, LLMS, SIZE))
    mode = mode_with_unseen(FEATURES, nothing, llm, feedback, jnp.arange(DECISIONS), prediction, population, steps=50)

    def minus_log_posterior(theta):
        log_share = jnp.log(prediction.shares(theta))
        log_share -= jax.nn.logsumexp(log_share, axis=1, keepdims=True)
        away = theta - population.mean
        return -0.6 * (target * log_share).sum() + away @ population.precision @ away / 2

    np.testing.assert_allclose(jax.grad(minus_log_posterior)(mode), 0, atol=2e-3)
    assert minus_log_posterior(mode) < minus_log_posterior(population.mean) - 0.01


def test_known_decisions_are_read_as_ever(prediction, population):
    rng = np.random.default_rng(2)
    answers = jnp.asarray(rng.normal(size=(DECISIONS, LLMS, SIZE)), jnp.float32)
    feedback = said_by(np.ones((DECISIONS, LLMS)), np.eye(LLMS)[[0, 1, 1, 2]])
    llm = jnp.broadcast_to(jnp.arange(LLMS), (DECISIONS, LLMS))
    nowhere = jnp.full(DECISIONS, -1)
    found = mode_with_unseen(FEATURES, answers, llm, feedback, nowhere, prediction, population, steps=12)
    expected = posterior_mode(population.mean, answers, feedback, population, 12)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_ratings_of_unseen_answers_count_less(population):
    feedback = said_by(np.ones((2, LLMS)), np.zeros((2, LLMS)), np.ones((2, LLMS)))
    found = weaken(feedback, jnp.array([1.0, 0.0]), 0.5, population)
    np.testing.assert_allclose(found.rated[0], 1 / (1 + 4.0 * 0.5))  # variance 1/4 becomes 1/4 + 1/2
    np.testing.assert_allclose(found.rated[1], 1)


def test_a_thumb_on_an_unseen_answer_has_the_mean_probability_over_what_is_not_expected(population):
    answers = jnp.asarray(np.random.default_rng(4).normal(size=(2, LLMS, SIZE)), jnp.float32)
    theta, variance = jnp.ones(SIZE) / 2, 0.8
    given = dataclasses.replace(
        said_by(np.ones((2, LLMS)), np.zeros((2, LLMS))), thumb=jnp.zeros((2, LLMS)), thumbed=jnp.ones((2, LLMS))
    )
    kappa = thumb_kappa(given, jnp.array([1.0, 0.0]), variance, population)
    utility, slopes = moderate(theta, answers, kappa, population)
    up = thumb_up_probability(utility, population)
    errors = np.random.default_rng(5).normal(0, np.sqrt(variance), (20_000, 1))
    expected = thumb_up_probability(jnp.asarray(np.asarray(answers[0] @ theta) + errors), population).mean(0)
    np.testing.assert_allclose(up[0], expected, atol=0.02)  # of the approximation
    unmoderated = thumb_up_probability(answers @ theta, population)
    assert np.abs(unmoderated[0] - expected).max() > 0.03
    np.testing.assert_allclose(up[1], unmoderated[1], rtol=1e-5)
    np.testing.assert_allclose(jax.jacobian(lambda x: moderate(x, answers, kappa, population)[0])(theta), slopes)


def test_a_thumb_down_on_an_unseen_answer_lowers_its_utility(prediction, population):
    answers = jnp.asarray(np.random.default_rng(4).normal(size=(1, LLMS, SIZE)), jnp.float32)
    first, llm, nowhere = np.eye(LLMS)[:1], jnp.arange(LLMS)[None], jnp.full(DECISIONS, -1)
    given = dataclasses.replace(
        said_by(np.ones((1, LLMS)), np.zeros((1, LLMS))), thumb=jnp.zeros((1, LLMS)), thumbed=jnp.asarray(first)
    )
    lost = []
    for variance in (0.0, 1.0, 1e6):
        kappa = thumb_kappa(given, jnp.ones(1), variance, population)
        one = (FEATURES, answers, llm, given, nowhere, prediction, population)
        mode = mode_with_unseen(*one, steps=12, kappa=kappa)
        lost.append(float(answers[0, 0] @ (population.mean - mode)))
    assert lost[0] > lost[1] > 0.01
    assert lost[2] == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("shared", [False, True])
def test_equal_ratings_and_ties_among_all_tell_nothing(shared):
    offered, ties = np.ones((3, 4)), np.full((3, 4), 0.25)
    ties[1] = [0.5, 0.5, 0, 0]
    feedback = said_by(offered, ties, np.full((3, 4), 0.7))
    llm = None if shared else jnp.broadcast_to(jnp.arange(4), (3, 4))
    if shared:
        feedback = jax.tree.map(lambda x: x[..., None], feedback)
    found = informative_feedback(feedback, llm, 4)
    np.testing.assert_allclose(np.squeeze(found.target), [[0] * 4, ties[1], [0] * 4])
    assert not np.asarray(found.rated).any()


def test_equal_ratings_of_one_llm_still_count():
    rating = np.full((3, 4), np.nan)
    rating[:, 2] = 0.7
    feedback = said_by(np.ones((3, 4)), np.zeros((3, 4)), rating)
    found = informative_feedback(feedback, jnp.broadcast_to(jnp.arange(4), (3, 4)), 4)
    np.testing.assert_array_equal(found.rated, feedback.rated)


def test_histories_on_unseen_queries_are_held_out_of_training(tiny_config):
    data = dataclasses.replace(tiny_config.data, split="cold_user", history="unseen")
    source = read_source(data)
    without, given = (prepare_dataset(source, dataclasses.replace(data, given=k), 0) for k in (0, 3))
    trained = len(without.world.interactions.queries.ids)
    world = given.world.interactions
    np.testing.assert_array_equal(world.queries.ids[:trained], without.world.interactions.queries.ids)
    new = world.decisions.query >= trained
    assert new.sum() > 0
    assert len(np.intersect1d(world.decisions.user[new], world.decisions.user[~new])) == 0
    assert (world.outcomes.query < trained).all()
    np.testing.assert_array_equal(given.parts.test, without.parts.test)


@pytest.fixture(scope="module", params=["em", "tuned"])
def router(request, dataset, tiny_model) -> Router:
    return small_router(dataset, tiny_model, request.param)


def _choices(path, user, llm, texts=TEXTS):
    path.write_text("".join(json.dumps({"user_id": user, "query": text, "llm": llm}) + "\n" for text in texts))
    return path


def test_choices_on_new_texts_move_their_user_alone(router, tmp_path):
    fan, foe = router.llms[0], router.llms[1]
    grown = router.with_history(_choices(tmp_path / "fan.jsonl", "fan", fan))
    grown = grown.with_history(_choices(tmp_path / "foe.jsonl", "foe", foe))
    text = ["How do I boil an egg?"]
    nobody, u0 = (router.score([user], text).probabilities[0] for user in ("fan", "u0"))
    shares = {user: grown.score([user], text).probabilities[0] for user in ("fan", "foe", "u0")}
    assert shares["fan"][fan] > nobody[fan] + 0.01
    assert shares["foe"][foe] > nobody[foe] + 0.01
    assert shares["u0"] == u0


def test_more_choices_of_an_llm_on_new_texts_raise_its_probability(router, tmp_path):
    llm, text = router.llms[2], ["How do I boil an egg?"]
    grown = [router.with_history(_choices(tmp_path / f"{n}.jsonl", "fan", llm, TEXTS[:n])) for n in (1, 2, 4)]
    shares = [one.score(["fan"], text).probabilities[0][llm] for one in grown]
    assert shares == sorted(shares)


def test_the_order_of_decisions_does_not_matter(router, tmp_path):
    text = ["How do I boil an egg?"]
    found = [
        router.with_history(_choices(tmp_path / f"{n}.jsonl", "fan", router.llms[1], texts)).score(["fan"], text)
        for n, texts in enumerate((TEXTS, TEXTS[::-1]))
    ]
    for llm, share in found[0].probabilities[0].items():
        assert found[1].probabilities[0][llm] == pytest.approx(share, abs=1e-5)


def test_a_rating_of_a_new_text_moves_its_user(router, tmp_path):
    rows = [{"user_id": "fan", "query": text, "llm": router.llms[0], "thumb": 1} for text in TEXTS]
    (tmp_path / "thumbs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = router.score(["fan"], ["Hi"]).probabilities[0]
    after = router.with_history(tmp_path / "thumbs.jsonl").score(["fan"], ["Hi"]).probabilities[0]
    assert after != before
