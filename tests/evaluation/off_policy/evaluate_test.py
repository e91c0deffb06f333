"""Off-policy evaluation of a router: the columns that it scores, and the decisions that are left out."""

import collections
import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from log_files import made_up_rows, write_log

from prouter_jax.data.interactions import select_decisions
from prouter_jax.data.interactions import select_llms as select_columns
from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.data.logs.tables import read_logged
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.evaluation.off_policy import evaluate
from prouter_jax.evaluation.off_policy.comparison import Comparison, PolicyEstimate
from prouter_jax.evaluation.off_policy.evaluate import (
    Evaluation,
    evaluate_router,
    held_out,
    select_llms,
    to_json,
    to_markdown,
)
from prouter_jax.metrics import Interval
from prouter_jax.serving.batch.write import Scored


@pytest.fixture
def log(tmp_path):
    rows = made_up_rows(800)
    rows[0]["candidates"] = [rows[0]["model"]]
    del rows[1]["thumb"]
    convert_log([write_log(tmp_path / "log.jsonl", rows)], tmp_path / "out", Options())
    data = read_tables(tmp_path / "out")
    return data, read_logged(tmp_path / "out", data)


_World = collections.namedtuple("_World", "interactions")
_Router = collections.namedtuple("_Router", "score_columns world")


def _make_router(world, best="c"):
    """Selects `best` if it is a candidate, else the last candidate, null without any; records the scored columns."""
    asked = []

    def score(columns):
        asked.append(columns)
        offered = columns["candidates"].to_pylist()
        picks = [(best if best in llms else llms[-1]) if llms else None for llms in offered]
        nothing = pa.nulls(len(picks), pa.string())
        return Scored(pa.array(picks, pa.string()), [], np.zeros((len(picks), 0)), nothing, nothing)

    return _Router(score, _World(world)), asked


def test_a_router_is_evaluated_on_decisions_that_it_was_not_trained_on(log):
    data, logged = log
    rows = np.arange(800)
    router, _ = _make_router(select_decisions(data, rows < 200))
    found = evaluate_router(router, data, logged)
    assert found.decisions == 800
    assert found.comparison.decisions == 600
    assert found.left_out == {"a decision that the router was trained on": 200}
    lines = {(line.policy, line.estimator): line for line in found.comparison.lines}
    assert lines["router", "dr"].interval.low < 0.8 < lines["router", "dr"].interval.high
    assert lines["router - logging policy", "dr"].interval.low > 0.1
    other = dataclasses.replace(data, users=dataclasses.replace(data.users, ids=data.users.ids + "x"))
    assert held_out(_Router(router.score_columns, _World(other)), data).all()


def test_decisions_without_reward_or_alternative_are_left_out(log):
    data, logged = log
    router, _ = _make_router(select_decisions(data, np.zeros(800, bool)))
    found = evaluate_router(router, data, logged)
    assert found.left_out == {"no thumb or rating": 1, "one candidate alone": 1}
    only_a = select_columns(data, data.llms.ids == "a")
    narrow, _ = _make_router(select_decisions(only_a, np.zeros(len(only_a.decisions.ids), bool)))
    picked = select_llms(narrow, data, np.arange(800), lambda share: None)
    alone = data.offers[data.decisions.offer].sum(1) == 1
    has_a = data.offers[data.decisions.offer][:, data.llms.ids.tolist().index("a")]
    np.testing.assert_array_equal(picked >= 0, has_a)
    assert alone.sum() == 1


def test_the_columns_that_a_router_scores(log):
    data, _ = log
    texts = data.queries.texts.copy()
    texts[0] = "the same id, another text"
    known = dataclasses.replace(data.queries, texts=texts)
    tasks = dataclasses.replace(data.tasks, ids=np.array(["math", "music"], object))
    router, asked = _make_router(data.replace(queries=known, tasks=tasks))
    shares = []
    rows = np.append([5, 700, 3], np.flatnonzero(data.decisions.query == 0)[:1])
    select_llms(router, data, rows, shares.append)
    (columns,) = asked
    query = data.decisions.query[rows]
    assert columns["user_id"].to_pylist() == data.users.ids[data.decisions.user[rows]].tolist()
    assert columns["query"].to_pylist() == data.queries.texts[query].tolist()
    assert columns["query_id"].to_pylist() == [data.queries.ids[q] if q else None for q in query]
    task = [data.tasks.ids[data.queries.task[q]] for q in query]
    assert columns["task_id"].to_pylist() == [name if name == "math" else None for name in task]
    assert columns["candidates"].to_pylist() == [
        data.llms.ids[row].tolist() for row in data.offers[data.decisions.offer[rows]]
    ]
    assert shares == [1.0]


def test_selections_of_several_blocks_stay_in_order(log, monkeypatch):
    data, _ = log
    router, asked = _make_router(data)
    whole = select_llms(router, data, np.arange(100), lambda share: None)
    monkeypatch.setattr(evaluate, "_BLOCK", 7)
    np.testing.assert_array_equal(select_llms(router, data, np.arange(100), lambda share: None), whole)
    assert len(asked) == 1 + 15


LINES = [
    PolicyEstimate("router", "dr", Interval(0.61234, 0.5, 0.7, 20), 1234.5, 0.98765),
    PolicyEstimate("router - logging policy", "dr", Interval(0.1, -0.05, 0.25, 20), math.nan, math.nan),
]


def _evaluation(fitted=True):
    return Evaluation(Comparison(LINES, 2000, 20, 3, fitted, 2), 2500, {"no thumb or rating": 497})


def test_json_has_all_numbers():
    found = json.loads(json.dumps(to_json(_evaluation()), allow_nan=False))
    assert found["lines"][0] == {
        "policy": "router",
        "estimator": "dr",
        "estimate": 0.61234,
        "low": 0.5,
        "high": 0.7,
        "effective_sample_size": 1234.5,
        "mean_weight": 0.98765,
    }
    assert found["lines"][1]["mean_weight"] is None
    assert (found["logged"], found["decisions"], found["users"]) == (2500, 2000, 20)
    assert (found["certain"], found["weights_cut"], found["propensities_fitted"]) == (3, 2, True)
    assert found["left_out"] == {"no thumb or rating": 497}


def test_markdown_has_the_estimates_and_the_decisions_left_out():
    text = to_markdown(_evaluation())
    assert "| router | dr | 0.6123 | 0.5000 to 0.7000 | 1,234 | 0.988 |" in text
    assert "| router - logging policy | dr | 0.1000 | -0.0500 to 0.2500 |  |  |" in text
    assert "| left out: no thumb or rating | 497 |" in text
    assert "No propensities are in the log" in text
    assert "No propensities are in the log" not in to_markdown(_evaluation(fitted=False))
