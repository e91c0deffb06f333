"""A row that repeats another counts once; a decision at another time is another decision."""

import numpy as np
import pytest
from table_files import write_rows

from prouter_jax.data.interactions import CHOICE, KINDS
from prouter_jax.data.tables.read_write import read_tables

CHOSEN = {"user_id": "u", "query_id": "q", "llm": "a"}


def _read(folder, name, rows, suffix="csv"):
    write_rows(folder / "queries.csv", [{"query_id": "q", "query": "What?"}, {"query_id": "r", "query": "Why?"}])
    write_rows(folder / "llms.csv", [{"llm": name} for name in "abc"])
    write_rows(folder / f"{name}.{suffix}", rows)
    data = read_tables(folder)
    decisions = data.decisions
    return [
        (
            decision,
            decisions.time[decision],
            KINDS[kind],
            data.llms.ids[llm],
            float(value),
        )
        for decision, kind, llm, value in zip(
            data.feedback.decision, data.feedback.kind, data.feedback.llm, data.feedback.value, strict=True
        )
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("others", [{}, {"time": 5.0}, {"candidates": ["a", "b"], "first": "b"}])
def test_the_same_choice_twice_counts_once(tmp_path, capsys, suffix, others):
    rows = [CHOSEN | others, CHOSEN | others, CHOSEN | others | {"query_id": "r"}]
    found = _read(tmp_path, "choices", rows, suffix)
    assert [row[2:] for row in found] == [("choice", "a", 1), ("choice", "a", 1)]
    assert f"table choices.{suffix}: 1 rows that repeat another are read once" in capsys.readouterr().err


def test_the_order_of_joined_candidates_does_not_count(tmp_path, capsys):
    joined = ["a|b|c", "c; a; b", '["b", "c", "a"]', "a|b"]
    rows = [CHOSEN | {"candidates": text, "query_id": "qr"[text == "a|b"]} for text in joined]
    assert [row[2:] for row in _read(tmp_path, "choices", rows)] == [("choice", "a", 1), ("choice", "a", 1)]
    assert "table choices.csv: 2 rows that repeat another are read once" in capsys.readouterr().err


def test_rows_of_one_time_are_a_tie_and_another_time_is_another_decision(tmp_path):
    rows = [CHOSEN | {"time": time, "llm": llm} for time, llm in ((1, "a"), (1, "b"), (2, "a"))]
    assert _read(tmp_path, "choices", rows) == [
        (0, 1, "choice", "a", 0.5),
        (0, 1, "choice", "b", 0.5),
        (1, 2, "choice", "a", 1),
    ]


def test_ratings_of_a_query_are_one_decision_until_an_answer_is_rated_again(tmp_path):
    rows = [
        CHOSEN | {"llm": llm, "rating": rating, "time": time}
        for llm, rating, time in (("a", 1, 10), ("b", 2, 20), ("a", 5, 30), ("b", 6, 25), ("a", 9, 40))
    ]
    assert _read(tmp_path, "ratings", rows) == [
        (0, 20, "rating", "a", 1),
        (0, 20, "rating", "b", 2),
        (1, 30, "rating", "a", 5),
        (1, 30, "rating", "b", 6),
        (2, 40, "rating", "a", 9),
    ]


def test_thumbs_without_times_must_not_contradict(tmp_path):
    rows = [CHOSEN | {"thumb": thumb} for thumb in (1, 0)]
    with pytest.raises(ValueError, match="column llm, row 1: expected each LLM once a user, query and time, found 'a'"):
        _read(tmp_path, "thumbs", rows)
    assert len(_read(tmp_path, "thumbs", [row | {"time": n} for n, row in enumerate(rows)])) == 2


@pytest.mark.parametrize(("time", "decisions"), [(3.0, 1), (None, 2)])
def test_votes_repeat_each_other_only_at_one_time(tmp_path, time, decisions):
    vote = {"user_id": "u", "query_id": "q", "llm_a": "a", "llm_b": "b", "winner": "a", "time": time}
    assert len(_read(tmp_path, "votes", [vote, vote], "jsonl")) == decisions


def test_votes_may_say_which_llm_was_shown_first(tmp_path):
    vote = {"user_id": "u", "query_id": "q", "llm_a": "a", "llm_b": "b", "winner": "a"}
    rows = [vote | {"first": "b"}, vote | {"first": "a", "query_id": "r"}, vote | {"first": None, "query_id": "r"}]
    _read(tmp_path, "votes", rows)
    data = read_tables(tmp_path)
    assert data.llms.ids[data.decisions.first].tolist() == ["b", "a", "a"]
    write_rows(tmp_path / "votes.csv", [vote | {"first": "c"}])
    with pytest.raises(ValueError, match="column first, row 0: expected one of the candidates, found 'c'"):
        read_tables(tmp_path)


def test_many_rows_agree_with_a_simple_reading(tmp_path):
    """Against dictionaries in Python."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{rng.integers(3)}", "query_id": "qr"[rng.integers(2)], "llm": "abc"[rng.integers(3)]}
        | {"time": [None, 1.0, 2.0][rng.integers(3)]}
        for _ in range(200)
    ]
    ties = {}
    for row in rows:
        ties.setdefault((row["user_id"], row["query_id"], row["time"]), {})[row["llm"]] = None
    write_rows(tmp_path / "x.jsonl", rows)
    _read(tmp_path, "choices", rows, "jsonl")
    data = read_tables(tmp_path)
    found = {}
    for decision, llm, value in zip(data.feedback.decision, data.feedback.llm, data.feedback.value, strict=True):
        user, query = data.users.ids[data.decisions.user[decision]], data.queries.ids[data.decisions.query[decision]]
        time = data.decisions.time[decision]
        found.setdefault((user, query, None if np.isnan(time) else time), {})[data.llms.ids[llm]] = round(1 / value)
    assert found == {key: dict.fromkeys(llms, len(llms)) for key, llms in ties.items()}
    assert (data.feedback.kind == CHOICE).all()
