"""Files of pairs through a made-up scoring function: nothing lost, nothing changed, whole or not at all."""

import csv
import datetime
import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_files import write_rows

from prouter_jax.io import files
from prouter_jax.io.paths import list_folder, make_path
from prouter_jax.serving.batch.score import Counts, score_file
from prouter_jax.serving.batch.write import Scored

FORMATS = ("parquet", "csv", "jsonl")
LLMS = ["a", 'b"%s', "ö"]
PAIRS = [
    {"user_id": "u", "query": "Hello", "candidates": ["a", "ö"], "note": "plain"},
    {"user_id": "", "query": 'Say, "x"\nand é', "candidates": None, "note": 'a "quoted", cell'},
    {"user_id": "7", "query": None, "candidates": ["ö"], "note": "two\r\nlines"},
    {"user_id": "v", "query": "Hello", "candidates": None, "note": ""},
]


def _score(columns):
    """Probability by place in the pool, the last candidate wins; a row without a user is an error."""
    number = len(columns["user_id"])
    offered = np.ones((number, len(LLMS)), bool)
    for row, names in enumerate(columns["candidates"].to_pylist() if "candidates" in columns else []):
        if names is not None:
            offered[row] = np.isin(LLMS, "|".join(names).split("|"))
    error = pa.array([None if user else "no user" for user in columns["user_id"].to_pylist()], pa.string())
    offered[error.is_valid().to_numpy(zero_copy_only=False)] = False
    shares = np.where(offered, np.arange(1, 4), np.nan)
    shares = shares / np.nansum(shares, 1, keepdims=True, initial=1e-12)
    best = np.where(offered, shares, -1).argmax(1)
    wrong = ~offered.any(1)
    llm = pa.array(LLMS).take(pa.array(best, mask=wrong))
    return Scored(llm, LLMS, shares, pa.array(np.full(number, "history"), mask=wrong), error)


ANSWERS = [
    ("ö", {"a": 0.25, "ö": 0.75}, "history", None),
    (None, None, None, "no user"),
    ("ö", {"ö": 1.0}, "history", None),
    ("ö", {"a": 1 / 6, 'b"%s': 1 / 3, "ö": 0.5}, "history", None),
]


def _read(path):
    """Rows as Python values; of CSV, probabilities parsed and empty cells None."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        return [row | {"probabilities": row["probabilities"] and dict(row["probabilities"])} for row in rows]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(file)]
    return [row | {"probabilities": row["probabilities"] and json.loads(row["probabilities"])} for row in rows]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_bucket_gives_and_gets_the_same_bytes(tmp_path, bucket, kind):
    here, there = write_rows(tmp_path / f"in.{kind}", PAIRS), make_path(f"{bucket}/deep/in.{kind}")
    files.write_whole(there, here.read_bytes())
    counts = score_file(_score, here, tmp_path / f"out.{kind}", rows_at_once=3)
    assert score_file(_score, str(there), f"{bucket}/deep/out.{kind}", rows_at_once=3) == counts
    assert (there.parent / f"out.{kind}").read_bytes() == (tmp_path / f"out.{kind}").read_bytes()
    score_file(_score, there, tmp_path.as_uri() + f"/again.{kind}")
    assert (tmp_path / f"again.{kind}").exists()
    with pytest.raises(ValueError, match="an output that is not the input"):
        score_file(_score, there, str(there))
    with pytest.raises(ValueError, match="row 1: no user"):
        score_file(_score, there, f"{bucket}/deep/strict.{kind}", strict=True)
    assert {path.name for path in list_folder(there.parent)} == {f"in.{kind}", f"out.{kind}"}
    with pytest.raises(ValueError, match=r"^gs://bucket/none/.*: expected a file, found none"):
        score_file(_score, f"{bucket}/none/in.{kind}", tmp_path / f"out.{kind}")


@pytest.mark.parametrize("rows_at_once", [3, 100])
@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_every_format_to_every_other(tmp_path, source, target, rows_at_once):
    output = tmp_path / f"out.{target}"
    done = []
    path = write_rows(tmp_path / f"in.{source}", PAIRS)
    counts = score_file(_score, path, output, rows_at_once=rows_at_once, on_progress=lambda *now: done.append(now))
    assert counts == Counts(4, 1)
    rows = _read(output)
    assert list(rows[0]) == [*PAIRS[0], "llm", "probabilities", "basis", "error"]
    listed = target if source != "csv" else "csv"
    for row, pair, (llm, shares, basis, error) in zip(rows, PAIRS, ANSWERS, strict=True):
        cells = {name: row[name] for name in pair}
        if listed == "csv":
            pair = pair | {"candidates": pair["candidates"] and "|".join(pair["candidates"])}
        assert {k: v or None for k, v in cells.items()} == {k: v or None for k, v in pair.items()}
        assert (row["llm"], row["basis"], row["error"]) == (llm, basis, error)
        assert (row["probabilities"] or {}).keys() == (shares or {}).keys()
        assert row["probabilities"] == (shares and pytest.approx(shares, abs=1e-6))
    assert [now[0] for now in done] == ([3, 4] if rows_at_once == 3 else [4])
    assert all(0 < now[1] <= 1 for now in done)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.name, output.name])


def test_what_the_function_is_given(tmp_path):
    seen = {}

    def score(columns):
        seen.update(columns)
        return _score(columns)

    table = pa.table(
        {
            "user_id": pa.array([1, 2, None], pa.int16()),
            "query_id": pa.array(["q", "", "r"]).dictionary_encode(),
            "task_id": pa.array(["t", None, "s"], pa.large_string()),
            "candidates": pa.array([["a"], [], None], pa.large_list(pa.string())),
            "other": [1, 2, 3],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    score_file(score, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert {name: column.to_pylist() for name, column in seen.items()} == {
        "user_id": ["1", "2", None],
        "query_id": ["q", None, "r"],
        "task_id": ["t", None, "s"],
        "candidates": [["a"], [], None],
    }
    assert {str(column.type) for name, column in seen.items() if name != "candidates"} == {"string"}
    assert seen["candidates"].type.value_type == pa.string()
    write_rows(
        tmp_path / "in.csv", [{"user_id": 1, "query": "x", "candidates": "a|b"}, {"user_id": 2, "candidates": ""}]
    )
    score_file(score, tmp_path / "in.csv", tmp_path / "out.csv")
    assert seen["candidates"].to_pylist() == [["a|b"], None]  # routing splits it
    assert seen["query"].to_pylist() == ["x", None]


def test_parquet_columns_come_back_with_their_types(tmp_path):
    table = pa.table(
        {
            "user_id": pa.array(["u", "v"]).dictionary_encode(),
            "query_id": pa.array([1, 2], pa.uint8()),
            "when": pa.array([datetime.datetime(2024, 1, 1), None]),
            "nested": [{"x": [1, 2]}, None],
            "ratio": [0.1, float("nan")],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    score_file(_score, tmp_path / "in.parquet", tmp_path / "out.parquet")
    again = pq.read_table(tmp_path / "out.parquet")
    assert again.select(table.column_names).schema == table.schema
    assert again.drop(["ratio", "llm", "probabilities", "basis", "error"]).equals(table.drop("ratio"))
    assert again.schema.field("probabilities").type == pa.map_(pa.string(), pa.float64())
    score_file(_score, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    rows = _read(tmp_path / "out.jsonl")
    assert rows[0]["nested"] == {"x": [1, 2]}
    assert rows[0]["when"] == "2024-01-01 00:00:00"
    assert [row["ratio"] for row in rows] == [0.1, None]
    score_file(_score, tmp_path / "in.parquet", tmp_path / "out.csv")
    row = _read(tmp_path / "out.csv")[0]
    assert (row["user_id"], row["query_id"], row["nested"]) == ("u", "1", '{"x": [1, 2]}')


def test_shares_are_written_whether_or_not_every_row_offers_all(tmp_path):
    rows = [{"user_id": "u", "query": "x", "candidates": "|".join(LLMS)} for _ in range(5)]
    for number, some in enumerate((rows, [*rows, rows[0] | {"candidates": "ö|a"}], [rows[0] | {"user_id": ""}])):
        path = write_rows(tmp_path / f"{number}.jsonl", some)
        score_file(_score, path, tmp_path / "out.parquet", rows_at_once=3)
        expected = [row["probabilities"] for row in _read_jsonl(path, tmp_path)]
        found = [row["probabilities"] for row in _read(tmp_path / "out.parquet")]
        assert found == [shares and pytest.approx(shares, abs=1e-6) for shares in expected]


def _read_jsonl(path, folder):
    score_file(_score, path, folder / "same.jsonl")
    return _read(folder / "same.jsonl")


FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1"]  # noqa: RUF001
NO_FORMULAS = ["-5", "+1.5e-3", "-.5", "a=1", "", None, "'=1", "x-y"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_spreadsheet_computes_no_cell_of_a_csv(tmp_path, kind):
    """In columns, their names, lists and errors; --keep_formulas keeps them. Numbers stay numbers."""
    cells = [*FORMULAS, *NO_FORMULAS]
    rows = [{"user_id": "u", "query": "x", "=note": cell, "number": -1.5} for cell in cells]
    path = write_rows(tmp_path / f"in.{kind}", rows)
    score_file(_score, path, tmp_path / "out.csv", rows_at_once=2)
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["'=note"] for row in found] == [
        *(f"'{cell}" for cell in FORMULAS),
        *(cell or "" for cell in NO_FORMULAS),
    ]
    assert {row["number"] for row in found} == {"-1.5"}
    score_file(_score, path, tmp_path / "out.csv", keep_formulas=True)
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        assert [row["=note"] for row in csv.DictReader(file)] == [cell or "" for cell in cells]


def test_csv_cells_come_back_as_they_were_written(tmp_path):
    text = "user_id,query,number,flag\n007,one,1.50,true\n8,,,NA\n"
    (tmp_path / "in.csv").write_text(text)
    for target in FORMATS:
        score_file(_score, tmp_path / "in.csv", tmp_path / f"out.{target}")
        rows = _read(tmp_path / f"out.{target}")
        assert [rows[0][name] for name in ("user_id", "query", "number", "flag")] == ["007", "one", "1.50", "true"]
        assert [rows[1][name] or None for name in ("user_id", "query", "number", "flag")] == ["8", None, None, "NA"]


def test_json_values_come_back_unchanged(tmp_path):
    lines = [
        '{"user_id": 5, "query": "x", "deep": {"b": [1.10, null, {"c": 1e400}]}, "big": 123456789012345678901}',
        '  {"query_id":"q", "user_id":"u", "mixed": "1"}  ',
        "{}",
        '{"user_id": "w", "mixed": 1, "number": 1.5, "note": "\\ud83d\\ude00"}',
        '{"user_id": "w", "number": 2}',
    ]
    (tmp_path / "in.jsonl").write_text("\n\n".join(lines))
    assert score_file(_score, tmp_path / "in.jsonl", tmp_path / "out.jsonl").errors == 1
    out = (tmp_path / "out.jsonl").read_text().splitlines()
    assert all(new.startswith(old.strip()[:-1]) for new, old in zip(out, lines, strict=True))
    assert json.loads(out[2]) == {"llm": None, "probabilities": None, "basis": None, "error": "no user"}
    score_file(_score, tmp_path / "in.jsonl", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["number"].to_pylist() == [None, None, None, 1.5, 2]
    assert table["mixed"].to_pylist() == [None, '"1"', None, "1", None]
    assert table["big"].to_pylist()[0] == "123456789012345678901"
    assert json.loads(table["deep"][0].as_py())["b"][0] == 1.1
    assert table["user_id"].to_pylist() == ["5", '"u"', None, '"w"', '"w"']


def test_a_cell_of_the_wrong_type_is_an_error_of_its_row(tmp_path):
    rows = [
        {"user_id": "u", "query": "x"},
        {"user_id": "u", "query": ["x"]},
        {"user_id": 1.5, "query": "x"},
        {"user_id": "u", "query": "\ud800", "candidates": {"a": 1}},
        {"user_id": "u", "query": "x", "candidates": "a|ö"},
    ]
    path = write_rows(tmp_path / "in.jsonl", rows)
    assert score_file(_score, path, tmp_path / "out.jsonl") == Counts(5, 3)
    out = _read(tmp_path / "out.jsonl")
    assert [row["error"] for row in out] == [
        None,
        "query: expected a text, found \"['x']\"",
        "user_id: expected an id, found '1.5'",
        "query: expected a text, found '\\ud800'",
        None,
    ]
    assert [row["llm"] for row in out] == ["ö", None, None, None, "ö"]
    assert out[1]["probabilities"] is out[1]["basis"] is None
    with pytest.raises(ValueError, match=r"^table in.jsonl, row 1: query: expected a text"):
        score_file(_score, path, tmp_path / "strict.jsonl", strict=True)


@pytest.mark.parametrize("source", FORMATS)
def test_strict_stops_at_the_first_error(tmp_path, source):
    path = write_rows(tmp_path / f"in.{source}", PAIRS[:1] * 5 + PAIRS)
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(ValueError, match=rf"^table in.{source}, row 6: no user$"):
        score_file(_score, path, tmp_path / "out.csv", strict=True, rows_at_once=2)
    assert (tmp_path / "out.csv").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_of_a_broken_run(tmp_path, target, failure):
    path = write_rows(tmp_path / "in.csv", PAIRS)

    def score(columns):
        if columns["user_id"][0].as_py() != "u":
            raise failure
        return _score(columns)

    with pytest.raises(failure):
        score_file(score, path, tmp_path / f"out.{target}", rows_at_once=1)
    assert list(tmp_path.iterdir()) == [path]


BAD = [
    ("in.csv", b"user,query\nu,x\n", "table in.csv, column user_id: expected this column, found user, query"),
    (
        "in.csv",
        b"user_id,text\nu,x\n",
        "table in.csv, column query or query_id: expected this column, found user_id, text",
    ),
    ("in.csv", b"user_id,query,basis\n", "table in.csv, column basis: expected another name"),
    ("in.csv", b"user_id,query,x,x\n", "table in.csv, column x: expected it once, found it 2 times"),
    ("in.csv", b"", "table in.csv: expected a header"),
    ("in.csv", b"user_id,query\nu,x\nu\n", "table in.csv, column query, row 1: expected 2 fields, found 1"),
    ("in.csv", b'user_id,query\nu,x\nu,"x', "table in.csv, row 1: expected readable CSV"),
    ("in.csv", b"user_id,query\nu,x\nu,\xff\n", "table in.csv, column query, row 1: expected UTF-8 text"),
    ("in.jsonl", b'{"user": 1, "query": "x"}\n', "table in.jsonl, column user_id: expected this column"),
    ("in.jsonl", b'{"user_id": 1, "query": "x", "llm": 1}\n', "table in.jsonl, column llm: expected another name"),
    ("in.jsonl", b'{"user_id": 1, "query": "x"}\n{"user_id"', "table in.jsonl, row 1: expected a JSON object"),
    ("in.jsonl", b'{"user_id": 1, "query": "x"} 1\n', "table in.jsonl, row 0: expected a JSON object"),
    ("in.jsonl", b"[]\n", "table in.jsonl, row 0: expected a JSON object"),
    ("in.jsonl", b'{"user_id": 1, "query": "\xff"}\n', "table in.jsonl, row 0: expected UTF-8 text"),
    ("in.parquet", b"PAR1", "table in.parquet: expected a readable Parquet file"),
    ("in.txt", b"", "table in.txt: expected one of .parquet, .csv, .jsonl, found '.txt'"),
]


@pytest.mark.parametrize(("name", "content", "complaint"), BAD)
def test_bad_files_are_named(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    assert _complaint(tmp_path, name).startswith(complaint)


def _complaint(folder, name, output="out.parquet"):
    with pytest.raises(ValueError, match=r": expected ") as caught:
        score_file(_score, folder / name, folder / output, rows_at_once=1)
    assert "\n" not in str(caught.value)
    assert [path.name for path in folder.iterdir()] in ([], [name])
    return str(caught.value)


@pytest.mark.parametrize("keep", [0.3, 0.6, -1])
def test_a_damaged_parquet_file_is_named(tmp_path, keep):
    rows = [{"user_id": f"u{number}", "query": "x" * number} for number in range(100)]
    path = write_rows(tmp_path / "in.parquet", rows)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep > 0 else keep])
    assert _complaint(tmp_path, path.name).startswith("table in.parquet: expected a readable Parquet file")


def test_bad_parquet_columns_are_named(tmp_path):
    path = tmp_path / "in.parquet"
    broken = pa.array([b"ok", b"\xff"]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"user_id": ["u", "v"], "query": broken}), path)
    assert _complaint(tmp_path, path.name).startswith("table in.parquet, column query, row 1: expected UTF-8 text")
    pq.write_table(pa.table({"user_id": ["u", "v"], "query_id": [None, 1.5]}), path)
    assert _complaint(tmp_path, path.name) == "table in.parquet, column query_id, row 1: expected an id, found 1.5"
    pq.write_table(pa.table({"user_id": ["u"], "query": ["x"], "candidates": [[1.5]]}), path)
    assert _complaint(tmp_path, path.name).startswith("table in.parquet, column candidates, row 0: expected a list")


def test_paths_that_cannot_be(tmp_path):
    write_rows(tmp_path / "in.csv", PAIRS)
    assert "found the same file" in _complaint(tmp_path, "in.csv", "in.csv")
    assert "expected one of" in _complaint(tmp_path, "in.csv", "out.xlsx")
    assert "expected a folder" in _complaint(tmp_path, "in.csv", "none/out.csv")
    (tmp_path / "in.csv").unlink()
    assert "expected a file" in _complaint(tmp_path, "in.csv")


@pytest.mark.parametrize("target", FORMATS)
def test_no_rows_are_no_rows(tmp_path, target):
    schema = pa.schema({"user_id": pa.string(), "query": pa.string()})
    pq.write_table(schema.empty_table(), tmp_path / "in.parquet")
    (tmp_path / "in.csv").write_text("user_id,query\n")
    (tmp_path / "in.jsonl").write_text("")
    for source in FORMATS:
        assert score_file(_score, tmp_path / f"in.{source}", tmp_path / f"out.{target}") == Counts(0, 0)
        assert _read(tmp_path / f"out.{target}") == []


@pytest.mark.parametrize("source", FORMATS)
def test_memory_does_not_grow_with_the_file(tmp_path, source):
    """Ten times the rows, of Parquet all in one row group: the peak grows by less than a quarter of them."""
    peaks = []

    def score(columns):
        peaks[-1] = max(peaks[-1], pa.total_allocated_bytes() + tracemalloc.get_traced_memory()[0])
        return _score(columns)

    for number in (2_000, 20_000):
        rows = [{"user_id": "u", "query": f"{row}" + "x" * 1000} for row in range(number)]
        path = write_rows(tmp_path / f"{number}.{source}", rows)
        del rows
        peaks.append(0)
        tracemalloc.start()
        score_file(score, path, tmp_path / "out.parquet", rows_at_once=200)
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 18_000 * 1000 / 4


def test_every_row_that_is_written_is_json(tmp_path):
    """Also for objects without members, and for NaN within lists, which Parquet has and JSON does not."""
    (tmp_path / "a.jsonl").write_text('{ }\n{"user_id": "u", "query": "x"}\n{}\n')
    score_file(_score, tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    rows = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert [row.get("user_id") for row in rows] == [None, "u", None]
    assert [row["error"] for row in rows] == ["no user", None, "no user"]
    lists = pa.array([[1.5, float("nan")], [float("inf")]])
    pq.write_table(pa.table({"user_id": ["u", "v"], "query": ["x", "y"], "n": lists}), tmp_path / "c.parquet")
    score_file(_score, tmp_path / "c.parquet", tmp_path / "c.jsonl")
    rows = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [row["n"] for row in rows] == [[1.5, None], [None]]


@pytest.mark.parametrize("content", ["{}\n", "{ }\n\n{}\n"])
def test_rows_without_any_member_lack_the_columns(tmp_path, content):
    (tmp_path / "a.jsonl").write_text(content)
    assert _complaint(tmp_path, "a.jsonl") == "table a.jsonl, column user_id: expected this column, found none"


def test_a_number_that_json_lacks_is_no_json(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"user_id": "u", "query": "x", "n": NaN}\n')
    assert "table a.jsonl, row 0: expected a JSON object, found" in _complaint(tmp_path, "a.jsonl")
