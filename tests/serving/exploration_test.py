"""Exploration: picks follow their stated probabilities, each LLM keeps a least one, the gate holds a new user."""

import random

import jax.numpy as jnp
import numpy as np
import pytest
from router_cases import small_router
from scipy import stats

from prouter_jax.graph.history import HistoryFeedback
from prouter_jax.model.posterior import posterior_covariance
from prouter_jax.model.user_covariance import covariance_factor
from prouter_jax.serving.exploration import Exploration
from prouter_jax.serving.live import LiveRouter
from prouter_jax.serving.live_feedback import LiveFeedback

LOGITS, BLIND = np.log([0.2, 0.5, 0.3]), np.log([0.6, 0.2, 0.2])
SLOPES = np.random.default_rng(0).normal(0, 0.5, (3, 5)).astype(np.float32)
TEXT = "Name three rivers of Africa."


@pytest.fixture(scope="module")
def live(dataset, tiny_model):
    return LiveRouter(small_router(dataset, tiny_model, "tuned"))


@pytest.mark.parametrize("kind", ["none", "thompson", "epsilon"])
@pytest.mark.parametrize("gate", [None, 0.0, 5.0])
def test_probabilities_sum_to_one_and_no_llm_has_less_than_its_share(kind, gate):
    explore = Exploration(kind, 0.06, gate)
    pick, chances, _ = explore.draw(LOGITS, BLIND, SLOPES)
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    assert chances.min() >= (0 if kind == "none" else 0.06 / 3 - 1e-12)
    if kind == "none":
        assert chances[pick] == 1
    if kind == "epsilon":
        assert sorted(chances) == pytest.approx([0.02, 0.02, 0.96])


@pytest.mark.parametrize("kind", ["thompson", "epsilon"])
def test_picks_come_as_often_as_stated(kind):
    explore = Exploration(kind, 0.3, uniform=random.Random(1).random)
    drawn = [explore.draw(LOGITS, BLIND, SLOPES) for _ in range(4000)]
    count = np.bincount([pick for pick, _, _ in drawn], minlength=3)
    assert stats.chisquare(count, 4000 * drawn[0][1]).pvalue > 0.001
    assert stats.chisquare(count, np.full(3, 4000 / 3)).pvalue < 1e-6
    assert {reason for _, _, reason in drawn} == {"best", "explored"}


def test_thompson_picks_as_often_as_an_llm_is_best_under_the_posterior():
    _, chances, _ = Exploration("thompson", 0.0).draw(LOGITS, BLIND, SLOPES)
    draws = LOGITS + np.random.default_rng(7).multivariate_normal(np.zeros(3), SLOPES @ SLOPES.T, 100_000)
    expected = np.bincount(draws.argmax(1), minlength=3) / 100_000
    assert 0.1 < expected[1] < 0.9
    np.testing.assert_allclose(chances, expected, atol=0.1)  # of 256 draws
    _, certain, _ = Exploration("thompson", 0.0).draw(LOGITS, BLIND, SLOPES * 1e-6)
    assert certain.tolist() == [0, 1, 0]


def test_the_gate_holds_until_the_log_odds_pass_it():
    margin = LOGITS[1] - LOGITS[0]  # of the personal pick over the blind one
    for kind in ("none", "epsilon", "thompson"):
        held = Exploration(kind, 0.0, margin + 0.01).draw(LOGITS, BLIND, SLOPES)
        free = Exploration(kind, 0.0, margin - 0.01, uniform=lambda: 0.5).draw(LOGITS, BLIND, SLOPES)
        assert (held[0], held[1].tolist(), held[2]) == (0, [1, 0, 0], "held")
        assert free[0] == 1
        assert free[2] == "best"


def test_where_nothing_is_explored_a_gate_of_zero_changes_nothing():
    assert Exploration("none", gate=0.0).is_greedy
    assert not Exploration("none", gate=0.1).is_greedy
    assert not Exploration("epsilon", gate=None).is_greedy
    free, zero = (Exploration("none", gate=gate).draw(LOGITS, BLIND) for gate in (None, 0.0))
    assert free[0] == zero[0] == 1
    assert free[2] == zero[2] == "best"


def test_a_bad_setting_is_an_error():
    with pytest.raises(ValueError, match="expected one of none, thompson, epsilon"):
        Exploration("greedy")
    with pytest.raises(ValueError, match="expected a share of 0 to 1"):
        Exploration("epsilon", 1.5)


def test_a_new_user_is_held_and_feedback_lets_it_go(live):
    usual = live.route("nobody", TEXT).llms[0]
    liked = next(llm for llm in live.llms if llm != usual)
    explore = Exploration("thompson", 0.04, 0.0)
    held = live.route("ann", TEXT, explore=explore)
    n = len(live.llms)
    assert dict(zip(held.llms, held.propensities, strict=True))[usual] == pytest.approx(0.96 + 0.04 / n)
    for number in range(12):
        live.observe(LiveFeedback("ann", f"{TEXT} {number}", kind="choice", llm=liked))
    free = live.route("ann", TEXT, explore=explore)
    assert dict(zip(free.llms, free.propensities, strict=True))[liked] > 0.5
    assert sum(free.propensities) == pytest.approx(1)
    strict = Exploration("none", gate=50.0)
    assert live.route("ann", TEXT, explore=strict).llms[0] == usual
    assert live.route("ann", TEXT, explore=strict).reason == "held"


def test_fallbacks_follow_by_probability(live):
    explore = Exploration("epsilon", 1.0, uniform=lambda: 0.999)
    found = live.route("ann", TEXT, explore=explore)
    assert found.llms[0] == live.llms[-1]
    assert found.propensities == pytest.approx([1 / len(live.llms)] * len(live.llms))
    assert found.probabilities[1:] == sorted(found.probabilities[1:], reverse=True)


def test_without_history_the_covariance_is_the_prior_s_and_thumbs_shrink_it(live):
    one_user, state = live.router.pool.scorer.applied.one_user_reader(), live.router.pool.users[-1]
    reader, history = one_user.reader, one_user.history()
    population = reader.network.bind(reader.params).population(reader.network.bind(reader.params).rounds)
    factor = covariance_factor(reader, history, state)
    np.testing.assert_allclose(factor @ factor.T, np.linalg.inv(population.precision), atol=1e-4)
    asked = one_user.recall(0)
    thumb = {"offered": np.ones(len(live.llms), np.int8), "thumb": np.eye(len(live.llms), dtype=np.float32)[0]}
    history.append(asked, thumb | {"thumbed": np.eye(len(live.llms), dtype=np.int8)[0]})
    after = covariance_factor(reader, history, state)
    given = {name: jnp.asarray(history.columns[name][:1], jnp.float32) for name in ("offered", "thumb", "thumbed")}
    zero = jnp.zeros((1, len(live.llms)))
    feedback = HistoryFeedback(**given, target=zero, rating=zero, rated=zero, shown_first=zero)
    expected = posterior_covariance(state[: reader.size], history.answers[:1], feedback, population)
    np.testing.assert_allclose(after @ after.T, expected, atol=1e-4)
    direction = asked.answers[0]
    assert np.linalg.norm(direction @ after) < np.linalg.norm(direction @ factor)


def test_a_network_without_a_posterior_of_single_users_is_an_error(live):
    other = LiveRouter(live.router)
    other._user_states._reader = None  # as of preset "paper"
    other.compile_for(Exploration("epsilon"))
    for call in (other.compile_for, lambda explore: other.route("ann", TEXT, explore=explore)):
        with pytest.raises(ValueError, match="explore: expected a network with a posterior"):
            call(Exploration("thompson"))
