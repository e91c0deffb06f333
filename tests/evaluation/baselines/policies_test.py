"""Baselines without hyperparameters: their scores, what they depend on, and that every candidate has a score."""

import dataclasses
import math

import numpy as np
import pytest

from prouter_jax import metrics
from prouter_jax.config import Data, Embedded
from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.data.style_features import text_style
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.text_encoders import make_encoder
from prouter_jax.dataset import Dataset, Labelled, Source, prepare_dataset
from prouter_jax.evaluation.baselines import Policy, make_policies
from prouter_jax.evaluation.baselines.base import select_decisions
from prouter_jax.evaluation.baselines.simple import BestPerUser, BestPerUserTask, BestSingle, FixedScores
from prouter_jax.graph.build import NodeVectors

NAN = math.nan
SMALL = Embedded(num_queries=120, num_llms=5, num_users=6, decisions_per_user=40)
ALWAYS = {"random", "best_single", "best_per_user", "best_per_user_task", "cheapest", "strongest", "oracle"}


def _prepare(data: Interactions, users: str = "recorded", **more) -> Dataset:
    encoder = make_encoder("hash")
    texts = (data.tasks.descriptions, data.queries.texts, data.llms.descriptions)
    vectors = NodeVectors(*(encoder.encode(some) for some in texts), text_style(texts[1]))
    return prepare_dataset(Source(data, vectors, "hash"), Data(users=users, num_users=6, **more), seed=0)


def _scores(dataset: Dataset) -> dict[str, np.ndarray]:
    return {name: _fit_and_score(policy, dataset) for name, policy in make_policies(dataset).items()}


def _fit_and_score(policy: Policy, dataset: Dataset) -> np.ndarray:
    train = dataset.labelled("train")
    policy.fit(train, dataset.labelled("validation"))
    return policy.score(train, dataset.labelled("test").decisions)


def _asked(user, query, num_llms: int) -> DecisionArrays:
    offered = np.ones((len(user), num_llms), bool)
    nothing = np.zeros(offered.shape, np.float32)
    return DecisionArrays(
        np.array(user), np.array(query), offered, nothing, nothing * NAN, np.full(len(user), -1), nothing - 1
    )


# Users 0 and 1 on queries 0 (task 0), 1 (task 1), 2 (no task); the last LLM has no rewards.
HISTORY = Labelled(
    _asked([0, 0, 0, 1], [0, 0, 1, 0], 3),
    np.array([[1, 0, NAN], [0.5, NAN, NAN], [0, 0.6, NAN], [NAN, 1, NAN]], np.float32),
)
TASK = np.array([0, 1, -1])
NEW = _asked([0, 0, 0, 1, 2], [0, 1, 2, 1, 0], 3)
OVERALL = [0.5, 1.6 / 3, 3.1 / 6]  # an LLM without rewards counts as an average one


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (BestSingle(), [OVERALL] * 5),
        (BestPerUser(3), [[0.5, 0.3, OVERALL[2]]] * 3 + [[OVERALL[0], 1, OVERALL[2]], OVERALL]),
        (
            BestPerUserTask(3, TASK, 2),
            [[0.75, 0, OVERALL[2]], [0, 0.6, OVERALL[2]], [0.5, 0.3, OVERALL[2]], [OVERALL[0], 1, OVERALL[2]], OVERALL],
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_means_of_the_history_fall_back_on_wider_means(policy, expected):
    policy.fit(HISTORY, HISTORY)
    np.testing.assert_allclose(policy.score(HISTORY, NEW), expected, rtol=1e-6)


def test_a_user_without_history_gets_the_scores_of_the_population():
    dataset = _prepare(build_embedded(SMALL))
    train, decisions = dataset.labelled("train"), dataset.labelled("test").decisions
    others = train.decisions.user != 2
    columns = {f.name: getattr(train.decisions, f.name)[others] for f in dataclasses.fields(DecisionArrays)}
    policies = make_policies(dataset)
    for policy in policies.values():
        policy.fit(train, train)
    for name in ("best_per_user", "best_per_user_task"):
        found = policies[name].score(Labelled(DecisionArrays(**columns), train.rewards[others]), decisions)
        expected = policies["best_single"].score(train, decisions)
        np.testing.assert_array_equal(found[decisions.user == 2], expected[decisions.user == 2])
        assert not np.array_equal(found, expected)


def test_cheapest_and_strongest_use_the_training_outcomes_alone():
    data = build_embedded(SMALL)
    dataset = _prepare(data)
    seen, scores = dataset.world_query[data.outcomes.query] >= 0, _scores(dataset)
    for llm in range(5):
        mine = seen & (data.outcomes.llm == llm)
        assert scores["cheapest"][0, llm] == pytest.approx(-np.nanmean(data.outcomes.cost[mine]), rel=1e-5)
        assert scores["strongest"][0, llm] == pytest.approx(np.nanmean(data.outcomes.effect[mine]), rel=1e-5)


def test_an_llm_of_unknown_cost_is_never_the_cheapest():
    scores = FixedScores("cheapest", lambda _: -np.array([0.3, NAN, 0.2])).score(HISTORY, NEW)
    assert metrics.choose(scores, NEW.offered).tolist() == [2] * 5


def test_the_oracle_selects_an_unobserved_reward_only_without_another():
    scores = FixedScores("oracle", lambda _: np.array([[NAN, -5, -7], [NAN] * 3])).score(
        HISTORY, select_decisions(NEW, slice(2))
    )
    assert metrics.choose(scores, np.ones((2, 3), bool)).tolist() == [1, 0]


def test_policies_that_do_not_apply_are_left_out():
    data = build_embedded(SMALL)
    unknown = np.full(len(data.outcomes.query), NAN)
    costless = data.replace(outcomes=dataclasses.replace(data.outcomes, cost=unknown))
    unjudged = data.replace(outcomes=dataclasses.replace(data.outcomes, effect=unknown))
    assert set(make_policies(_prepare(data))) == ALWAYS
    assert set(make_policies(_prepare(costless))) == ALWAYS - {"cheapest"}
    assert set(make_policies(_prepare(unjudged))) == ALWAYS - {"strongest"}
    simulated = make_policies(_prepare(data, "multi_cost_efficiency"))
    assert set(simulated) == ALWAYS | {"ridge_true_preference"}
    assert all(name == policy.name for name, policy in simulated.items())


@pytest.mark.parametrize("split", ["cold_query", "warm_query"])
@pytest.mark.parametrize("users", ["recorded", "multi_cost_efficiency"])
@pytest.mark.parametrize("feedback", ["choice", "rating"])
def test_every_candidate_has_a_score_and_none_beats_the_oracle(split, users, feedback):
    dataset = _prepare(build_embedded(SMALL), users, split=split, feedback=feedback)
    test = dataset.labelled("test")
    reward = {}
    for name, scores in _scores(dataset).items():
        picked = metrics.choose(scores, test.decisions.offered)
        reward[name] = metrics.mean(metrics.values_of_selected(test.rewards, picked))
    assert max(reward.values()) == reward["oracle"]
    # an LLM by chance is worse than a user's own favourite
    assert reward["random"] < reward["best_per_user"]


def test_no_score_depends_on_the_test_decisions():
    """Other choices and other outcomes on the test queries change no score but the oracle's."""
    data, rng = build_embedded(SMALL), np.random.default_rng(0)
    dataset = _prepare(data, "multi_cost_efficiency")
    hidden = dataset.world_query[data.outcomes.query] < 0
    effect = np.where(hidden, rng.random(len(hidden)), data.outcomes.effect)
    cost = np.where(hidden, 9 * rng.random(len(hidden)), data.outcomes.cost)
    validated = np.isin(data.outcomes.query, dataset.labelled("validation").decisions.query)
    outcomes = dataclasses.replace(
        data.outcomes,
        effect=np.where(validated, data.outcomes.effect, effect),
        cost=np.where(validated, data.outcomes.cost, cost),
    )
    other = _prepare(data.replace(outcomes=outcomes), "multi_cost_efficiency")
    before, after = _scores(dataset), _scores(other)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"oracle"}


def test_permuting_decisions_permutes_the_scores():
    data = build_embedded(SMALL)
    order = np.random.default_rng(0).permutation(len(data.decisions.user))
    feedback = dataclasses.replace(data.feedback, decision=np.argsort(order)[data.feedback.decision])
    shuffled = data.replace(decisions=tables.take(data.decisions, order), feedback=feedback)
    first, second = _prepare(data), _prepare(shuffled)
    place = {name: row for row, name in enumerate(first.data.decisions.ids[first.parts.test])}
    rows = [place[name] for name in second.data.decisions.ids[second.parts.test]]
    before, after = _scores(first), _scores(second)
    for name in set(before) - {"random"}:
        np.testing.assert_allclose(before[name][rows], after[name], rtol=1e-12, err_msg=name)


def test_ridge_finds_a_planted_rule_and_serves_each_preference():
    """LLM 0 is good and dear, LLM 1 is cheap and good only where a text says so."""
    data = build_embedded(Embedded(num_queries=200, num_llms=2, num_users=1, decisions_per_user=1))
    words = np.array([["plain", "odd"][row % 2] for row in range(200)])
    texts = tables.strings([f"{word} text" for word in words])
    query, llm = np.repeat(np.arange(200), 2), np.tile([0, 1], 200)
    effect = np.where(llm == 0, 1.0, words[query] == "odd")
    unknown = np.full(400, NAN)
    outcomes = tables.Outcomes(query, llm, effect, np.where(llm == 0, 2.0, 1.0), unknown, unknown)
    data = data.replace(queries=dataclasses.replace(data.queries, texts=texts), outcomes=outcomes)
    dataset = _prepare(data, "multi_cost_efficiency")
    test = dataset.labelled("test")
    policy = make_policies(dataset)["ridge_true_preference"]
    picked = metrics.choose(_fit_and_score(policy, dataset), test.decisions.offered)
    np.testing.assert_array_equal(metrics.matches(picked, test.decisions.target), 1)
    plain = words[test.decisions.query] == "plain"
    assert set(picked[plain & (test.decisions.user == 0)]) == {1}  # thrifty
    assert set(picked[plain & (test.decisions.user == 5)]) == {0}  # wants quality
    assert set(picked[~plain & (test.decisions.user == 0)]) == {1}
