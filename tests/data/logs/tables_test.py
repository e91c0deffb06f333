"""LLMs and sets are numbered over all pieces; too many LLMs are told."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax.data.logs import tables as module
from prouter_jax.data.logs.requests import Requests
from prouter_jax.data.logs.tables import LogTables, OutcomeMeans, TableWriter


def _requests(llms, served, sets, offer):
    rows, unknown = len(served), np.full(len(served), np.nan)
    names = ("cost", "input_tokens", "output_tokens", "latency", "time", "propensity")
    text = pa.array(["x"] * rows, pa.large_string())
    numbers = dict.fromkeys(names, unknown)
    arrays = (np.array(served), np.array(sets, bool), np.array(offer))
    return Requests(text, text, text, llms, *arrays, numbers, unknown, np.zeros(rows, bool), False)


def _write(folder, pieces):
    with TableWriter(folder) as writer, OutcomeMeans() as outcomes:
        tables = LogTables(writer, outcomes, None)
        for piece in pieces:
            tables.add(piece)
        tables.finish()
    return tables


def test_the_same_set_has_one_number_whatever_piece_it_is_in(tmp_path):
    first = _requests(["a", "b", "dropped"], [0, 1], [[True, True, False]], [0, 0])
    second = _requests(["b", "c", "a"], [0, 1], [[True, False, True], [True, True, False]], [0, 1])
    tables = _write(tmp_path, [first, second])
    assert (tables.llms, tables.decisions, tables.queries) == (3, 4, 1)
    assert pq.read_table(tmp_path / "decisions.parquet")["offer"].to_pylist() == [0, 0, 0, 1]
    assert pq.read_table(tmp_path / "llms.parquet")["llm"].to_pylist() == ["a", "b", "c"]
    assert pq.read_table(tmp_path / "logged.parquet")["llm"].to_pylist() == ["a", "b", "b", "c"]
    offers = pq.read_table(tmp_path / "offers.parquet").to_pydict()
    assert list(zip(offers["offer"], offers["llm"], strict=True)) == [(0, "a"), (0, "b"), (1, "b"), (1, "c")]


def test_llms_of_all_pieces_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_LLMS", 3)
    pieces = [_requests([str(number)], [0], [[True]], [0]) for number in range(4)]
    with pytest.raises(ValueError, match="at most 3 different LLMs, found 4"):
        _write(tmp_path, pieces)
