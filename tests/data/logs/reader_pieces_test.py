"""Files in pieces: every row once whatever the pieces, and what is no log is told in one line."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import ROW, write_log

from prouter_jax.data.logs import reader as module
from prouter_jax.data.logs.reader import read_pieces
from prouter_jax.data.logs.requests import FIELDS, parse_columns


def _users(path):
    return [user for piece in read_pieces(path, FIELDS) for user in piece.table["user"].to_pylist()]


@pytest.mark.parametrize("end", ["\n", ""])
def test_blocks_are_cut_behind_lines(tmp_path, monkeypatch, end):
    monkeypatch.setattr(module, "_BYTES_AT_ONCE", 50)
    monkeypatch.setattr(module, "_FIRST_BYTES", 20)
    rows = [ROW | {"user": str(number), "prompt": "x" * (number % 120)} for number in range(200)]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    assert _users(path) == [row["user"] for row in rows]
    assert [piece.share for piece in read_pieces(path, FIELDS)][-1] == 1


def test_a_parquet_file_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 7)
    rows = [ROW | {"user": str(number), "extra": 1} for number in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    found = list(read_pieces(tmp_path / "log.parquet", FIELDS))
    assert len(found) == 6
    assert "extra" not in found[0].table.column_names
    assert _users(tmp_path / "log.parquet") == [str(number) for number in range(40)]


BAD = {
    "log.csv": (b"a,b", "expected one of .jsonl, .parquet, found '.csv'"),
    "text.jsonl": (b"hello\nworld\n", "expected a JSON object in each line, found none"),
    "empty.jsonl": (b"", "expected a JSON object in each line, found none"),
    "list.jsonl": (b'[{"user": "a"}]\n', "expected a JSON object in each line, found none"),
    "other.jsonl": (
        b'{"who": "a", "prompt": "b", "model": "c"}\n',
        "expected a column user or user_id .* found model, prompt",
    ),
    "unasked.jsonl": (b'{"user": "a", "model": "c"}\n', "expected a column prompt or query .* or messages"),
    "unserved.jsonl": (b'{"user": "a", "prompt": "c"}\n', "expected a column served or model"),
    "damaged.parquet": (b"PAR1 or not", "expected a readable Parquet file"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_log_is_told(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        list(read_pieces(tmp_path / name, FIELDS))
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_column_that_stands_twice_is_told(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"])] * 4, ["user", "prompt", "model", "user"])
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(ValueError, match=r"log.parquet, column user: expected it once, found it 2 times"):
        list(read_pieces(tmp_path / "log.parquet", FIELDS))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone.jsonl: expected a file, found none"):
        list(read_pieces(tmp_path / "gone.jsonl", FIELDS))


def test_a_named_column_must_be_there(tmp_path):
    path = write_log(tmp_path / "log.jsonl", [ROW])
    with pytest.raises(ValueError, match="expected a column client"):
        list(read_pieces(path, parse_columns("user=client")))


def test_a_line_without_an_end_is_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_LINE", 1 << 20)
    (tmp_path / "log.jsonl").write_bytes(b"x" * (3 << 20))
    with pytest.raises(ValueError, match="lines of at most 1 MB"):
        list(read_pieces(tmp_path / "log.jsonl", FIELDS))
