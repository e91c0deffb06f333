"""Mutations of records before they are written to a file, and of the bytes of the file."""

import copy
import csv
import io

BROKEN = "\udcff"  # a byte that is not UTF-8
VALUES = (
    *(None, "", " ", "x", "nan", "1e999", "-1", 0, -1, 0.5, 1e308, 10**30, 10**400, float("nan"), float("inf"), True),
    *([], {}, [[[[[[1]]]]]], [None], ["a", 1], {"text": {"text": []}}, [{"role": None}], BROKEN, "a\0b", "é" * 9),
)


def mutate_records(records, rng):
    """Changed records, and the numbers of those that were touched, None for all."""
    records = copy.deepcopy(records)
    return _RECORDS[rng.integers(len(_RECORDS))](records, rng)


def mutate_bytes(content, rng):
    """Changed bytes, and the first and last changed at; None if all may have changed."""
    return _BYTES[rng.integers(len(_BYTES))](content, rng)


def with_column_twice(content):
    """A CSV file with its first column twice."""
    rows = list(csv.reader(io.StringIO(content, newline="")))
    out = io.StringIO(newline="")
    csv.writer(out).writerows([*row, row[0]] for row in rows)
    return out.getvalue()


def _cell(records, rng):
    row = int(rng.integers(len(records)))
    return row, list(records[row])[rng.integers(len(records[row]))]


def _value(records, rng):
    row, column = _cell(records, rng)
    records[row][column] = VALUES[rng.integers(len(VALUES))]
    return records, {row}


def _values(records, rng):
    touched = set()
    for _ in range(rng.integers(2, 5)):
        records, rows = _value(records, rng)
        touched |= rows
    return records, touched


def _inner_value(records, rng):
    """Somewhere inside a nested cell, if there is one."""
    row, column = _cell(records, rng)
    inner = records[row][column]
    while isinstance(inner, dict | list) and inner:
        key = list(inner)[rng.integers(len(inner))] if isinstance(inner, dict) else rng.integers(len(inner))
        if not isinstance(inner[key], dict | list) or rng.random() < 0.3:
            inner[key] = VALUES[rng.integers(len(VALUES))]
            break
        inner = inner[key]
    return records, {row}


def _other_type(records, rng):
    row, column = _cell(records, rng)
    cell = records[row][column]
    records[row][column] = cell and (len(cell) if isinstance(cell, str) else str(cell))
    return records, {row}


def _lost_cell(records, rng):
    row, column = _cell(records, rng)
    del records[row][column]
    return records, {row}


def _lost_column(records, rng):
    _, column = _cell(records, rng)
    return [{name: cell for name, cell in record.items() if name != column} for record in records], None


def _renamed_column(records, rng):
    _, column = _cell(records, rng)
    return [{f"{name} " if name == column else name: cell for name, cell in record.items()} for record in records], None


def _empty_column(records, rng):
    _, column = _cell(records, rng)
    return [record | {column: None} for record in records], None


def _new_column(records, rng):
    return [record | {"unheard of": VALUES[rng.integers(3)]} for record in records], set()


def _repeated(records, rng):
    row = int(rng.integers(len(records)))
    return [*records, copy.deepcopy(records[row])], {row}


def _deleted(records, rng):
    row = int(rng.integers(len(records)))
    return records[:row] + records[row + 1 :], {row}


def _shuffled(records, rng):
    return [records[row] for row in rng.permutation(len(records))], set()


_RECORDS = (
    *(_value, _value, _values, _inner_value, _inner_value, _other_type, _lost_cell, _lost_column, _renamed_column),
    *(_empty_column, _new_column, _repeated, _deleted, _shuffled),
)


def _flipped(content, rng):
    at = int(rng.integers(len(content)))
    return content[:at] + bytes([content[at] ^ 1 << rng.integers(8)]) + content[at + 1 :], (
        at,
        at,
    )


def _overwritten(content, rng):
    at, length = int(rng.integers(len(content))), int(rng.integers(1, 9))
    return content[:at] + rng.bytes(length) + content[at + length :], (at, at + length)


def _inserted(content, rng):
    at = int(rng.integers(len(content)))
    some = (b'"', b"\n", b",", b"\0", b"\xff", b"{", b"]", b"\r", b'""', b"\\", b"[" * 100_000, b'{"a":' * 50_000)
    return content[:at] + some[rng.integers(len(some))] + content[at:], (at, at)


def _cut(content, rng):
    at = int(rng.integers(len(content)))
    return content[:at], (at, len(content))


def _hole(content, rng):
    first, last = sorted(int(at) for at in rng.integers(len(content), size=2))
    return content[:first] + content[last:], (first, last)


def _doubled(content, rng):
    first, last = sorted(int(at) for at in rng.integers(len(content), size=2))
    return content[:last] + content[first:last] + content[last:], (first, last)


def _nothing(content, rng):
    return b"\n" * int(rng.integers(3)), None


def _recoded(content, rng):
    codes = ("utf-16", "utf-16-le", "utf-32", "latin-1", "cp500")
    return content.decode("latin-1").encode(codes[rng.integers(len(codes))], "replace"), None


def _marked(content, rng):
    return b"\xef\xbb\xbf" + content, (0, 0)


_BYTES = (
    *(_flipped, _flipped, _flipped, _overwritten, _inserted, _inserted),
    *(_cut, _hole, _doubled, _nothing, _recoded, _marked),
)
