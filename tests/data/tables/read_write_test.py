"""Folders of tables: the forms of feedback, reading after writing, and the row in every error message."""

import dataclasses
import os
import pathlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_files import write_rows

from prouter_jax.data.interactions import CHOICE, RATING
from prouter_jax.data.tables.read_write import read_tables, write_tables

DATA = pathlib.Path(os.environ.get("PROUTER_DATA", pathlib.Path(__file__).parents[4] / "shared" / "data"))
FORMATS = ("parquet", "csv", "jsonl")
SMALL = {
    "queries": [
        {"query_id": "q0", "query": "Add 1 and 1", "task_id": "math"},
        {"query_id": "q1", "query": 'Write, please,\na "poem" on ä', "task_id": "art"},
        {"query_id": "q2", "query": "Hello", "task_id": None},
    ],
    "llms": [
        {"llm": "a", "family": "f", "description": "A.", "input_price": 0.5, "output_price": 1.0, "pool": "core"},
        {"llm": "b", "family": None, "description": "B.", "input_price": None, "output_price": 1.5, "pool": "core"},
        {"llm": "c", "family": "f", "description": "C.", "input_price": 0.5, "output_price": 2.0, "pool": "more"},
    ],
    "outcomes": [
        {"query_id": "q0", "llm": "a", "effect": 1.0, "cost": 0.125, "input_tokens": 3},
        {"query_id": "q1", "llm": "c", "effect": None, "cost": 0.25, "input_tokens": 4},
        {"query_id": "q1", "llm": "b", "effect": 0.5, "cost": None, "input_tokens": None},
    ],
}
CHOICES = [
    {"user_id": "v", "query_id": "q0", "llm": "a"},
    {"user_id": "u", "query_id": "q1", "llm": "b"},
    {"user_id": "v", "query_id": "q0", "llm": "b"},
    {"user_id": "u", "query_id": "q0", "llm": "c"},
]
VOTES = [
    {"user_id": "u", "query_id": "q0", "llm_a": "a", "llm_b": "b", "winner": "b"},
    {"user_id": "u", "query_id": "q0", "llm_a": "b", "llm_b": "c", "winner": "tie"},
    {"user_id": "v", "query_id": "q1", "llm_a": "c", "llm_b": "a", "winner": "a"},
]
RATINGS = [
    {"user_id": "u", "query_id": "q0", "llm": "a", "rating": 7.0},
    {"user_id": "v", "query_id": "q0", "llm": "c", "rating": -1.5},
    {"user_id": "u", "query_id": "q0", "llm": "c", "rating": 2.0},
]
LONG = {
    "decisions": [
        {"decision_id": "d0", "user_id": "u", "query_id": "q0", "candidates": ["a", "b"], "time": 1.5},
        {"decision_id": "d1", "user_id": "v", "query_id": "q2", "candidates": ["c", "a"], "time": None},
        {"decision_id": "d2", "user_id": "v", "query_id": "q1", "candidates": ["b", "a"], "time": 3.0},
    ],
    "feedback": [
        {"decision_id": "d1", "kind": "choice", "llm": "c", "value": 1.0},
        {"decision_id": "d0", "kind": "choice", "llm": "a", "value": 1.0},
        {"decision_id": "d0", "kind": "rating", "llm": "b", "value": 3.0},
    ],
}


def _save(folder, suffix="parquet", **tables):
    """Writes rows of cells; a table's keys are those of its first row."""
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        write_rows(folder / f"{name}.{suffix}", rows)
    return folder


def _feedback_rows(data):
    """Feedback in words: user, query, candidates, time, kind, LLM, value."""
    rows = []
    for decision, kind, llm, value in zip(*vars(data.feedback).values(), strict=True):
        table = data.decisions
        offer = "".join(data.llms.ids[data.offers[table.offer[decision]]])
        user, query = data.users.ids[table.user[decision]], data.queries.ids[table.query[decision]]
        rows.append((user, query, offer, {CHOICE: "choice", RATING: "rating"}[kind], data.llms.ids[llm], float(value)))
    return rows


def _assert_equal(one, other):
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(left):
            _assert_equal(left, right)
        else:
            np.testing.assert_array_equal(left, right, strict=left is not None)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_reads_as_the_same_data(tmp_path, suffix):
    data = read_tables(_save(tmp_path, suffix, **SMALL, choices=CHOICES))
    assert list(data.queries.texts) == [row["query"] for row in SMALL["queries"]]
    assert list(data.queries.task) == [1, 0, -1]
    assert list(data.tasks.ids) == list(data.tasks.descriptions) == ["art", "math"]
    assert list(data.llms.families) == ["f", "", "f"]
    np.testing.assert_array_equal(data.llms.input_price, [0.5, np.nan, 0.5])
    np.testing.assert_array_equal(data.outcomes.effect, [1, np.nan, 0.5])
    np.testing.assert_array_equal(data.outcomes.cost, [0.125, 0.25, np.nan])
    np.testing.assert_array_equal(data.outcomes.input_tokens, [3, 4, np.nan])
    assert np.isnan(data.outcomes.output_tokens).all()
    assert list(data.outcomes.query) == [0, 1, 1]
    assert list(data.outcomes.llm) == [0, 2, 1]
    assert list(data.users.ids) == ["u", "v"]
    assert np.isnan(data.users.preference).all()


def test_choices_are_among_all_llms_and_ties_share(tmp_path):
    data = read_tables(_save(tmp_path, **SMALL, choices=CHOICES))
    assert _feedback_rows(data) == [
        ("v", "q0", "abc", "choice", "a", 0.5),
        ("u", "q1", "abc", "choice", "b", 1),
        ("v", "q0", "abc", "choice", "b", 0.5),
        ("u", "q0", "abc", "choice", "c", 1),
    ]
    assert len(data.decisions.user) == 3
    assert np.isnan(data.decisions.time).all()


@pytest.mark.parametrize("suffix", FORMATS)
def test_choices_may_list_candidates_and_time(tmp_path, suffix):
    rows = [row | {"candidates": ["b", row["llm"]] if row["llm"] != "b" else None, "time": 2.0} for row in CHOICES[1:]]
    rows[0], rows[2] = rows[2], rows[0]
    data = read_tables(_save(tmp_path, suffix, **SMALL, choices=rows))
    assert [words[2] for words in _feedback_rows(data)] == ["bc", "abc", "abc"]
    assert list(data.decisions.time) == [2, 2, 2]


@pytest.mark.parametrize("suffix", FORMATS)
def test_each_vote_is_a_decision_between_two(tmp_path, suffix):
    data = read_tables(_save(tmp_path, suffix, **SMALL, votes=VOTES))
    assert _feedback_rows(data) == [
        ("u", "q0", "ab", "choice", "b", 1),
        ("u", "q0", "bc", "choice", "b", 0.5),
        ("u", "q0", "bc", "choice", "c", 0.5),
        ("v", "q1", "ac", "choice", "c", 1),
    ]
    assert len(data.decisions.user) == 3
    assert list(data.llms.ids[data.decisions.first]) == ["a", "b", "c"]


def test_votes_of_a_user_on_a_query_stay_apart(tmp_path):
    rows = [VOTES[0], VOTES[0] | {"winner": "tie"}, VOTES[0] | {"llm_a": "b", "llm_b": "a"}]
    data = read_tables(_save(tmp_path, **SMALL, votes=rows))
    assert list(data.feedback.decision) == [0, 1, 1, 2]
    assert list(data.feedback.value) == [1, 0.5, 0.5, 1]
    assert list(data.llms.ids[data.feedback.llm]) == ["b", "a", "b", "a"]
    assert list(data.llms.ids[data.decisions.first]) == ["a", "a", "b"]
    assert len(data.offers) == 1


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_column_first_is_read(tmp_path, suffix):
    choices = [row | {"first": first} for row, first in zip(CHOICES, ("b", None, "b", "a"), strict=True)]
    rated = [row | {"first": first} for row, first in zip(RATINGS, ("c", None, "c"), strict=True)]
    data = read_tables(_save(tmp_path, suffix, **SMALL, choices=choices, ratings=rated))
    assert list(np.append(data.llms.ids, None)[data.decisions.first]) == ["b", None, "a", "c", None]
    assert data.decisions.first.dtype == np.int32
    assert list(read_tables(_save(tmp_path / suffix, suffix, **SMALL, choices=CHOICES)).decisions.first) == [-1] * 3


def test_feedback_may_be_skipped(tmp_path):
    folder = _save(tmp_path, **SMALL, choices=[{"user_id": "u", "query_id": "no such query", "llm": "a"}])
    with pytest.raises(ValueError, match="no such query"):
        read_tables(folder)
    data = read_tables(folder, feedback=False)
    assert len(data.decisions.user) == len(data.users.ids) == 0
    assert data.queries.ids.tolist() == read_tables(_save(tmp_path / "alone", **SMALL)).queries.ids.tolist()


@pytest.mark.parametrize("suffix", FORMATS)
def test_texts_of_answers_are_read_in_their_rows(tmp_path, suffix):
    texts = ['Two,\n"of course" - ä', None, "A poem."]
    outcomes = [row | {"response": text} for row, text in zip(SMALL["outcomes"], texts, strict=True)]
    data = read_tables(_save(tmp_path, suffix, **SMALL | {"outcomes": outcomes}))
    assert list(data.outcomes.response) == [texts[0], "", "A poem."]
    assert read_tables(_save(tmp_path / suffix, suffix, **SMALL)).outcomes.response is None


def test_ratings_of_a_query_are_one_decision(tmp_path):
    data = read_tables(_save(tmp_path, **SMALL, ratings=RATINGS))
    assert _feedback_rows(data) == [
        ("u", "q0", "ac", "rating", "a", 7),
        ("v", "q0", "c", "rating", "c", -1.5),
        ("u", "q0", "ac", "rating", "c", 2),
    ]


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_long_form_is_read(tmp_path, suffix):
    data = read_tables(_save(tmp_path, suffix, **SMALL, **LONG, choices=CHOICES[:1]))
    assert _feedback_rows(data) == [
        ("v", "q2", "ac", "choice", "c", 1),
        ("u", "q0", "ab", "choice", "a", 1),
        ("u", "q0", "ab", "rating", "b", 3),
        ("v", "q0", "abc", "choice", "a", 1),
    ]
    assert list(data.decisions.ids) == ["d0", "d1", "d2", "choice0"]
    np.testing.assert_array_equal(data.decisions.time, [1.5, np.nan, 3, np.nan])
    assert len(data.offers) == 3


def test_a_pool_drops_choices_of_other_llms(tmp_path):
    data = read_tables(_save(tmp_path, **SMALL, choices=CHOICES, votes=VOTES, ratings=RATINGS), pool="core")
    assert list(data.llms.ids) == ["a", "b"]
    assert _feedback_rows(data) == [
        ("v", "q0", "ab", "choice", "a", 0.5),
        ("u", "q1", "ab", "choice", "b", 1),
        ("v", "q0", "ab", "choice", "b", 0.5),
        ("u", "q0", "ab", "choice", "b", 1),
        ("u", "q0", "a", "rating", "a", 7),
    ]
    assert list(data.outcomes.llm) == [0, 1]
    assert sorted(map(tuple, data.offers.tolist())) == [(True, False), (True, True)]
    with pytest.raises(ValueError, match="column pool: expected the pool 'mine' in some row, found core, more"):
        read_tables(tmp_path, pool="mine")


def test_users_of_the_table_come_first(tmp_path):
    users = [{"user_id": 7, "preference": 0.25}, {"user_id": "v", "preference": None}]
    _save(tmp_path, "jsonl", users=users)
    data = read_tables(_save(tmp_path, **SMALL, choices=CHOICES))
    assert list(data.users.ids) == ["7", "v", "u"]
    np.testing.assert_array_equal(data.users.preference, [0.25, np.nan, np.nan])


def test_tasks_keep_the_order_of_their_table(tmp_path):
    tasks = [{"task_id": "math", "description": "Sums."}, {"task_id": "art", "description": None}]
    data = read_tables(_save(tmp_path, **SMALL, tasks=tasks))
    assert list(data.queries.task) == [0, 1, -1]
    assert list(data.tasks.descriptions) == ["Sums.", ""]


def test_any_arrow_text_type_is_read_and_other_columns_are_not(tmp_path):
    ids = pa.chunked_array([pa.array(["q0", "q1"]).dictionary_encode(), pa.array(["q2"]).dictionary_encode()])
    texts = pa.array(["one", "two", "three"], pa.string_view())
    broken = _broken_texts(3, 0)
    pq.write_table(pa.table({"query_id": ids, "query": texts, "response": broken}), tmp_path / "queries.parquet")
    pq.write_table(pa.table({"llm": pa.array([4, 5]).dictionary_encode()}), tmp_path / "llms.parquet")
    data = read_tables(tmp_path)
    assert list(data.queries.ids) == ["q0", "q1", "q2"]
    assert list(data.queries.texts) == ["one", "two", "three"]
    assert list(data.llms.ids) == ["4", "5"]


@pytest.mark.parametrize("form", [{"choices": CHOICES}, {"votes": VOTES}, {"ratings": RATINGS}, LONG, {}])
def test_written_tables_read_back_equal(tmp_path, form):
    users = [{"user_id": "x", "preference": 0.25}]
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.save(tmp_path / "queries_vectors.npy", vectors)
    data = read_tables(_save(tmp_path, **SMALL, **form, users=users))
    np.testing.assert_array_equal(data.queries.vectors, vectors)
    for _ in range(2):
        write_tables(data, tmp_path / "again")
        _assert_equal(read_tables(tmp_path / "again"), data)
    assert not list((tmp_path / "again").glob(".*"))


def test_texts_and_style_of_answers_are_written_too(tmp_path):
    outcomes = [row | {"response": text} for row, text in zip(SMALL["outcomes"], ("Two.", None, "ä"), strict=True)]
    style = np.array([[1, 2], [np.nan, np.nan], [3, 4]], np.float32)
    rows = [row | {"first": "c"} for row in LONG["decisions"][1:2]]
    _save(tmp_path, **SMALL | {"outcomes": outcomes}, decisions=rows)
    np.save(tmp_path / "outcomes_style.npy", style)
    data = read_tables(tmp_path)
    np.testing.assert_array_equal(data.outcomes.style, style, strict=True)
    assert list(data.llms.ids[data.decisions.first]) == ["c"]
    write_tables(data, tmp_path / "again")
    _assert_equal(read_tables(tmp_path / "again"), data)
    bare = data.replace(outcomes=dataclasses.replace(data.outcomes, style=None))
    with pytest.raises(ValueError, match=r"found outcomes_style.npy"):
        write_tables(bare, tmp_path / "again")


def test_writing_refuses_a_folder_with_other_tables(tmp_path):
    data = read_tables(_save(tmp_path, **SMALL, choices=CHOICES))
    with pytest.raises(ValueError, match=r"found choices.parquet"):
        write_tables(data, tmp_path)


def _broken_texts(num_rows, row):
    texts = [b"fine"] * num_rows
    texts[row] = b"\xff\xfe"
    return pa.Array.from_buffers(pa.string(), num_rows, pa.array(texts, pa.binary()).buffers())


def _error(folder, pool=""):
    with pytest.raises(ValueError, match="expected") as caught:
        read_tables(folder, pool)
    assert "\n" not in str(caught.value)
    return re.sub(r" \((?:(?:line|row|element) \d+ of )?/[^()]*\)$", "", str(caught.value))  # the place in the file


BAD_CELLS = [
    ("queries", "query_id", 2, "q0", "unique ids (row 0 has the same)", "'q0'"),
    ("queries", "query_id", 1, None, "an id", "nothing"),
    ("queries", "query", 1, None, "a text", "nothing"),
    ("llms", "llm", 1, "a", "unique ids (row 0 has the same)", "'a'"),
    ("llms", "input_price", 2, -0.5, "a number in [0, 1,000,000]", "-0.5"),
    ("users", "user_id", 1, "u", "unique ids (row 0 has the same)", "'u'"),
    ("users", "preference", 1, 1.5, "a number in [0, 1]", "1.5"),
    ("outcomes", "effect", 2, 1.5, "a number in [0, 1]", "1.5"),
    ("outcomes", "cost", 1, -0.25, "a number in [0, 1,000,000]", "-0.25"),
    ("outcomes", "cost", 1, float("inf"), "a finite number", "inf"),
    ("outcomes", "llm", 1, "z", "an llm of llms.{0}", "'z'"),
    ("outcomes", "query_id", 0, "z", "a query_id of queries.{0}", "'z'"),
    ("outcomes", "llm", 2, "c", "each pair once", "'q1, c'"),
    ("choices", "user_id", 1, None, "an id", "nothing"),
    ("choices", "query_id", 3, "z", "a query_id of queries.{0}", "'z'"),
    ("choices", "llm", 2, "z", "an llm of llms.{0}", "'z'"),
    ("votes", "winner", 1, "both", "one of a, b, tie", "'both'"),
    ("votes", "llm_b", 1, "b", "another LLM than llm_a", "'b'"),
    ("votes", "llm_a", 2, "z", "an llm of llms.{0}", "'z'"),
    ("ratings", "rating", 1, None, "a number", "nothing"),
    ("ratings", "rating", 1, float("inf"), "a finite number", "inf"),
    ("ratings", "llm", 2, "a", "each LLM once a user, query and time", "'a'"),
    ("decisions", "decision_id", 1, "d0", "unique ids (row 0 has the same)", "'d0'"),
    ("decisions", "candidates", 1, None, "a list of texts", "nothing"),
    ("decisions", "candidates", 1, ["a", "z"], "an llm of llms.{0}", "'z'"),
    ("decisions", "time", 0, float("inf"), "a finite number", "inf"),
    ("feedback", "decision_id", 2, "d9", "a decision_id of decisions.{0}", "'d9'"),
    ("feedback", "kind", 1, "like", "one of choice, rating, thumb", "'like'"),
    ("feedback", "llm", 1, "c", "an LLM on offer in its decision", "'c'"),
    ("feedback", "value", 0, 2.0, "a share in (0, 1]", "2.0"),
]
ALL = (
    SMALL
    | LONG
    | {
        "users": [{"user_id": "u", "preference": 0.5}, {"user_id": "v", "preference": None}],
        "choices": CHOICES,
        "votes": VOTES,
        "ratings": RATINGS,
    }
)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("table", "column", "row", "value", "expected", "found"), BAD_CELLS)
def test_a_bad_cell_is_named(tmp_path, suffix, table, column, row, value, expected, found):
    rows = [dict(cells) for cells in ALL[table]]
    rows[row][column] = value
    _save(tmp_path, suffix, **ALL | {table: rows})
    prefix = f"table {table}.{suffix}, column {column}, row {row}"
    if expected == "each pair once":
        prefix = prefix.replace("llm,", "query_id and llm,")
    assert _error(tmp_path) == f"{prefix}: expected {expected.format(suffix)}, found {found}"


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("candidates", [["a", "c"], ["a"]])
def test_a_choice_outside_its_candidates_is_named(tmp_path, suffix, candidates):
    rows = [row | {"candidates": ["a", "b", "c"]} for row in CHOICES]
    rows[1]["candidates"] = candidates
    _save(tmp_path, suffix, **SMALL, choices=rows)
    assert _error(tmp_path) == f"table choices.{suffix}, column llm, row 1: expected one of the candidates, found 'b'"


def test_the_llm_shown_first_must_be_a_candidate(tmp_path):
    rows = [row | {"candidates": ["a", "b", "c"], "first": "c"} for row in CHOICES]
    rows[1] |= {"candidates": ["a", "b"]}
    _save(tmp_path, **SMALL, choices=rows)
    prefix = "table choices.parquet, column first, row 1"
    assert _error(tmp_path) == f"{prefix}: expected one of the candidates, found 'c'"
    rows[1] |= {"first": "z"}
    _save(tmp_path, choices=rows)
    assert _error(tmp_path) == f"{prefix}: expected an llm of llms.parquet, found 'z'"
    decisions = [row | {"first": first} for row, first in zip(LONG["decisions"], ("a", None, "c"), strict=True)]
    _save(tmp_path / "long", **SMALL, decisions=decisions)
    prefix = "table decisions.parquet, column first, row 2"
    assert _error(tmp_path / "long") == f"{prefix}: expected one of the candidates, found 'c'"


@pytest.mark.parametrize(
    ("column", "one", "other", "found"),
    [
        ("candidates", ["a", "b"], ["c", "b", "a"], "'a|b|c'"),
        ("candidates", ["a", "b"], None, "nothing"),
        ("first", "a", "b", "'b'"),
        ("first", "a", None, "nothing"),
    ],
)
def test_rows_of_a_tie_must_agree(tmp_path, column, one, other, found):
    rows = [row | {column: cell} for row, cell in zip(CHOICES[:3], (one, one, other), strict=True)]
    _save(tmp_path, **SMALL, choices=rows)
    prefix = f"table choices.parquet, column {column}, row 2"
    assert _error(tmp_path) == f"{prefix}: expected what row 0 of the same user and query has, found {found}"


@pytest.mark.parametrize(
    ("suffix", "column", "values", "expected", "found"),
    [
        ("parquet", "effect", [None, "good", "1"], "a number, true or false", "'good'"),
        ("parquet", "cost", [None, True, False], "a number", "True"),
        ("parquet", "llm", [None, 1.5, 2.5], "an id", "1.5"),
        ("jsonl", "effect", [0.5, [1], 1], "a number, true or false", "[1]"),
        ("jsonl", "cost", [0.5, True, 1], "a number", "True"),
        ("jsonl", "cost", [0.5, 10**400, 1], "a number", "1" + "0" * 79),
        ("jsonl", "llm", ["a", ["b"], "c"], "an id", "['b']"),
        ("jsonl", "llm", ["a", "\ud800", "c"], "an id", "'\\ud800'"),
        ("csv", "effect", ["0.5", "good", "1"], "a number, true or false", "'good'"),
    ],
)
def test_a_wrong_type_is_named(tmp_path, suffix, column, values, expected, found):
    rows = [row | {column: value} for row, value in zip(SMALL["outcomes"], values, strict=True)]
    _save(tmp_path, **SMALL)
    (tmp_path / "outcomes.parquet").unlink()
    _save(tmp_path, suffix, outcomes=rows)
    assert _error(tmp_path) == f"table outcomes.{suffix}, column {column}, row 1: expected {expected}, found {found}"


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("table", "column"), [("queries", "query"), ("llms", "llm"), ("votes", "winner")])
def test_a_missing_column_is_named(tmp_path, suffix, table, column):
    rows = [{name: cell for name, cell in row.items() if name != column} for row in ALL[table]]
    _save(tmp_path, suffix, **SMALL | {table: rows})
    found = ", ".join(rows[0])
    assert _error(tmp_path) == f"table {table}.{suffix}, column {column}: expected this column, found {found}"


def test_an_empty_table_is_named(tmp_path):
    _save(tmp_path, **SMALL)
    schema = pa.schema({"user_id": pa.string(), "query_id": pa.string(), "llm": pa.string()})
    pq.write_table(schema.empty_table(), tmp_path / "choices.parquet")
    assert _error(tmp_path) == "table choices.parquet: expected at least one row, found none"
    (tmp_path / "choices.parquet").unlink()
    (tmp_path / "choices.csv").write_text("user_id,query_id,llm\n")
    assert _error(tmp_path) == "table choices.csv: expected at least one row, found none"
    (tmp_path / "choices.csv").unlink()
    (tmp_path / "choices.jsonl").write_text("\n")
    assert _error(tmp_path) == "table choices.jsonl: expected at least one row, found none"


@pytest.mark.parametrize("name", ["queries.parquet", "queries.csv", "queries.jsonl"])
def test_broken_utf8_is_named(tmp_path, name):
    _save(tmp_path, **SMALL)
    (tmp_path / "queries.parquet").unlink()
    if name.endswith("parquet"):
        pq.write_table(pa.table({"query_id": ["q0", "q1", "q2"], "query": _broken_texts(3, 1)}), tmp_path / name)
    else:
        _save(tmp_path, name.split(".")[1], queries=SMALL["queries"])
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes().replace(b"please", b"pl\xff\xfe"))
    assert _error(tmp_path).startswith(f"table {name}, column query, row 1: expected UTF-8 text, found b")


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_a_truncated_parquet_file_is_named(tmp_path, keep):
    path = _save(tmp_path, **SMALL) / "outcomes.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    assert _error(tmp_path).startswith("table outcomes.parquet: expected a readable Parquet file, found ")


def test_parquet_that_miscounts_its_rows_is_named(tmp_path, monkeypatch):
    class Short(pq.ParquetFile):
        def read(self, columns):
            return super().read(columns=columns).slice(1)

    folder = _save(tmp_path, **SMALL)
    monkeypatch.setattr(pq, "ParquetFile", Short)
    found = "found 2 rows in place of 3"
    assert _error(folder) == f"table queries.parquet: expected a readable Parquet file, {found}"


def test_parquet_with_broken_or_doubled_names_is_named(tmp_path):
    path = _save(tmp_path, **SMALL) / "outcomes.parquet"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"cost", b"c\xffst"))
    assert _error(tmp_path).startswith("table outcomes.parquet: expected a readable Parquet file, found ")
    doubled = pa.table([["q0"], ["a"], ["b"]], names=["query_id", "llm", "llm"])
    pq.write_table(doubled, path)
    assert _error(tmp_path) == "table outcomes.parquet, column llm: expected it once, found it 2 times"


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        ("jsonl", '{"query_id": "q0"}\n\n{"query_id"\n', "table outcomes.jsonl, row 1: expected a JSON object"),
        ("jsonl", '{"query_id": "q0"}\n[1]\n', "table outcomes.jsonl, row 1: expected a JSON object"),
        ("csv", "query_id,llm\nq0,a\nq1\n", "table outcomes.csv, column llm, row 1: expected 2 fields, found 1"),
        ("csv", "query_id,llm\nq0,a,1\n", "table outcomes.csv, column llm, row 0: expected 2 fields, found 3"),
        ("csv", 'query_id,llm\nq0,a\nq1,"b\n', "table outcomes.csv, row 1: expected readable CSV"),
        ("csv", "query_id,llm,llm\nq0,a,a\n", "table outcomes.csv, column llm: expected it once"),
    ],
)
def test_an_unreadable_line_is_named(tmp_path, suffix, content, message):
    _save(tmp_path, **SMALL)
    (tmp_path / "outcomes.parquet").unlink()
    (tmp_path / f"outcomes.{suffix}").write_text(content)
    assert _error(tmp_path).startswith(message)


def test_missing_and_doubled_files_are_named(tmp_path):
    assert "expected a folder of tables, found none" in _error(tmp_path / "nowhere")
    assert _error(tmp_path).startswith("table queries: expected queries.parquet or queries.csv or queries.jsonl")
    _save(tmp_path, **SMALL, feedback=LONG["feedback"])
    assert _error(tmp_path).startswith("table decisions: expected decisions.parquet or")
    _save(tmp_path, "csv", llms=SMALL["llms"])
    assert _error(tmp_path) == "table llms: expected one file, found llms.csv and llms.parquet"


def test_bad_vectors_are_named(tmp_path):
    _save(tmp_path, **SMALL)
    path = tmp_path / "queries_vectors.npy"
    np.save(path, np.zeros((2, 4)))
    assert _error(tmp_path) == "table queries_vectors.npy: expected floats [3, width], found float64 of shape (2, 4)"
    np.save(path, np.array([[0, 1], [1, np.nan], [0, 0]]))
    assert (
        _error(tmp_path)
        == "table queries_vectors.npy, column 1, row 1: expected a number in [-1,000,000, 1,000,000], found NaN"
    )
    np.save(path, np.array([{}, {}, {}]), allow_pickle=True)
    assert _error(tmp_path).startswith("table queries_vectors.npy: expected a NumPy array")


def test_offers_must_be_known(tmp_path):
    decisions = [{"decision_id": "d", "user_id": "u", "query_id": "q0", "offer": 1}]
    _save(tmp_path, **SMALL, decisions=decisions)
    assert "expected a table offers" in _error(tmp_path)
    _save(tmp_path, offers=[{"offer": 0, "llm": "a"}])
    prefix = "table decisions.parquet, column offer, row 0"
    assert _error(tmp_path) == f"{prefix}: expected an offer of offers.parquet, found '1'"
    _save(tmp_path, decisions=[{"decision_id": "d", "user_id": "u", "query_id": "q0"}])
    assert _error(tmp_path).startswith("table decisions.parquet, column candidates: expected this column or offer")


@pytest.mark.skipif(not (DATA / "alpaca_route").is_dir(), reason=f"no alpaca_route in {DATA}")
def test_alpaca_route_reads_and_writes(tmp_path):
    data = read_tables(DATA / "alpaca_route", pool="core")
    assert len(data.queries.ids) == 644
    assert len(data.llms.ids) == data.offers.sum() == 10
    assert len(data.decisions.user) == len(data.feedback.llm) == 644_000
    assert 0 <= np.nanmin(data.outcomes.effect) < np.nanmax(data.outcomes.effect) <= 1
    write_tables(data, tmp_path)
    _assert_equal(read_tables(tmp_path), data)


@pytest.mark.skipif(not (DATA / "llmfao_votes").is_dir(), reason=f"no llmfao_votes in {DATA}")
def test_llmfao_votes_are_decisions_between_two():
    data = read_tables(DATA / "llmfao_votes")
    assert len(data.users.ids) == 80
    assert len(data.decisions.user) == 4401
    assert (data.offers.sum(1) == 2).all()
    np.testing.assert_allclose(np.bincount(data.feedback.decision, data.feedback.value), 1)
    ties = np.bincount(data.feedback.decision) == 2
    assert 0.38 < ties.mean() < 0.40
    assert data.offers[data.decisions.offer, data.decisions.first].all()
    assert data.outcomes.response is not None
