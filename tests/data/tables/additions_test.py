"""Histories and LLM additions: new rows follow existing rows, ids match, and every error names its row."""

import dataclasses
import re

import numpy as np
import pytest
from table_files import write_rows

from prouter_jax.data.interactions import CHOICE, RATING
from prouter_jax.data.tables.additions import read_history, read_llm_additions
from prouter_jax.data.tables.read_write import read_tables

FORMATS = ("parquet", "csv", "jsonl")
TABLES = {
    "users": [{"user_id": "w", "preference": 0.25}],
    "tasks": [{"task_id": "math", "description": "Sums."}, {"task_id": "art", "description": "Poems."}],
    "queries": [
        {"query_id": "q0", "query": "Add 1 and 1", "task_id": "math"},
        {"query_id": "q1", "query": "Write a poem", "task_id": "art"},
        {"query_id": "q2", "query": "Add 1 and 1", "task_id": None},
    ],
    "llms": [
        {"llm": "a", "family": "f", "description": "A.", "input_price": 0.5, "output_price": 1.0},
        {"llm": "b", "family": None, "description": "B.", "input_price": None, "output_price": 1.5},
    ],
    "outcomes": [
        {"query_id": "q0", "llm": "a", "effect": 1.0, "cost": 0.125},
        {"query_id": "q1", "llm": "b", "effect": 0.5, "cost": None},
    ],
    "choices": [
        {"user_id": "u", "query_id": "q0", "llm": "a"},
        {"user_id": "v", "query_id": "q1", "llm": "b"},
    ],
    "ratings": [{"user_id": "u", "query_id": "q1", "llm": "b", "rating": 3.0}],
}
NEW_LLMS = [
    {"llm": "c", "family": "g", "description": "C.", "input_price": 0.25, "output_price": 2.0},
    {"llm": "b", "family": "h", "description": None, "input_price": 4.0, "output_price": None},
]
ADDED = {
    "llms": NEW_LLMS,
    "users": [{"user_id": "x", "preference": 0.75}],
    "tasks": [{"task_id": "code", "description": "Programs."}],
    "queries": [
        {"query_id": "n0", "query": "Sort", "task_id": "code"},
        {"query_id": "n1", "query": "Draw", "task_id": "art"},
    ],
    "outcomes": [
        {"query_id": "q1", "llm": "c", "effect": 0.75, "cost": 0.5},
        {"query_id": "n0", "llm": "a", "effect": 0.0, "cost": 0.25},
    ],
    "choices": [
        {"user_id": "x", "query_id": "q0", "llm": "c"},
        {"user_id": "u", "query_id": "n1", "llm": "a"},
    ],
    "votes": [{"user_id": "y", "query_id": "q1", "llm_a": "c", "llm_b": "b", "winner": "a"}],
    "ratings": [{"user_id": "u", "query_id": "n0", "llm": "b", "rating": -1.0}],
    "decisions": [{"decision_id": "choice1x", "user_id": "v", "query_id": "q2", "candidates": ["a", "c"]}],
    "feedback": [{"decision_id": "choice1x", "kind": "choice", "llm": "c", "value": 1.0}],
}


def _folder(path, tables, suffix="jsonl"):
    path.mkdir()
    for name, rows in tables.items():
        write_rows(path / f"{name}.{suffix}", rows)
    return path


@pytest.fixture
def base(tmp_path):
    folder = _folder(tmp_path / "base", TABLES)
    np.save(folder / "queries_vectors.npy", np.ones((3, 2), np.float32))
    return read_tables(folder)


def _feedback_rows(data, first=0):
    """Feedback from row `first` on in words: user, query, candidates, kind, LLM, value."""
    rows = []
    for decision, kind, llm, value in zip(*(column[first:] for column in vars(data.feedback).values()), strict=True):
        table = data.decisions
        offer = "".join(data.llms.ids[data.offers[table.offer[decision]]])
        user, query = data.users.ids[table.user[decision]], data.queries.ids[table.query[decision]]
        rows.append((user, query, offer, {CHOICE: "choice", RATING: "rating"}[kind], data.llms.ids[llm], float(value)))
    return rows


def _assert_starts_with(data, base, changed=()):
    """Every table of `data` starts with that of `base`; new LLMs are in none of its offers."""
    for field in dataclasses.fields(base):
        if field.name in ("offers", *changed):
            continue
        old, new = getattr(base, field.name), getattr(data, field.name)
        for name, column in vars(old).items():
            if name != "vectors" and column is not None:
                np.testing.assert_array_equal(getattr(new, name)[: len(column)], column)
    old_llms = len(base.llms.ids)
    np.testing.assert_array_equal(data.offers[: len(base.offers), :old_llms], base.offers)
    assert not data.offers[: len(base.offers), old_llms:].any()
    assert data.queries.vectors is None


@pytest.mark.parametrize("suffix", FORMATS)
def test_history_rows_follow_existing_rows(tmp_path, base, suffix):
    rows = [
        {"user_id": "v", "query_id": "q2", "llm": "b", "candidates": None, "time": 5.0},
        {"user_id": "z", "query_id": "q0", "llm": "a", "candidates": ["a", "b"], "time": None},
        {"user_id": "v", "query_id": "q2", "llm": "a", "candidates": None, "time": 5.0},
        {"user_id": "u", "query_id": "q0", "llm": "b", "candidates": ["b"], "time": 1.0},
    ]
    data = read_history(write_rows(tmp_path / f"history.{suffix}", rows), base)
    _assert_starts_with(data, base)
    assert _feedback_rows(data, len(base.feedback.llm)) == [
        ("v", "q2", "ab", "choice", "b", 0.5),
        ("z", "q0", "ab", "choice", "a", 1),
        ("v", "q2", "ab", "choice", "a", 0.5),
        ("u", "q0", "b", "choice", "b", 1),
    ]
    assert list(data.users.ids) == ["w", "u", "v", "z"]
    assert (data.decisions.first == -1).all()
    np.testing.assert_array_equal(data.decisions.time[len(base.decisions.time) :], [5, np.nan, 1])
    assert len(data.queries.ids) == len(base.queries.ids)
    again = read_history(write_rows(tmp_path / f"history.{suffix}", rows), data)
    _assert_starts_with(again, data)
    assert len(again.feedback.llm) == len(data.feedback.llm) + 4


def test_a_history_may_have_the_column_first(tmp_path, base):
    rows = [{"user_id": "v", "query_id": "q2", "llm": "a", "first": "b"}]
    data = read_history(write_rows(tmp_path / "history.jsonl", rows), base)
    assert list(data.decisions.first[len(base.decisions.first) :]) == [1]


@pytest.mark.parametrize("suffix", FORMATS)
def test_ratings_of_a_query_are_one_decision(tmp_path, base, suffix):
    rows = [
        {"user_id": "u", "query_id": "q1", "llm": "a", "rating": 2.5},
        {"user_id": "v", "query_id": "q1", "llm": "b", "rating": 1.0},
        {"user_id": "u", "query_id": "q1", "llm": "b", "rating": -4.0},
    ]
    data = read_history(write_rows(tmp_path / f"history.{suffix}", rows), base)
    assert _feedback_rows(data, len(base.feedback.llm)) == [
        ("u", "q1", "ab", "rating", "a", 2.5),
        ("v", "q1", "b", "rating", "b", 1),
        ("u", "q1", "ab", "rating", "b", -4),
    ]


@pytest.mark.parametrize("suffix", FORMATS)
def test_votes_are_choices_between_two(tmp_path, base, suffix):
    rows = [
        {"user_id": "v", "query_id": "q1", "llm_a": "b", "llm_b": "a", "winner": "b"},
        {"user_id": "z", "query_id": "q1", "llm_a": "a", "llm_b": "b", "winner": "tie"},
    ]
    data = read_history(write_rows(tmp_path / f"history.{suffix}", rows), base)
    assert _feedback_rows(data, len(base.feedback.llm)) == [
        ("v", "q1", "ab", "choice", "a", 1),
        ("z", "q1", "ab", "choice", "a", 0.5),
        ("z", "q1", "ab", "choice", "b", 0.5),
    ]
    assert list(data.decisions.first[len(base.decisions.first) :]) == [1, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"llm_b": None}, "column llm_b, row 0: expected an id, found nothing"),
        ({"winner": None, "thumb": 1}, "expected a column thumb or a column winner, found both"),
        ({"winner": "c"}, "column winner, row 0: expected one of a, b, tie, found 'c'"),
        ({"llm_b": "a"}, "column llm_b, row 0: expected another LLM than llm_a, found 'a'"),
    ],
)
def test_bad_votes_are_named(tmp_path, base, changes, message):
    rows = [{"user_id": "v", "query_id": "q1", "llm_a": "a", "llm_b": "b", "winner": "a", **changes}]
    assert _error(read_history, write_rows(tmp_path / "history.parquet", rows), base).endswith(message)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_text_without_id_is_an_existing_or_a_new_query(tmp_path, base, suffix):
    rows = [
        {"user_id": "u", "query_id": None, "query": "Sing", "task_id": "art", "llm": "a"},
        {"user_id": "u", "query_id": None, "query": "Add 1 and 1", "task_id": None, "llm": "a"},
        {"user_id": "u", "query_id": "q1", "query": "ignored", "task_id": "math", "llm": "a"},
        {"user_id": "v", "query_id": None, "query": "Sing", "task_id": "art", "llm": "b"},
        {"user_id": "u", "query_id": None, "query": "Dance", "task_id": None, "llm": "b"},
        {"user_id": "v", "query_id": "query0", "query": "Dance", "task_id": None, "llm": "a"},
        {"user_id": "v", "query_id": "mine", "query": "Write a poem", "task_id": None, "llm": "b"},
    ]
    data = read_history(write_rows(tmp_path / f"history.{suffix}", rows), base)
    _assert_starts_with(data, base)
    texts = data.queries.texts[data.decisions.query[len(base.decisions.query) :]]
    assert list(texts) == ["Sing", "Add 1 and 1", "Write a poem", "Sing", "Dance", "Dance", "Write a poem"]
    named = data.queries.ids[data.decisions.query[len(base.decisions.query) :]]
    assert list(named[[1, 2, 4, 5, 6]]) == ["q0", "q1", "query0", "query0", "mine"]
    assert list(data.queries.texts[3:]) == ["Sing", "Dance", "Write a poem"]
    assert list(data.queries.task[3:]) == [1, -1, -1]


def test_two_histories_with_texts_do_not_clash(tmp_path, base):
    data = base
    for text in ("Sing", "Dance"):
        rows = [{"user_id": "u", "query": text, "llm": "a"}]
        data = read_history(write_rows(tmp_path / "history.jsonl", rows), data)
    assert list(data.queries.texts[3:]) == ["Sing", "Dance"]
    assert list(read_history(tmp_path / "history.jsonl", data).queries.texts[3:]) == ["Sing", "Dance"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("column", "row", "value", "expected", "found"),
    [
        ("llm", 1, "z", "an llm of the router", "'z'"),
        ("llm", 1, None, "an id", "nothing"),
        ("user_id", 2, None, "an id", "nothing"),
        ("query_id", 1, "q9", "a query_id of the router, or a text in query", "'q9'"),
        ("query_id", 1, None, "a query_id of the router, or a text in query", "nothing"),
        ("task_id", 0, "sports", "a task_id of the router, or none", "'sports'"),
        ("task_id", 2, "art", "what row 0 of the same query has", "'art'"),
        ("query", 2, "Other", "what row 0 of the same query has", "'Other'"),
        ("rating", 2, None, "a number", "nothing"),
        ("candidates", 1, ["b", "z"], "an llm of the router", "'z'"),
    ],
)
def test_a_bad_cell_of_a_history_is_named(tmp_path, base, suffix, column, row, value, expected, found):
    cells = {"query_id": None, "query": None, "task_id": None, "rating": 1.0, "candidates": ["a", "b"]}
    rows = [
        {"user_id": "u", "llm": "a", **cells, "query_id": "new", "query": "Sing", "task_id": "math"},
        {"user_id": "u", "llm": "b", **cells, "query_id": "q0"},
        {"user_id": "v", "llm": "b", **cells, "query_id": "new", "query": "Sing", "task_id": "math"},
    ]
    rows[row][column] = value
    path = write_rows(tmp_path / f"history.{suffix}", rows)
    prefix = f"table history.{suffix}, column {column}, row {row}"
    assert _error(read_history, path, base) == f"{prefix}: expected {expected}, found {found}"


GOOD = {"user_id": "u", "query_id": "q0", "llm": "a"}
UNUSABLE = {
    "without a user": {"user_id": None},
    "without a value in llm": {"llm": None},
    "with an LLM in llm that is unknown": {"llm": "z"},
    "with an LLM in first that is unknown": {"first": "z"},
    "with unknown LLMs among the candidates": {"candidates": ["a", "z"]},
    "with an LLM that is none of the candidates": {"candidates": ["b"]},
    "with an LLM in first that is none of the candidates": {"candidates": ["a"], "first": "b"},
    "whose query is unknown and has no text": {"query_id": "q9"},
    "with an unknown task": {"task_id": "sports", "query_id": None, "query": "Sing"},
    "repeating another row": {},
    "contradicting another row of the same user, query and time": {"first": "b"},
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("reason", UNUSABLE)
def test_a_row_that_cannot_be_used_is_dropped_and_counted(tmp_path, base, capsys, suffix, reason):
    rows = [GOOD, GOOD | UNUSABLE[reason], GOOD | {"user_id": "v", "query_id": "q2"}]
    data = read_history(write_rows(tmp_path / f"history.{suffix}", rows), base)
    expected = read_history(write_rows(tmp_path / f"good.{suffix}", [rows[0], rows[2]]), base)
    assert _feedback_rows(data) == _feedback_rows(expected)
    said = capsys.readouterr().err
    assert f"table history.{suffix}: rows left out: 1 {reason}; --strict stops at the first" in said
    read_history(tmp_path / f"history.{suffix}", base, report=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("with a winner other than a, b or tie", {"winner": "c"}),
        ("with the same LLM on both sides", {"llm_b": "a"}),
        ("without a value in llm_b", {"llm_b": None}),
        ("with an LLM in first that is none of the candidates", {"first": "c"}),
    ],
)
def test_votes_that_cannot_be_used_are_dropped_and_counted(tmp_path, base, capsys, reason, changes):
    base = read_llm_additions(_folder(tmp_path / "new", {"llms": NEW_LLMS}), base)
    vote = {"user_id": "v", "query_id": "q1", "llm_a": "a", "llm_b": "b", "winner": "a"}
    data = read_history(write_rows(tmp_path / "history.jsonl", [vote | changes, vote]), base)
    assert len(data.decisions.user) == len(base.decisions.user) + 1
    assert f"1 {reason};" in capsys.readouterr().err


def test_a_history_without_any_usable_row_is_an_error(tmp_path, base):
    rows = [GOOD | {"llm": "z"}, GOOD | {"llm": "y"}, GOOD | {"user_id": None}]
    path = write_rows(tmp_path / "history.jsonl", rows)
    message = "expected rows that can be used, found none: 1 without a user, 2 with an LLM in llm that is unknown"
    with pytest.raises(ValueError, match=f"^table history.jsonl: {message}"):
        read_history(path, base)


def test_errors_after_dropped_rows_count_the_rows_of_the_file(tmp_path, base):
    rows = [GOOD | {"llm": "z"}, GOOD | {"llm": "a", "rating": 1.0}, GOOD | {"rating": float("inf"), "llm": "b"}]
    path = write_rows(tmp_path / "history.parquet", rows)
    with pytest.raises(ValueError, match="column rating, row 2"):
        read_history(path, base)


def test_decisions_at_two_times_are_two_decisions(tmp_path, base):
    rows = [GOOD | {"time": time} for time in (1, 2, 2)]
    data = read_history(write_rows(tmp_path / "history.jsonl", rows), base)
    assert data.decisions.time[len(base.decisions.time) :].tolist() == [1, 2]


def _error(read, path, base):
    options = {"strict": True} if read is read_history else {}
    with pytest.raises(ValueError, match="expected") as caught:
        read(path, base, **options)
    assert "\n" not in str(caught.value)
    return re.sub(r" \((?:(?:line|row|element) \d+ of )?/[^()]*\)$", "", str(caught.value))  # the place in the file


def test_other_bad_histories_are_named(tmp_path, base):
    twice = [{"user_id": "u", "llm": "a", "query_id": "q0", "first": first} for first in "ab"]
    path = write_rows(tmp_path / "history.csv", twice)
    assert _error(read_history, path, base).startswith("table history.csv, column llm, row 1: expected each LLM once")
    path = write_rows(tmp_path / "history.csv", [{"user_id": "u", "query_id": "q0"}])
    assert _error(read_history, path, base).startswith("table history.csv, column llm: expected this column")
    assert "history.txt: expected a file of .parquet" in _error(read_history, tmp_path / "history.txt", base)
    gone = tmp_path / "none.parquet"
    assert _error(read_history, gone, base) == f"{gone}: expected a file, found none"


@pytest.mark.parametrize("suffix", FORMATS)
def test_new_llms_follow_and_existing_ones_are_updated(tmp_path, base, suffix):
    data = read_llm_additions(_folder(tmp_path / "new", {"llms": NEW_LLMS}, suffix), base)
    _assert_starts_with(data, base, changed=["llms"])
    assert list(data.llms.ids) == ["a", "b", "c"]
    assert list(data.llms.families) == ["f", "h", "g"]
    assert list(data.llms.descriptions) == ["A.", "B.", "C."]
    assert list(data.llms.input_price) == [0.5, 4, 0.25]
    assert list(data.llms.output_price) == [1, 1.5, 2]
    assert np.isnan(base.llms.input_price[1])
    assert _feedback_rows(data) == _feedback_rows(base)


@pytest.mark.parametrize("suffix", FORMATS)
def test_ids_of_additions_refer_to_base_and_folder(tmp_path, base, suffix):
    data = read_llm_additions(_folder(tmp_path / "new", ADDED, suffix), base)
    _assert_starts_with(data, base, changed=["llms"])
    assert list(data.users.ids) == [*base.users.ids, "x", "y"]
    assert list(data.tasks.ids) == ["math", "art", "code"]
    assert list(data.queries.ids) == ["q0", "q1", "q2", "n0", "n1"]
    assert list(data.queries.task[3:]) == [2, 1]
    assert list(data.queries.ids[data.outcomes.query[2:]]) == ["q1", "n0"]
    assert list(data.llms.ids[data.outcomes.llm[2:]]) == ["c", "a"]
    assert list(data.outcomes.effect[2:]) == [0.75, 0]
    assert _feedback_rows(data, len(base.feedback.llm)) == [
        ("v", "q2", "ac", "choice", "c", 1),
        ("x", "q0", "abc", "choice", "c", 1),
        ("u", "n1", "abc", "choice", "a", 1),
        ("y", "q1", "bc", "choice", "c", 1),
        ("u", "n0", "b", "rating", "b", -1),
    ]
    np.testing.assert_array_equal(data.users.preference[-2:], [0.75, np.nan])


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "expected", "found"),
    [
        ("users", "user_id", 0, "w", "a new id", "'w'"),
        ("users", "preference", 0, 1.5, "a number in [0, 1]", "1.5"),
        ("tasks", "task_id", 0, "art", "a new id", "'art'"),
        ("queries", "query_id", 1, "q2", "a new id", "'q2'"),
        ("queries", "task_id", 1, "sports", "a task_id of the tasks table or of the router, or none", "'sports'"),
        ("llms", "input_price", 0, -1.0, "a number in [0, 1,000,000]", "-1.0"),
        ("llms", "output_price", 1, -1.0, "a number in [0, 1,000,000]", "-1.0"),
        ("outcomes", "query_id", 1, "q9", "a query_id of queries.jsonl or of the router", "'q9'"),
        ("outcomes", "effect", 1, 2.0, "a number in [0, 1]", "2.0"),
        ("votes", "llm_a", 0, "z", "an llm of llms.jsonl or of the router", "'z'"),
        ("decisions", "decision_id", 0, "choice1", "a new id", "'choice1'"),
        ("feedback", "llm", 0, "b", "an LLM on offer in its decision", "'b'"),
    ],
)
def test_a_bad_cell_of_additions_is_named(tmp_path, base, table, column, row, value, expected, found):
    rows = [dict(cells) for cells in ADDED[table]]
    rows[row][column] = value
    folder = _folder(tmp_path / "new", ADDED | {table: rows})
    prefix = f"table {table}.jsonl, column {column}, row {row}"
    assert _error(read_llm_additions, folder, base) == f"{prefix}: expected {expected}, found {found}"


def test_an_outcome_that_exists_is_refused(tmp_path, base):
    outcomes = [*ADDED["outcomes"], {"query_id": "q0", "llm": "a", "effect": 1.0, "cost": 0.125}]
    folder = _folder(tmp_path / "new", ADDED | {"outcomes": outcomes})
    prefix = "table outcomes.jsonl, column query_id and llm, row 2"
    expected = f"{prefix}: expected a pair without an outcome, found 'q0, a'"
    assert _error(read_llm_additions, folder, base) == expected


def test_additions_need_llms(tmp_path, base):
    folder = _folder(tmp_path / "new", {"queries": ADDED["queries"]})
    assert _error(read_llm_additions, folder, base).startswith("table llms: expected llms.parquet or")
    assert "expected a folder of tables" in _error(read_llm_additions, tmp_path / "none", base)


def test_new_queries_need_existing_tasks(tmp_path, base):
    folder = _folder(tmp_path / "new", {"llms": NEW_LLMS, "queries": ADDED["queries"]})
    message = _error(read_llm_additions, folder, base)
    assert message.startswith("table queries.jsonl, column task_id, row 0: expected a task_id")
