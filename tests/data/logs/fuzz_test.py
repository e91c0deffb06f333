"""Logs with bytes or cells changed by chance: one clear line or documented drops, and the other rows as before."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import made_up_rows

from prouter_jax.data.logs.fields import FIELDS
from prouter_jax.data.logs.reader import read_pieces
from prouter_jax.data.logs.requests import RequestReader

ROWS = made_up_rows(60)
ODD_CELLS = (
    None,
    "",
    "x",
    "é\u0000",
    -1,
    0,
    1e308,
    10**40,
    True,
    [],
    ["a"],
    [None],
    [["a"]],
    {},
    {"role": "user"},
    "\ud800",
)


def _read(path):
    """Each row that is kept, as a tuple, and how many were dropped."""
    found, dropped, reader = [], 0, RequestReader(FIELDS)
    for piece in read_pieces(path, FIELDS):
        requests, reasons = reader.read(piece)
        llms = [requests.llms[llm] for llm in requests.served]
        columns = (requests.user.to_pylist(), requests.query.to_pylist(), llms, requests.numbers["time"].tolist())
        found += zip(*columns, strict=True)
        dropped += sum(number for _, number, _ in reasons) + len(piece.dropped)
    return found, dropped


def _expected(row):
    return row["user_id"], row["messages"][0]["content"], row["model"], row["time"]


def _cells_changed(rng):
    """Lines of which some have an odd cell, no such cell, or are cut; and which are untouched."""
    lines, whole = [], []
    for row in ROWS:
        changed = dict(row)
        name = rng.choice(list(row))
        if rng.random() < 0.8:
            whole.append(_expected(row))
        elif rng.random() < 0.3:
            del changed[name]
        else:
            changed[name] = rng.choice(ODD_CELLS)
        line = json.dumps(changed)
        if changed == row or rng.random() < 0.9:
            lines.append(line)
        else:
            lines.append(line[: rng.randrange(1, len(line))])
    return "\n".join(lines).encode(), whole


def _bytes_changed(rng, content):
    content = bytearray(content)
    for _ in range(rng.randrange(1, 6)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content[: rng.randrange(len(content))] if rng.random() < 0.2 else content)


def _check_cells(path, rng):
    content, whole = _cells_changed(rng)
    path.write_bytes(content)
    found, dropped = _read(path)
    assert [row for row in found if row in whole] == whole
    assert len(found) + dropped == len(ROWS)


def _check_bytes(path, rng, content):
    path.write_bytes(_bytes_changed(rng, content))
    complaint = path.name
    try:
        found, dropped = _read(path)
        assert len(found) + dropped <= len(ROWS) + 6
    except ValueError as error:
        complaint = str(error)
    assert path.name in complaint
    assert "\n" not in complaint


def _fuzz(folder, number, seed):
    rng = random.Random(seed)
    text = "\n".join(map(json.dumps, ROWS)).encode()
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "sound.parquet")
    table = (folder / "sound.parquet").read_bytes()
    for _ in range(number):
        _check_cells(folder / "log.jsonl", rng)
        _check_bytes(folder / "log.jsonl", rng, text)
        _check_bytes(folder / "log.parquet", rng, table)


def test_a_few_changed_logs(tmp_path):
    _fuzz(tmp_path, 15, seed=0)


@pytest.mark.slow
def test_many_changed_logs(tmp_path):
    _fuzz(tmp_path, 400, seed=1)
