"""Lines of JSON: the fast way and the slow way read the same, and odd lines cost themselves alone."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import ROW, write_log

from prouter_jax.data.logs import reader as json_lines
from prouter_jax.data.logs import reader as module
from prouter_jax.data.logs.reader import NOT_AN_OBJECT, LineParser, last_question, read_pieces
from prouter_jax.data.logs.requests import FIELDS, parse_columns


def _rows(number, seed=0):
    rng = random.Random(seed)
    return [
        {
            "user": f"u{rng.randrange(9)}",
            "prompt": "é" * rng.randrange(30),
            "model": rng.choice("ab"),
            "cost": rng.random(),
        }
        for _ in range(number)
    ]


def _block(rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def _read(parser, block):
    tables, dropped = zip(*parser.parse(block), strict=True)
    rows = [row for table in tables for row in table.to_pylist()]
    return rows, sum(dropped, dropped[0] - dropped[0])


def test_many_lines_at_once_are_what_each_line_is(monkeypatch):
    rows = _rows(3000)
    slow, none = _read(LineParser(FIELDS), _block(rows))
    fast = LineParser(FIELDS)
    _read(fast, _block(rows[:5]))
    monkeypatch.setattr(fast, "_one_by_one", lambda block: pytest.fail("read line by line"))
    assert _read(fast, _block(rows)) == (slow, none)
    assert slow == rows


def test_odd_lines_are_dropped_and_no_others():
    rows = _rows(4000)
    odd = {1000: "{", 2000: "[1]", 2001: '"text"', 3000: '{"user": NaN}', 3999: json.dumps({"user": {"id": 1}})}
    parser = LineParser(FIELDS)
    _read(parser, _block(rows[:10]))
    found, dropped = _read(parser, _block([odd.get(number, row) for number, row in enumerate(rows)]))
    assert found == [row for number, row in enumerate(rows) if number not in odd]
    assert dropped == {NOT_AN_OBJECT: 4, "user not readable": 1}


def test_a_column_that_comes_late_and_one_that_changes_its_type_are_read():
    parser = LineParser(FIELDS)
    _read(parser, _block(_rows(5)))
    late = [
        *_rows(2000),
        {"user": "x", "prompt": "p", "model": "a", "thumb": "up"},
        {"user": 7, "prompt": "p", "model": "a"},
    ]
    found, dropped = _read(parser, _block(late))
    assert not dropped
    assert found[-2]["thumb"] == "up"
    assert str(found[-1]["user"]) == "7"
    again, _ = _read(parser, _block([{"user": "x", "prompt": "p", "model": "a", "thumb": "down", "cost": 1}]))
    assert (again[0]["thumb"], again[0]["cost"]) == ("down", 1)


def test_whole_numbers_stay_whole_and_fractions_are_not_cut():
    parser = LineParser(FIELDS)
    found, _ = _read(parser, _block([{"user": 2**60 + 1, "cost": 1}]))
    assert found[0]["user"] == 2**60 + 1
    found, _ = _read(parser, _block([{"user": 3, "cost": 0.5}] * 3))
    assert found[0]["cost"] == 0.5
    found, _ = _read(parser, _block([{"user": 10**30, "cost": 2}]))
    assert found[0]["user"] == str(10**30)


def test_broken_bytes_and_half_characters_are_dropped():
    parser = LineParser(FIELDS)
    block = b'{"user": "\xff"}\n{"user": "\\ud800"}\n{"user": "a", "prompt": "b", "model": "c"}\n'
    found, dropped = _read(parser, block)
    assert [row["user"] for row in found] == ["a"]
    assert dropped == {NOT_AN_OBJECT: 1, "user not readable": 1}
    _read(parser, _block(_rows(3)))
    among = _block(_rows(50)) + b'{"user": "\xff", "prompt": "b", "model": "c"}\n'
    found, dropped = _read(parser, among)
    assert (len(found), dropped) == (50, {NOT_AN_OBJECT: 1})


def test_two_objects_on_a_line_are_no_object_however_they_are_read():
    parser = LineParser(FIELDS)
    _read(parser, _block(_rows(3)))
    found, dropped = _read(parser, b'{"user": "a"}{"user": "b"}\n{"user": "c"}\n')
    assert [row["user"] for row in found] == ["c"]
    assert dropped == {NOT_AN_OBJECT: 1}


def test_the_last_message_of_the_user_is_the_question():
    asked = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    more = [*asked, {"role": "user", "content": [{"type": "text", "text": "three"}, {"type": "image_url"}]}]
    assert last_question(asked) == "one"
    assert last_question(more) == "three"
    assert last_question(json.dumps(asked)) == "one"
    for nothing in (None, [], "[", "5", [{"role": "system", "content": "x"}], [5], [{"role": "user", "content": 5}]):
        assert last_question(nothing) is None


def test_a_line_of_pieces_of_text_does_not_slow_the_others(monkeypatch):
    calls = []
    slow = LineParser._one_by_one
    monkeypatch.setattr(
        json_lines.LineParser, "_one_by_one", lambda self, block: calls.append(len(block)) or slow(self, block)
    )
    plain = {"user": "a", "messages": [{"role": "user", "content": "x" * 100}], "model": "m"}
    parts = {"user": "a", "messages": [{"role": "user", "content": [{"type": "text", "text": "y"}]}], "model": "m"}
    parser = LineParser(FIELDS)
    _read(parser, _block([plain]))
    found, _ = _read(parser, _block([*[plain] * 9000, parts, *[plain] * 9000]))
    assert len(found) == 18001
    assert found[9000]["messages"] == [{"role": "user", "content": "y"}]
    assert sum(calls) < 200_000
    assert isinstance(parser.types["messages"], pa.ListType)


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


def test_an_integer_that_no_float_holds_drops_its_line_alone():
    rows = [{"user": "u", "prompt": "x", "model": "m", "cost": cost} for cost in (0.5, 10**400, 2)]
    found, dropped = _read(LineParser(FIELDS), _block(rows))
    assert [row["cost"] for row in found] == [0.5, 2]
    assert dropped == {"cost not readable": 1}
