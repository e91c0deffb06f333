"""The simulation: what is lost, after which thumb; the live router finds a planted preference, and its gate is safe."""

import types

import numpy as np
import pytest
from router_cases import small_router

from prouter_jax.evaluation.bandits import live as live_module
from prouter_jax.evaluation.bandits.live import LiveBandit, blind_picks, choose_gate
from prouter_jax.evaluation.bandits.simulation import Rounds, after_thumbs, draw_rounds, regret, simulate
from prouter_jax.serving.exploration import Exploration
from prouter_jax.serving.live import LiveRouter

REWARD = np.array([[[1.0, 0.5], [0.2, 0.6], [0.3, 0.3]]])
ROUNDS = Rounds(np.zeros(1, int), np.array([[0, 1, 2]]), REWARD, np.array([[True, False, True]]))


class Recorder:
    """Picks the first LLM and keeps what it is told."""

    def __init__(self):
        self.told = []

    def pick(self, query):
        return np.zeros(len(query), int)

    def learn(self, user, query, llm, up):
        self.told.append((user, query, llm, up))


def test_a_thumb_is_up_where_no_answer_is_better_and_only_given_ones_are_told():
    recorder = Recorder()
    lost = simulate(recorder, ROUNDS)
    np.testing.assert_allclose(lost, [[0, 0.4, 0]])
    assert recorder.told == [(0, 0, 0, True), (0, 2, 0, True)]
    np.testing.assert_allclose(regret(ROUNDS, np.array([[1, 1, 1]])), [[0.5, 0, 0]])


def test_regret_is_counted_up_to_the_round_of_a_thumb():
    values = np.array([[1.0, 10.0, 100.0]])
    assert after_thumbs(values, ROUNDS, 1) == [1]
    assert after_thumbs(values, ROUNDS, 2) == [111]


def test_rounds_are_a_user_s_own_decisions_with_as_many_thumbs_as_asked():
    user, query = np.repeat(np.arange(4), 20), np.tile(np.arange(20), 4)
    reward = user[:, None] + np.arange(2.0)
    rounds = draw_rounds(user, query, reward, 6, 0.3, 3, np.random.default_rng(0))
    assert rounds.query.shape == (3, 20)
    assert (rounds.answered.sum(1) == 6).all()
    assert (rounds.reward[:, :, 0] == rounds.user[:, None]).all()
    assert all(len(set(row)) == 20 for row in rounds.query)
    with pytest.raises(ValueError, match="expected 30 decisions of one for 30 thumbs"):
        draw_rounds(user, query, reward, 30, 1.0, 3, np.random.default_rng(0))


@pytest.fixture(scope="module")
def live(dataset, tiny_model):
    return LiveRouter(small_router(dataset, tiny_model, "em"))


def _fans(live, dataset, llm: int, users: int = 4, length: int = 30) -> Rounds:
    """Users who like one LLM and no other, whatever they ask."""
    query = np.random.default_rng(0).integers(len(dataset.data.queries.ids), size=(users, length))
    reward = np.tile(np.eye(len(live.llms))[llm], (users, length, 1))
    return Rounds(np.arange(users), query, reward, np.ones_like(query, bool))


@pytest.mark.parametrize("kind", ["none", "thompson", "epsilon"])
def test_a_planted_preference_costs_less_than_blind_picks(live, dataset, kind):
    usual = live.route("nobody", "Name three rivers.").llms[0]
    rounds = _fans(live, dataset, next(row for row, llm in enumerate(live.llms) if llm != usual))
    explore = Exploration(kind, 0.02, 0.0, np.random.default_rng(0).random)
    found = simulate(LiveBandit(live, dataset.data, kind, explore), rounds)
    blind = regret(rounds, blind_picks(live, dataset.data, rounds))
    assert found.sum() < 0.8 * blind.sum()
    assert found[:, -10:].mean() < found[:, :10].mean()


class Wrong:
    """After a thumb it ranks an LLM first that no user likes, with small or large odds."""

    llms = ("a", "b")

    def __init__(self, odds):
        self.odds, self.heard = odds, set()

    def route(self, user, query, *, task_id=None, explore=None):
        first = "b" if user in self.heard else "a"
        return types.SimpleNamespace(llms=sorted(self.llms, key=lambda llm: llm != first),
                                     probabilities=[self.odds / (1 + self.odds), 1 / (1 + self.odds)])  # fmt: skip

    def observe(self, feedback):
        self.heard.add(feedback.user)


def test_the_gate_is_closed_where_personal_picks_are_worse_and_open_where_they_are_better():
    queries = types.SimpleNamespace(texts=["x", "y"], task=np.array([-1, -1]))
    data = types.SimpleNamespace(queries=queries, tasks=types.SimpleNamespace(ids=[]))
    query, answered = np.zeros((2, 6), int), np.ones((2, 6), bool)
    for liked, odds, expected in ((0, 1.3, 0.4), (1, 1.3, 0.0), (0, 9.0, np.inf)):
        rounds = Rounds(np.arange(2), query, np.tile(np.eye(2)[liked], (2, 6, 1)), answered)
        assert choose_gate(Wrong(odds), data, rounds) == expected
    assert live_module.GATES[-1] == np.inf  # without which nothing may be safe
    # more is won in the end than is lost after the first thumb, which is no excuse
    likes = np.eye(2)[[0, 0, 1, 1, 1, 1]]
    assert choose_gate(Wrong(1.3), data, Rounds(np.arange(2), query, np.stack([likes, likes]), answered)) == 0.4
