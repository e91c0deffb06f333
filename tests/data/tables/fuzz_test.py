"""Mutated files of every format: an error of one line, or data whose untouched records are unchanged."""

import re
import signal
import traceback

import numpy as np
import pyarrow as pa
import pytest
from fuzz_formats import FORMATS
from fuzz_mutations import mutate_bytes, mutate_records, with_column_twice

SECONDS = 20  # for one file of some lines: more is a hang


def test_some_mutated_files(tmp_path):
    _fuzz(tmp_path, range(60))


@pytest.mark.slow
def test_a_thousand_mutated_files(tmp_path):
    refused, compared = _fuzz(tmp_path, range(1000, 2000))
    assert refused > 300  # fewer would mean that the mutations are too mild
    assert compared > 200


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.first == 1 and name != "squad"])
def test_a_repeated_column_is_refused(tmp_path, name):
    path = FORMATS[name].write(tmp_path, FORMATS[name].records)
    if path.suffix == ".csv":
        path.write_text(with_column_twice(path.read_text()))
        assert _read(FORMATS[name], path, name) is None


def _fuzz(tmp_path, numbers):
    """How many files were refused, and how many were read and compared."""
    names, whole, refused, compared = list(FORMATS), {}, 0, 0
    for number in numbers:
        name, rng = names[number % len(names)], np.random.default_rng([7, number])
        form, folder = FORMATS[name], tmp_path / str(number)
        folder.mkdir()
        if name not in whole:
            (tmp_path / name).mkdir()
            whole[name] = form.read(form.write(tmp_path / name, form.records))
        path, touched = _mutated(form, folder, rng)
        what = f"{name}, {path}"
        found = _read(form, path, what)
        refused += found is None
        if found is not None and touched is not None:
            compared += 1
            _compare(whole[name], found, touched, what)
    return refused, compared


def _read(form, path, what):
    """The data by query, None for an error of one line."""
    signal.signal(signal.SIGALRM, _hung)
    signal.alarm(SECONDS)
    try:
        return form.read(path)
    except ValueError as error:
        message = str(error)
    except Exception as error:
        raise AssertionError(f"{what}: {''.join(traceback.format_exception(error))}") from None
    finally:
        signal.alarm(0)
    assert re.fullmatch(r"(table|folder) .*(expected|found).*", message), f"{what}: {message}"
    return None


def _hung(*_):
    raise TimeoutError("hangs")


def _compare(before, after, touched, what):
    """Untouched queries have the same data as before; new queries are those of touched records."""
    for query in set(before) - touched:
        assert after.get(query) == before[query], f"{what}: {query!r}"
    new = set(after) - set(before)
    assert len(new) <= len(touched), f"{what}: {new}"


def _mutated(form, folder, rng):
    """A mutated file, and the queries that were touched, None for all of them."""
    if rng.random() < 0.5:
        records, rows = mutate_records(form.records, rng)
        try:
            path = form.write(folder, records)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError):  # Parquet cannot hold it: texts then
            path = form.write(folder, [{name: ascii(cell) for name, cell in record.items()} for record in records])
            rows = None
        return path, None if rows is None else {form.query(form.records[row]) for row in rows}
    path = form.write(folder, form.records)
    content = path.read_bytes()
    mutated, positions = mutate_bytes(content, rng)
    path.write_bytes(mutated)
    if positions is None or path.suffix == ".parquet":
        return path, None
    return path, _queries_between(form, content, *positions)


def _queries_between(form, content, first, last):
    """The queries of the records on and next to the lines from byte `first` to `last`; all for a mutated header."""
    lines = [content[:position].count(b"\n") - form.first for position in (first, last)]
    if lines[0] < 0:
        return None
    rows = range(max(lines[0] - 1, 0), min(lines[1] + 2, len(form.records)))
    return {form.query(form.records[row]) for row in rows}
