"""Simulated users: their choices and ratings follow from their rewards."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest
from judge_server import judge_config

from prouter_jax.config import Embedded, ExperimentConfig, Judge
from prouter_jax.config import validate as validate_config
from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import Interactions, strings
from prouter_jax.data.rewards import CostScale, build_decisions, build_rewards, choice_shares, fit_cost_scale
from prouter_jax.data.splits import split_queries
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.data.validation import validate
from prouter_jax.llm.judges.base import Verdicts, build_questions, make_personas
from prouter_jax.llm.judges.llm_judge import LlmJudge
from prouter_jax.llm.judges.style_judge import StyleJudge
from prouter_jax.llm.simulated_users import build_llm_as_judge, build_multi_cost_efficiency, make_judge

DATA = pathlib.Path(os.environ.get("PROUTER_DATA") or pathlib.Path(__file__).parents[3] / "shared" / "data")
USERS = 7


@pytest.fixture(scope="module")
def source() -> Interactions:
    """With outcomes, effects and costs missing, answers worth the same, and one query that no LLM answered."""
    data = build_embedded(Embedded(num_queries=60, num_users=3, decisions_per_user=5))
    data = tables.select_decisions(data, np.zeros(len(data.decisions.user), bool))
    outcomes = tables.take(data.outcomes, data.outcomes.query != 4)
    effect, cost = np.round(outcomes.effect), np.round(outcomes.cost, 3)
    effect[10], cost[[20, 21]] = np.nan, np.nan
    return data.replace(outcomes=dataclasses.replace(outcomes, effect=effect, cost=cost))


def _simulate(data: Interactions, feedback: str = "choice", num_users: int = USERS, low=0.2, high=1.0):
    scale = fit_cost_scale(data)
    made = validate(build_multi_cost_efficiency(data, scale, num_users, low, high, feedback))
    decisions = build_decisions(made, np.arange(len(made.decisions.user)))
    return made, decisions, build_rewards(made, scale, decisions)


def test_every_user_decides_once_on_every_answered_query(source):
    _, decisions, _ = _simulate(source)
    pairs = set(zip(decisions.user.tolist(), decisions.query.tolist(), strict=True))
    assert pairs == {(user, query) for user in range(USERS) for query in range(60) if query != 4}
    assert len(pairs) == len(decisions.user)


def test_weights_are_evenly_spaced_and_one_user_takes_the_lowest(source):
    made, _, _ = _simulate(source)
    np.testing.assert_allclose(made.users.preference, [0.2, 1 / 3, 7 / 15, 0.6, 11 / 15, 13 / 15, 1.0])
    assert _simulate(source, num_users=1)[0].users.preference.tolist() == [0.2]


def test_on_offer_is_what_has_an_effect_and_a_cost(source):
    made, decisions, rewards = _simulate(source)
    known = np.zeros((60, len(made.llms.ids)), bool)
    outcomes = made.outcomes
    known[outcomes.query, outcomes.llm] = ~np.isnan(outcomes.effect) & ~np.isnan(outcomes.cost)
    assert not known.all()  # or this test shows nothing
    np.testing.assert_array_equal(decisions.offered, known[decisions.query])
    np.testing.assert_array_equal(np.isnan(rewards), ~decisions.offered)


def test_the_choice_is_the_highest_reward(source):
    _, decisions, rewards = _simulate(source)
    best = np.nanmax(rewards, axis=1, keepdims=True)
    chosen = decisions.target > 0
    assert np.abs(np.where(chosen, rewards - best, 0)).max() < 1e-6
    assert (np.where(chosen | ~decisions.offered, -np.inf, rewards - best) < 0).all()


def test_ties_share_the_choice(source):
    _, decisions, _ = _simulate(source)
    chosen = (decisions.target > 0).sum(1)
    assert (chosen > 1).any()
    np.testing.assert_allclose(decisions.target.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(decisions.target.max(1), 1 / chosen, rtol=1e-6)


def test_ratings_are_the_rewards_and_imply_the_same_choices(source):
    _, chosen, _ = _simulate(source, "choice")
    _, rated, rewards = _simulate(source, "rating")
    assert not rated.target.any()
    np.testing.assert_allclose(rated.rating, rewards, atol=1e-6)
    np.testing.assert_array_equal(choice_shares(rated) > 0, chosen.target > 0)


def test_a_user_of_weight_one_ignores_cost_and_of_weight_zero_effect(source):
    _, decisions, rewards = _simulate(source, num_users=2, low=0.0, high=1.0)
    effect = np.full((60, decisions.offered.shape[1]), np.nan, np.float32)
    effect[source.outcomes.query, source.outcomes.llm] = source.outcomes.effect
    quality = decisions.user == 1
    np.testing.assert_array_equal(
        rewards[quality], np.where(decisions.offered, effect[decisions.query], np.nan)[quality]
    )
    favourites = [(decisions.target[decisions.user == user]).sum(0).argmax() for user in (0, 1)]
    assert favourites[0] != favourites[1]


def test_with_equal_costs_every_user_chooses_by_effect(source):
    outcomes = dataclasses.replace(source.outcomes, cost=np.full(len(source.outcomes.cost), 0.01))
    _, decisions, rewards = _simulate(source.replace(outcomes=outcomes))
    targets = decisions.target.reshape(USERS, -1)
    assert (targets == targets[0]).all()
    assert np.nanmax(rewards[decisions.user == 0]) == pytest.approx(0.2)  # w * effect of 1, no cost


def test_costs_are_scaled_by_the_scale_given_not_by_the_data(source):
    wide = CostScale(np.zeros(len(source.tasks.ids) + 1), np.full(len(source.tasks.ids) + 1, 1e6))
    made = build_multi_cost_efficiency(source, wide, 2, 0.2, 1.0, "rating")
    rewards = build_decisions(made, np.flatnonzero(made.decisions.user == 0)).rating
    assert np.nanmin(rewards) > -1e-6


def test_most_users_make_the_same_choices_between_two_llms():
    """Why mmlu_route is measured with ratings: from w of about a half on, the better answer always wins."""
    if not (DATA / "mmlu_route").is_dir():
        pytest.skip(f"no data in {DATA / 'mmlu_route'}; PROUTER_DATA names the folder")
    data = read_tables(DATA / "mmlu_route")
    train = np.isin(np.arange(len(data.queries.ids)), split_queries(data, 0.7, 0.1, seed=1).train)
    _, decisions, _ = _simulate(tables.select_queries(data, train), num_users=100)
    choices = decisions.target.reshape(100, -1)
    _, alike = np.unique(choices, axis=0, return_counts=True)
    assert alike.max() == 62


class _FixedJudge:
    """Chooses the last LLM on offer, and fails where it is told to."""

    def __init__(self, failing):
        self.failing = failing

    def choose(self, personas, questions):
        self.personas, self.questions = personas, questions
        last = questions.offered.shape[1] - 1 - questions.offered[:, ::-1].argmax(1)
        choice = np.tile(last.astype(np.int32), (len(personas), 1))
        failures = dict.fromkeys(map(tuple, np.argwhere(self.failing(choice)).tolist()), "no reply")
        for pair in failures:
            choice[pair] = -1
        return Verdicts(choice, failures)

    def estimate_cost(self, personas, questions):
        raise AssertionError("not asked")


@pytest.fixture(scope="module")
def answered(source) -> Interactions:
    """`source` with texts, some of them empty: query 0 has one answer left, query 1 two."""
    outcomes = source.outcomes
    texts = tables.strings([f"answer {row}" for row in range(len(outcomes.query))])
    texts[(outcomes.query == 0) & (outcomes.llm > 0)] = ""
    texts[(outcomes.query == 1) & (outcomes.llm > 1)] = " "
    return source.replace(outcomes=dataclasses.replace(outcomes, response=texts))


def _of_llms(data):
    """bool [decisions, llms], the LLMs that have a text on the decision's query."""
    has = np.zeros((len(data.queries.ids), len(data.llms.ids)), bool)
    has[data.outcomes.query, data.outcomes.llm] = [bool(text.strip()) for text in data.outcomes.response]
    return has[data.decisions.query]


def test_judged_users_decide_on_every_query_with_two_texts(answered):
    judge = _FixedJudge(lambda choice: choice < 0)
    made = validate(build_llm_as_judge(answered, judge, 12, seed=5))
    assert judge.personas == make_personas(12, seed=5)
    assert made.users.ids.tolist() == [f"judge{row:04d}" for row in range(12)]
    assert np.isnan(made.users.preference).all()
    decisions = build_decisions(made, np.arange(len(made.decisions.user)))
    pairs = list(zip(decisions.user.tolist(), decisions.query.tolist(), strict=True))
    assert sorted(pairs) == [(user, query) for user in range(12) for query in range(60) if query not in (0, 4)]
    np.testing.assert_array_equal(decisions.offered, _of_llms(made))
    llms = decisions.offered.shape[1]
    np.testing.assert_array_equal(decisions.target.argmax(1), llms - 1 - decisions.offered[:, ::-1].argmax(1))
    np.testing.assert_array_equal(decisions.target.sum(1), 1)
    assert (made.decisions.first == -1).all()
    assert made.outcomes is answered.outcomes


def test_a_failure_is_neither_a_decision_nor_a_vote(answered):
    judge = _FixedJudge(lambda choice: np.add.outer(np.arange(len(choice)), np.arange(choice.shape[1])) % 3 == 0)
    made = validate(build_llm_as_judge(answered, judge, 6, seed=0))
    pairs = set(zip(made.decisions.user.tolist(), made.decisions.query.tolist(), strict=True))
    asked = judge.questions.query.tolist()
    kept = {(user, query) for user in range(6) for at, query in enumerate(asked) if (user + at) % 3}
    assert pairs == kept
    assert len(made.feedback.decision) == len(made.decisions.user) == len(kept)
    assert made.feedback.decision.tolist() == list(range(len(kept)))


def test_nothing_but_failures_is_an_error_that_says_why(answered):
    judge = _FixedJudge(lambda choice: choice >= 0)
    with pytest.raises(ValueError, match=r"^judge: expected a verdict, found 116 failures, the first: no reply$"):
        build_llm_as_judge(answered, judge, 2, seed=0)


def test_personas_of_the_style_judge_make_different_choices(answered):
    made = validate(build_llm_as_judge(answered, StyleJudge(build_questions(answered), 0.1, 0), 30, seed=0))
    choices = made.feedback.llm.reshape(30, -1)
    assert len(np.unique(choices, axis=0)) == 30


@pytest.fixture
def answered_benchmark(two_users):
    return two_users.replace(outcomes=dataclasses.replace(two_users.outcomes, response=strings(["a", "b", "c"])))


def test_style_is_the_default(answered_benchmark):
    judge = make_judge(Judge(noise=0.7, seed=3), answered_benchmark)
    assert isinstance(judge, StyleJudge)
    assert (judge.noise, judge.seed) == (0.7, 3)


def test_the_llm_judge_needs_a_journal(answered_benchmark):
    with pytest.raises(ValueError, match=r"^config\.data\.judge\.verdicts: expected a file"):
        make_judge(judge_config(), answered_benchmark)
    assert make_judge(judge_config(), answered_benchmark, "given", True) == LlmJudge(judge_config(), "given", True)
    own = judge_config(verdicts="own")
    assert make_judge(own, answered_benchmark, "given") == LlmJudge(own, "own", False)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("data.judge.model", "", "data.judge.model: expected a model"),
        ("data.judge.max_cost", 1.0, "data.judge.max_cost: expected 0 without prices"),
        ("data.feedback", "rating", "data.feedback: expected 'choice'"),
    ],
)
def test_invalid_configurations_of_the_llm_judge_are_refused(field, value, expected):
    config = ExperimentConfig()
    config.data.users, config.data.judge = "llm_as_judge", judge_config()
    validate_config(config)
    section = config.data if field == "data.feedback" else config.data.judge
    setattr(section, field.split(".")[-1], value)
    with pytest.raises(ValueError, match=rf"^config\.{expected}"):
        validate_config(config)
