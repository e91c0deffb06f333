"""Fuzzed files of every kind: what a simple reader finds in them, a documented drop, or one clear line.

The simple readers are in tests/independent, written from the documents alone. Folders of tables have a test of their
own, tables/independent_test.py. `python -m tests.independent --number=3000` prints how the files of each reader ended.
"""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from independent.doors import DOORS
from independent.run import run
from log_files import write_log
from table_files import write_rows

from prouter_jax.data.logs.fields import FIELDS
from prouter_jax.data.logs.reader import read_pieces
from prouter_jax.data.logs.requests import RequestReader

ASKED = [{"role": "user", "content": "Grüße?"}]
ROW = {"user": "u", "messages": ASKED, "model": "a", "candidates": ["a", "b"], "time": "2026-01-01T00:00:00Z"}


def _check(folder, numbers):
    found = run(numbers, folder)
    assert not found.wrong, "\n".join(found.wrong)
    assert found.ended.keys() == DOORS.keys()
    equal = [counts["equal"] for counts in found.ended.values()]
    assert sum(equal) > len(numbers) / 3  # fewer would mean that nothing is compared
    return equal


def test_some_files(tmp_path):
    _check(tmp_path, range(5 * len(DOORS)))


@pytest.mark.slow
def test_three_thousand_files(tmp_path):
    assert min(_check(tmp_path, range(100_000, 103_000))) > 10


def _kept(path):
    found = []
    for piece in read_pieces(path, FIELDS):
        requests, dropped = RequestReader(FIELDS).read(piece)
        found += requests.query.to_pylist()
        found += [reason for reason, number in [*piece.dropped, *((why, n) for why, n, _ in dropped)] for _ in [number]]
    return found


def test_a_byte_that_is_not_utf8_costs_its_row_of_a_csv_log_alone(tmp_path):
    line = "u,{},a,Gr\u00fc\u00dfe\n".format
    text = "user,prompt,model,note\n" + line("Grüße?") + line("Hallo")
    path = tmp_path / "log.csv"
    path.write_bytes(text.encode().replace("Grüße?".encode(), "Grüße?".encode("latin-1")))
    assert _kept(path) == ["Hallo", "text that is not UTF-8"]
    path.write_bytes(text.encode().replace("Grüße\n".encode(), "Grüße\n".encode("latin-1")))  # in a column of no use
    assert _kept(path) == ["Grüße?", "Hallo"]


def test_a_log_in_utf16_is_one_line(tmp_path):
    (tmp_path / "log.csv").write_bytes("user,prompt,model\nu,Hi,a\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"log\.csv: expected a header in UTF-8, found '\\udcff\\udcfeu"):
        _kept(tmp_path / "log.csv")


def test_messages_and_candidates_that_pandas_wrote_are_read(tmp_path):
    row = ROW | {"messages": str(ASKED), "candidates": "['a', 'b']"}
    assert _kept(write_log(tmp_path / "log.jsonl", [row])) == ["Grüße?"]
    row = {name: cell for name, cell in ROW.items() if name != "messages"} | {"prompt": str(ASKED)}
    assert _kept(write_log(tmp_path / "log.jsonl", [row])) == ["Grüße?"]


def test_messages_of_two_million_characters_are_read(tmp_path):
    long = json.dumps([{"role": "system", "content": "x" * 2_000_000}, *ASKED])
    assert _kept(write_log(tmp_path / "log.jsonl", [ROW | {"messages": long}])) == ["Grüße?"]


@pytest.mark.parametrize("broken", [False, True])
def test_texts_that_parquet_has_as_bytes_are_read(tmp_path, broken):
    """As writers without the mark of UTF-8 do."""
    rows = [ROW | {"messages": json.dumps(ASKED), "candidates": '["a", "b"]', "thumb": "up"}] * 2
    columns = {name: [row[name].encode() for row in rows] for name in rows[0]}
    columns["time"][0] = b"\xff" if broken else columns["time"][0]
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    assert _kept(tmp_path / "log.parquet") == ["Grüße?", "time not readable" if broken else "Grüße?"]


@pytest.mark.parametrize("key", ["data", "logs"])
def test_an_array_within_an_object_is_read(tmp_path, key):
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"object": "list", "total": 2, key: [ROW, ROW], "next": None}, indent=1))
    assert _kept(path) == ["Grüße?"] * 2
    path.write_text(json.dumps(ROW))  # a row whose messages are an array of objects
    assert _kept(path) == ["Grüße?"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (json.dumps(ROW, indent=1).encode(), "an object over several lines"),
        (gzip.compress(json.dumps(ROW).encode()), "a gzip file; let its name end in .gz"),
        (b"PK\x03\x04", "a zip file"),
        (b"", "none"),
    ],
)
def test_what_is_no_json_lines_is_named(tmp_path, content, found):
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=f"expected JSON objects, one in each line, found {found}"):
        _kept(tmp_path / "log.jsonl")


@pytest.mark.parametrize("candidates", ["a, b", "b;a", "a|b", '["a", "b"]'])
def test_candidates_joined_in_any_way_beside_the_served_llm(tmp_path, candidates):
    for name in ("log.jsonl", "log.csv"):
        row = ROW | {"candidates": candidates, "messages": json.dumps(ASKED)}
        path = write_log(tmp_path / name, [row]) if name == "log.jsonl" else write_rows(tmp_path / name, [row])
        pieces = list(read_pieces(path, FIELDS))
        requests, _ = RequestReader(FIELDS).read(pieces[0])
        assert [requests.llms[llm] for llm in requests.sets[0].nonzero()[0]] == ["a", "b"], name
