"""The tables of an export are those that training, updates and off-policy estimates read."""

import json
import random

import numpy as np
import pytest
from serve_cases import CountingRouter, open_service

from prouter_jax.data.interactions import Queries, strings
from prouter_jax.data.logs.tables import read_logged
from prouter_jax.data.tables.additions import read_history
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.evaluation.off_policy.comparison import compare
from prouter_jax.evaluation.off_policy.evaluate import make_log
from prouter_jax.evaluation.off_policy.log import deterministic_policy
from prouter_jax.serving.exploration import Exploration
from prouter_jax.serving.service import sqlite, store
from prouter_jax.serving.service.export import export
from prouter_jax.serving.service.requests import FeedbackRequest, RouteRequest, ServedRequest


@pytest.fixture
def state(tmp_path):
    """Decisions of two users, and feedback of all kinds."""
    service = open_service(tmp_path / "state.sqlite", store_prompts=True)

    def say(user, **request):
        service.feedback(user, FeedbackRequest(**request)).result()

    for user in ("ann", "bob"):
        first = service.route(user, RouteRequest(query="Hello")).decision
        second = service.route(user, RouteRequest(query="Bye", candidates=["birch", "cedar"])).decision
        say(user, decision_id=first.decision_id, thumb="down")
        say(user, decision_id=second.decision_id, choice="cedar", first="birch")
        say(user, query="Hello", model="birch", rating=4)
        say(user, query="Hello", vote={"model_a": "cedar", "model_b": "alder", "winner": "b"}, first="alder")
        third = service.route(user, RouteRequest(query="Hello")).decision
        told = {"input_tokens": 10, "output_tokens": 30, "cost": 0.25 if user == "ann" else 0.75, "latency": 1.5}
        service.served(user, ServedRequest(decision_id=third.decision_id, model="cedar", **told)).result()
    service.close()
    database = sqlite.connect(tmp_path / "state.sqlite")
    yield [list(read(database)) for read in (store.decisions_of, store.feedback_of, store.served_of)]
    database.close()


@pytest.fixture
def data(two_users):
    llms = CountingRouter().llms
    changed = dict(vars(two_users.llms).items()) | {"ids": strings(llms)}
    queries = Queries(strings(["known", "y", "z"]), strings(["Bye", "2+2", "Hi"]), np.array([-1, -1, -1]))
    return two_users.replace(llms=type(two_users.llms)(**changed), queries=queries)


def _rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_feedback_is_a_folder_of_tables(state, data, tmp_path):
    exported = export(*state, set(), data, tmp_path / "out")
    assert exported.feedback == {"thumbs": 2, "choices": 2, "ratings": 2, "votes": 2}
    assert (exported.without_text, exported.decisions, exported.rewarded) == (0, 6, 4)
    (vote, _) = _rows(tmp_path / "out" / "votes.jsonl")
    assert (vote["llm_a"], vote["llm_b"], vote["winner"]) == ("alder", "cedar", "a")
    assert _rows(tmp_path / "out" / "choices.jsonl")[0]["query_id"] == "known"
    read = read_tables(tmp_path / "out")
    assert len(read.decisions.user) == 8
    assert set(read.users.ids) == {"ann", "bob"}
    assert set(read.decisions.time) == {row.time for row in state[1]}


def test_the_log_has_each_decision_with_its_propensity_and_reward(state, data, tmp_path):
    decisions = state[0]
    export(*state, set(), data, tmp_path / "out")
    read = read_tables(tmp_path / "out" / "log")
    logged = read_logged(tmp_path / "out" / "log", read)
    assert read.decisions.ids.tolist() == [one.decision_id for one in decisions]
    fallbacks = np.isnan(logged.propensity)
    assert fallbacks.sum() == 2
    assert (logged.propensity[~fallbacks] == 1).all()
    assert read.llms.ids[logged.served[fallbacks]].tolist() == ["cedar", "cedar"]
    assert logged.latency[fallbacks].tolist() == [1.5, 1.5]
    assert np.isnan(logged.latency[~fallbacks]).all()
    assert read.outcomes.cost.tolist() == [0.5]  # of both users' requests
    assert read.outcomes.output_tokens.tolist() == [30]
    rewards = {one.decision_id: reward for one, reward in zip(decisions, logged.reward.tolist(), strict=True)}
    by_query = [[rewards[one.decision_id] for one in decisions if one.query == query] for query in ("Hello", "Bye")]
    assert by_query[1] == [0.0, 0.0]  # birch was picked, cedar chosen
    assert [reward for reward in by_query[0] if reward == reward] == [0.0, 0.0]
    assert len(by_query[0]) == 4


def test_what_the_router_counts_already_is_left_out_and_so_is_what_has_no_text(state, data, tmp_path):
    decisions, feedback, served = state
    counted = {(row.user_id, row.time) for row in feedback if row.user_id == "ann"}
    exported = export(decisions, feedback, served, counted, data, tmp_path / "out")
    assert exported.feedback == {"thumbs": 1, "choices": 1, "ratings": 1, "votes": 1}
    for row in feedback:
        if row.content["query"] == "Hello":
            row.content.pop("query")
    exported = export([], feedback, [], set(), data, tmp_path / "other")
    assert (exported.feedback, exported.without_text) == ({"choices": 2}, 6)
    assert "6 rows whose text is not known" in exported.summary()


def test_an_export_is_read_as_new_feedback(state, data, tmp_path):
    export(*state, set(), data, tmp_path / "out")
    grown = data
    for table in ("choices", "thumbs"):
        grown = read_history(tmp_path / "out" / f"{table}.jsonl", grown)
    added = len(grown.decisions.user) - len(data.decisions.user)
    assert added == 4


def test_nothing_is_written_over(state, data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "choices.jsonl").write_text("mine")
    with pytest.raises(ValueError, match="expected an empty folder or none"):
        export(*state, set(), data, tmp_path / "out")
    assert (tmp_path / "out" / "choices.jsonl").read_text() == "mine"


def test_a_log_of_drawn_picks_is_one_for_off_policy_estimates(data, tmp_path):
    explore = Exploration("epsilon", 0.3, uniform=random.Random(5).random)
    service = open_service(tmp_path / "state.sqlite", store_prompts=True, explore=explore)
    for number in range(200):
        user = f"user {number % 20}"
        decision = service.route(user, RouteRequest(query="Hello")).decision
        model, id_ = decision.llm, decision.decision_id
        if number % 10 == 0:  # a fallback is served, with which probability nobody knows
            model = "cedar" if model != "cedar" else "alder"
            service.served(user, ServedRequest(decision_id=id_, model=model)).result()
        thumb = FeedbackRequest(decision_id=id_, model=model, thumb="up" if model == "cedar" else "down")
        service.feedback(user, thumb).result()
    service.close()
    database = sqlite.connect(tmp_path / "state.sqlite")
    state = [list(read(database)) for read in (store.decisions_of, store.feedback_of, store.served_of)]
    database.close()
    assert export(*state, set(), data, tmp_path / "out").rewarded == 180
    read = read_tables(tmp_path / "out" / "log")
    logged = read_logged(tmp_path / "out" / "log", read)
    rows = np.flatnonzero(~np.isnan(logged.reward))
    cedar = np.flatnonzero(read.llms.ids == "cedar")[0]
    found = compare(make_log(read, logged, rows), {"cedar": deterministic_policy(np.full(len(rows), cedar), 3)})
    assert (found.fitted, found.certain) == (False, 0)
    snips = next(line for line in found.lines if line.policy == "cedar" and line.estimator == "snips")
    assert snips.interval.mean == pytest.approx(1)
