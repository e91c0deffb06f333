"""Records of all file formats, and the checks of their cells."""

import numpy as np
import pytest
from public_files import write_json
from table_files import write_rows

from prouter_jax.data.public.records import Record, column_names, read_records

ROWS = [{"id": 7, "text": "a, b", "more": "x"}, {"id": 8, "text": None, "more": "y"}]
SUFFIXES = (".csv", ".jsonl", ".json", ".parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_records_are_the_same_in_all_formats(tmp_path, suffix):
    path = write_rows(tmp_path / f"a{suffix}", ROWS)
    found = [record for record, _ in read_records(path, ["text"], ["id", "absent"])]
    assert [(record.file, record.number) for record in found] == [(f"a{suffix}", 0), (f"a{suffix}", 1)]
    assert [record.id("id") for record in found] == ["7", "8"]
    assert [record.text_or_empty("text") for record in found] == ["a, b", ""]
    assert [record.has("text") for record in found] == [True, False]
    assert not found[0].has("absent")
    assert "more" not in found[0].cells


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sizes_are_about_those_of_the_file(tmp_path, suffix):
    path = write_rows(tmp_path / f"a{suffix}", [{"id": n, "text": "x" * 100} for n in range(1000)])
    assert sum(size for _, size in read_records(path, ["text"])) == pytest.approx(path.stat().st_size, rel=0.4)


def test_an_array_may_be_inside_an_object(tmp_path):
    path = write_json(tmp_path / "a.json", {"version": 1, "data": ROWS})
    assert len(list(read_records(path, ["text"], array="data"))) == 2


def test_column_names(tmp_path):
    assert column_names(write_rows(tmp_path / "a.csv", ROWS)) == ["id", "text", "more"]
    assert column_names(write_rows(tmp_path / "a.parquet", ROWS)) == ["id", "text", "more"]
    with pytest.raises(ValueError, match=r"a.jsonl: expected a file of .csv, .parquet, .* found '.jsonl'"):
        column_names(tmp_path / "a.jsonl")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_that_a_table_lacks_is_named(tmp_path, suffix):
    path = write_rows(tmp_path / f"a{suffix}", ROWS)
    with pytest.raises(ValueError, match=f"^table a{suffix}, column absent: expected this column, found "):
        list(read_records(path, ["absent"]))


def test_files_that_cannot_be_read_are_named(tmp_path):
    for suffix in SUFFIXES:
        with pytest.raises(ValueError, match=rf"none\{suffix}: expected a file, found none$"):
            list(read_records(tmp_path / f"none{suffix}", ["text"]))
    with pytest.raises(ValueError, match=r"a.pkl: expected a file of .parquet, .csv, .jsonl, .json, .* found '.pkl'"):
        list(read_records(tmp_path / "a.pkl", ["text"]))
    (tmp_path / "a.jsonl").write_text("\n\n")
    with pytest.raises(ValueError, match=r"^table a.jsonl: expected at least one row, found none"):
        list(read_records(tmp_path / "a.jsonl", ["text"]))
    for line in ('{"text": "x", "text": "y"}', "[1]", '"text"', "{"):
        (tmp_path / "a.jsonl").write_text(f'{{"text": "x"}}\n{line}\n')
        with pytest.raises(ValueError, match=r"^table a.jsonl, row 1: expected a JSON object, found"):
            list(read_records(tmp_path / "a.jsonl", ["text"]))


def test_numbers_come_as_numbers_or_as_texts():
    cells = {"a": "0.5", "b": 2, "c": True, "d": "False", "e": "", "f": None, "g": float("nan")}
    record = Record("f", 3, cells)
    assert [record.float(name) for name in "abcd"] == [0.5, 2.0, 1.0, 0.0]
    assert all(np.isnan(record.float(name)) for name in "efgx")
    assert record.whole("b") == 2


@pytest.mark.parametrize(
    ("cell", "method", "arguments", "message"),
    [
        ("x", "float", (), "a finite number, found 'x'"),
        ("nan", "float", (), "a finite number, found NaN"),
        ("1e999", "float", (), "a finite number, found inf"),
        (10**400, "float", (), "a finite number, found 1000"),
        (2, "float", (0, 1), r"a number in \[0, 1\], found 2.0"),
        (-1, "float", (0,), "a finite number >= 0, found -1.0"),
        ([1], "float", (), r"a finite number, found \[1\]"),
        (0.5, "whole", (), "a whole number, found 0.5"),
        (None, "whole", (), "a whole number, found nothing"),
        ("", "text", (), "a text that is not empty, found ''"),
        (None, "text", (), "a text that is not empty, found nothing"),
        (5, "text_or_empty", (), "a text, found 5"),
        ("a\udcffb", "text", (), "UTF-8 text, found 'a"),
        ("", "id", (), "an id, found ''"),
        (True, "id", (), "an id, found True"),
        (1.0, "id", (), "an id, found 1.0"),
        ("x", "records", (), "a list of objects, found 'x'"),
        ([1], "records", (), r"a list of objects, found \[1\]"),
    ],
)
def test_a_bad_cell_is_named(cell, method, arguments, message):
    with pytest.raises(ValueError, match=f"^table f, column c, row 3: expected {message}"):
        getattr(Record("f", 3, {"c": cell}), method)("c", *arguments)


def test_an_error_inside_a_cell_names_its_column():
    (inner,) = Record("f", 3, {"c": [{"x": "much"}]}).records("c")
    with pytest.raises(
        ValueError, match=r"^table f, column c, column x, row 3: expected a finite number, found 'much'"
    ):
        inner.float("x")
