"""Lines of JSON: the fast way and the slow way read the same, and odd lines cost themselves alone."""

import csv
import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import ROW, write_log

from prouter_jax.data.logs import columnar, source
from prouter_jax.data.logs.fields import FIELDS, parse_columns
from prouter_jax.data.logs.json_lines import NOT_AN_OBJECT, LineParser
from prouter_jax.data.logs.messages import last_question
from prouter_jax.data.logs.reader import read_pieces


def _rows(number, seed=0):
    rng = random.Random(seed)
    return [
        {
            "user": f"u{rng.randrange(9)}",
            "prompt": "é" * rng.randrange(30),
            "model": rng.choice("ab"),
            "cost": rng.random(),
            "candidates": ["a", "b"],
        }
        for _ in range(number)
    ]


def _block(rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def _read(parser, block):
    """The rows, and the reasons of dropped lines with their numbers."""
    pieces = list(parser.parse(block, 1))
    rows = [row for piece in pieces for row in piece.table.to_pylist()]
    numbers = [number for piece in pieces for number in piece.number]
    dropped = [one for piece in pieces for one in piece.dropped]
    lines = {number for number, line in enumerate(block.split(b"\n"), 1) if line.strip()}
    assert sorted([*numbers, *(number for _, number in dropped)]) == sorted(lines)
    return rows, dropped


def test_many_lines_at_once_are_what_each_line_is(monkeypatch):
    rows = _rows(3000)
    slow, none = _read(LineParser(FIELDS), _block(rows))
    fast = LineParser(FIELDS)
    _read(fast, _block(rows[:5]))
    monkeypatch.setattr(fast, "read", lambda values: pytest.fail("read line by line"))
    assert _read(fast, _block(rows)) == (slow, none)
    assert slow == rows


def test_odd_lines_are_dropped_and_no_others():
    rows = _rows(4000)
    odd = {1000: "{", 2000: "[1]", 2001: '"text"', 3000: "NaN", 3999: json.dumps({"user": {"id": 1}})}
    parser = LineParser(FIELDS)
    _read(parser, _block(rows[:10]))
    found, dropped = _read(parser, _block([odd.get(number, row) for number, row in enumerate(rows)]))
    assert found == [row for number, row in enumerate(rows) if number not in odd]
    assert dropped == [(NOT_AN_OBJECT, number + 1) for number in (1000, 2000, 2001, 3000)] + [
        ("user not readable", 4000)
    ]


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
    assert dropped == [(NOT_AN_OBJECT, 1), ("user not readable", 2)]
    _read(parser, _block(_rows(3)))
    among = _block(_rows(50)) + b'{"user": "\xff", "prompt": "b", "model": "c"}\n'
    found, dropped = _read(parser, among)
    assert (len(found), dropped) == (50, [(NOT_AN_OBJECT, 51)])


def test_two_objects_on_a_line_are_no_object_however_they_are_read():
    parser = LineParser(FIELDS)
    _read(parser, _block(_rows(3)))
    found, dropped = _read(parser, b'{"user": "a"}{"user": "b"}\n{"user": "c"}\n')
    assert [row["user"] for row in found] == ["c"]
    assert dropped == [(NOT_AN_OBJECT, 1)]


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
    slow = LineParser.read
    monkeypatch.setattr(LineParser, "read", lambda self, values: calls.append(1) or slow(self, values))
    plain = {"user": "a", "messages": [{"role": "user", "content": "x" * 100}], "model": "m"}
    parts = {"user": "a", "messages": [{"role": "user", "content": [{"type": "text", "text": "y"}]}], "model": "m"}
    parser = LineParser(FIELDS)
    _read(parser, _block([plain]))
    found, _ = _read(parser, _block([*[plain] * 9000, parts, *[plain] * 9000]))
    assert len(found) == 18001
    assert found[9000]["messages"] == [{"role": "user", "content": "y"}]
    assert len(calls) <= 3
    assert isinstance(parser.types["messages"], pa.ListType)


def test_nan_is_missing_and_infinity_is_read(tmp_path):
    parser = LineParser(FIELDS)
    block = b'{"user": "a", "cost": NaN}\n{"user": "b", "cost": Infinity}\n{"user": NaN, "cost": 1}\n'
    found, dropped = _read(parser, block)
    assert found == [{"user": "a", "cost": None}, {"user": "b", "cost": float("inf")}, {"user": None, "cost": 1.0}]
    assert not dropped


NESTED = parse_columns("user=request.user,messages=request.messages,served=response.body.model,cost=usage.cost")


def _nested(number):
    body = {"user": f"u{number}", "messages": [{"role": "user", "content": f"Hi {number}"}], "other": number}
    usage = {"usage": {"cost": number / 2}} if number % 3 else {}
    return {"request": body, "response": {"status": 200, "body": {"model": "m", "choices": []}}} | usage


def test_nested_columns_are_read_at_once(monkeypatch):
    rows = [_nested(number) for number in range(2000)]
    parser = LineParser(NESTED)
    slow, _ = _read(parser, _block(rows[:10]))
    monkeypatch.setattr(parser, "read", lambda values: pytest.fail("read line by line"))
    fast, dropped = _read(parser, _block(rows))
    assert fast[:10] == slow
    assert not dropped
    assert fast[4] == {
        "request.user": "u4",
        "request.messages": [{"role": "user", "content": "Hi 4"}],
        "response.body.model": "m",
        "usage.cost": 2.0,
    }


def test_a_nested_cell_below_other_keys_is_found():
    parser = LineParser(NESTED)
    _read(parser, _block([_nested(0)] * 5))
    found, _ = _read(parser, _block([*[_nested(1)] * 2000, {"request.user": "flat", "response": {"body.model": "x"}}]))
    assert (found[-1]["request.user"], found[-1]["response.body.model"]) == ("flat", "x")


def test_cells_in_texts_of_json_in_lists_and_in_attributes_of_otlp_are_found():
    columns = parse_columns("user=meta.user,query=choices.0.text,model=attributes.gen_ai.model,cost=attributes.cost")
    attributes = [
        {"key": "gen_ai.model", "value": {"stringValue": "m"}},
        {"key": "cost", "value": {"doubleValue": 2.5}},
    ]
    row = {"meta": json.dumps({"user": "u"}), "choices": [{"text": "Hi"}], "attributes": attributes}
    found, _ = _read(LineParser(columns), _block([row, {**row, "attributes": {"gen_ai.model": "n", "cost": 1}}]))
    assert [list(one.values()) for one in found] == [["u", "Hi", "m", 2.5], ["u", "Hi", "n", 1.0]]


def _users(path):
    return [user for piece in read_pieces(path, FIELDS) for user in piece.table["user"].to_pylist()]


@pytest.mark.parametrize("end", ["\n", ""])
def test_blocks_are_cut_behind_lines(tmp_path, monkeypatch, end):
    monkeypatch.setattr(source, "_BYTES_AT_ONCE", 50)
    monkeypatch.setattr(source, "_FIRST_BYTES", 20)
    rows = [ROW | {"user": str(number), "prompt": "x" * (number % 120)} for number in range(200)]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    assert _users(path) == [row["user"] for row in rows]
    assert [piece.share for piece in read_pieces(path, FIELDS)][-1] == 1


def test_a_parquet_file_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(columnar, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(columnar, "_MOST_ROWS", 5)
    monkeypatch.setattr(columnar, "_FEWEST_ROWS", 2)
    rows = [ROW | {"user": str(number), "extra": 1} for number in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    found = list(read_pieces(tmp_path / "log.parquet", FIELDS))
    assert len(found) == 8
    assert [number for piece in found for number in piece.number] == list(range(1, 41))
    assert "extra" not in found[0].table.column_names
    assert _users(tmp_path / "log.parquet") == [str(number) for number in range(40)]


BAD = {
    "log.txt": (b"a,b", "expected one of .jsonl, .*, found '.txt'"),
    "text.jsonl": (b"hello\nworld\n", "expected JSON objects, one in each line, found none"),
    "empty.jsonl": (b"", "expected JSON objects, one in each line, found none"),
    "list.jsonl": (b'[{"user": "a"}]\n', "expected JSON objects, one in each line, found none"),
    "other.jsonl": (
        b'{"who": "a", "prompt": "b", "model": "c"}\n',
        "expected a column user or user_id .* found model, prompt",
    ),
    "nested.jsonl": (
        b'{"id": 1, "request": {"user": "a", "body": {"prompt": "b"}}}\n',
        r"expected a column user .* found id, request.body.prompt, request.user",
    ),
    "unasked.jsonl": (b'{"user": "a", "model": "c"}\n', "expected a column prompt or query .* or messages"),
    "unserved.jsonl": (b'{"user": "a", "prompt": "c"}\n', "expected a column served or model"),
    "unserved.csv": (b"user,prompt\na,b\n", "expected a column served or model"),
    "header.csv": (b"user,prompt\n", "expected a column served or model"),
    "open.csv": (b'user,prompt,model\na,"b,c\n', "expected readable CSV"),
    "cut.json": (b'[{"user": "a"', "expected"),
    "damaged.parquet": (b"PAR1 or not", "expected a readable Parquet file"),
    "damaged.jsonl.gz": (b"no gzip", "expected a whole gzip file"),
    "cut.jsonl.gz": (
        gzip.compress(b'{"user": "a", "prompt": "b", "model": "c"}\n' * 100)[:-12],
        "expected a whole gzip file",
    ),
    "log.parquet.gz": (b"", "found '.gz'"),
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
    with pytest.raises(ValueError, match=r"expected a column usr .*, found user"):
        list(read_pieces(path, parse_columns("user=usr")))


def test_a_line_without_an_end_is_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_LONGEST_LINE", 1 << 20)
    (tmp_path / "log.jsonl").write_bytes(b"x" * (3 << 20))
    with pytest.raises(ValueError, match="lines of at most 1 MB"):
        list(read_pieces(tmp_path / "log.jsonl", FIELDS))


def test_an_integer_that_no_float_holds_drops_its_line_alone():
    rows = [{"user": "u", "prompt": "x", "model": "m", "cost": cost} for cost in (0.5, 10**400, 2)]
    found, dropped = _read(LineParser(FIELDS), _block(rows))
    assert [row["cost"] for row in found] == [0.5, 2]
    assert dropped == [("cost not readable", 2)]


ROWS = [
    {"user": f"u{number}", "prompt": f'Line\n{number}, "é"', "model": "a", "cost": number / 4} for number in range(30)
]


def _as_csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


FILES = {
    "log.jsonl": _block(ROWS),
    "log.ndjson": _block(ROWS),
    "lines.json": b"\n" + _block(ROWS),
    "bom.jsonl": b"\xef\xbb\xbf" + _block(ROWS),
    "windows.jsonl": _block(ROWS).replace(b"\n", b"\r\n"),
    "array.json": json.dumps(ROWS, indent=1).encode(),
    "bom.json": b"\xef\xbb\xbf " + json.dumps(ROWS).encode(),
    "log.csv": _as_csv(ROWS),
    "bom.CSV": b"\xef\xbb\xbf" + _as_csv(ROWS),
    "log.jsonl.gz": gzip.compress(_block(ROWS)),
    "array.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "log.csv.gz": gzip.compress(_as_csv(ROWS)),
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_log_in_any_form_is_the_same(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    pieces = list(read_pieces(tmp_path / name, FIELDS))
    rows = [row for piece in pieces for row in piece.table.to_pylist()]
    assert [row | {"cost": float(row["cost"])} for row in rows] == ROWS
    assert not any(piece.dropped for piece in pieces)
    assert pieces[-1].share == 1


def test_rows_count_as_an_editor_counts_lines(tmp_path):
    (tmp_path / "log.csv").write_text('user,prompt,model\na,"two\nlines",m\n\nb,x\nc,y,m\n')
    (piece,) = read_pieces(tmp_path / "log.csv", FIELDS)
    assert (piece.number.tolist(), piece.dropped) == ([2, 6], [("another number of cells than the header has", 5)])
    assert piece.place(6) == f"{tmp_path}/log.csv, line 6"
    (tmp_path / "log.jsonl").write_text('\n{"user": "a", "prompt": "b", "model": "c"}\n\n{\n')
    (piece,) = read_pieces(tmp_path / "log.jsonl", FIELDS)
    assert (piece.number.tolist(), piece.dropped) == ([2], [(NOT_AN_OBJECT, 4)])


def test_long_prompts_of_parquet_come_in_small_pieces(tmp_path):
    prompt = "x" * 100_000  # stored once, 300 MB when each row has it
    table = pa.table({"user": ["u"] * 3000, "prompt": [prompt] * 3000, "model": ["m"] * 3000})
    pq.write_table(table, tmp_path / "log.parquet")
    rows = 0
    for piece in read_pieces(tmp_path / "log.parquet", FIELDS):
        assert piece.table.nbytes < 64 << 20
        rows += piece.table.num_rows
        if rows > 500:
            break


def test_columns_of_parquet_by_their_path(tmp_path):
    who = pa.array([{"who": {"id": f"u{number}"}} for number in range(3)])
    attributes = pa.array([[("gen_ai.model", "m")]] * 3, pa.map_(pa.string(), pa.string()))
    text = [json.dumps({"q": f"Hi {number}"}) for number in range(3)]
    pq.write_table(pa.table({"meta": who, "attributes": attributes, "text": text}), tmp_path / "log.parquet")
    columns = parse_columns("user=meta.who.id,served=attributes.gen_ai.model,prompt=text.q")
    (piece,) = read_pieces(tmp_path / "log.parquet", columns)
    rows = [list(row.values()) for row in piece.table.to_pylist()]
    assert rows == [[f"u{number}", f"Hi {number}", "m"] for number in range(3)]
