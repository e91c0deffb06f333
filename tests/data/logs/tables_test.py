"""Tables of a converted log: numbers over all pieces, means through files, all or none, and logged.parquet."""

import dataclasses
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import made_up_rows, write_log

from prouter_jax.data.interactions import select_decisions
from prouter_jax.data.logs import decisions as module
from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.data.logs.decisions import Codings, LogTables
from prouter_jax.data.logs.requests import Requests
from prouter_jax.data.logs.tables import LOGGED, OutcomeMeans, TableWriter, read_logged
from prouter_jax.data.tables.read_write import read_tables


def _requests(llms, served, sets, offer):
    rows, unknown = len(served), np.full(len(served), np.nan)
    names = ("cost", "input_tokens", "output_tokens", "latency", "time", "propensity", "rating")
    text = pa.array(["x"] * rows, pa.large_string())
    numbers = dict.fromkeys(names, unknown)
    arrays = (np.array(served), np.array(sets, bool), np.array(offer))
    return Requests(text, text, text, llms, *arrays, numbers, np.full(rows, -1, np.int16), 0)


def _write(folder, pieces):
    with TableWriter(folder) as writer, OutcomeMeans() as outcomes, tempfile.TemporaryFile() as later:
        tables = LogTables(writer, outcomes, later, None)
        for piece in pieces:
            tables.add(piece)
        tables.finish(Codings(np.full(1, np.nan), (0.0, 1.0), np.ones(1)))
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


def test_each_pair_has_the_mean_of_what_is_known():
    rng = np.random.default_rng(0)
    query, llm = rng.integers(0, 2**62, 50)[rng.integers(0, 50, 900)], rng.integers(0, 4, 900)
    values = rng.random((900, 3))
    values[rng.random((900, 3)) < 0.4] = np.nan
    with OutcomeMeans() as outcomes:
        for rows in np.array_split(np.arange(900), 7):
            outcomes.add(query[rows], llm[rows], values[rows])
        found = {
            (q, a): mean for ids, llms, means in outcomes.means() for q, a, mean in zip(ids, llms, means, strict=True)
        }
    told = ~np.isnan(values).all(1)
    assert set(found) == {(q, a) for q, a in zip(query[told], llm[told], strict=True)}
    for (q, a), mean in found.items():
        own = values[(query == q) & (llm == a)]
        expected = [np.mean(column[~np.isnan(column)]) if (~np.isnan(column)).any() else np.nan for column in own.T]
        np.testing.assert_allclose(mean, expected, rtol=1e-6)


def test_without_anything_known_there_is_no_pair():
    with OutcomeMeans() as outcomes:
        outcomes.add(np.array([1]), np.array([0]), np.full((1, 3), np.nan))
        assert list(outcomes.means()) == []


def test_pieces_make_a_table_and_what_was_not_written_is_not_there(tmp_path):
    with TableWriter(tmp_path) as writer:
        for start in (0, 3):
            writer.write("one", {"x": range(start, start + 3)})
        writer.write("none", {"x": []})
        assert writer.files == {"one.parquet"}
        assert not list(tmp_path.glob("*.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["one.parquet"]
    assert pq.read_table(tmp_path / "one.parquet")["x"].to_pylist() == list(range(6))


def test_after_an_error_the_folder_is_as_before(tmp_path):
    with TableWriter(tmp_path) as writer:
        writer.write("one", {"x": [1]})
    with pytest.raises(ValueError, match="stop"), TableWriter(tmp_path) as writer:  # noqa: PT012
        writer.write("one", {"x": [2]})
        writer.write("two", {"x": [2]})
        raise ValueError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["one.parquet"]
    assert pq.read_table(tmp_path / "one.parquet")["x"].to_pylist() == [1]


@pytest.fixture
def folder(tmp_path):
    convert_log([write_log(tmp_path / "log.jsonl", made_up_rows(30))], tmp_path / "out", Options())
    return tmp_path / "out"


def test_rows_in_another_order_are_the_same(folder):
    data = read_tables(folder)
    before = read_logged(folder, data)
    table = pq.read_table(folder / LOGGED)
    pq.write_table(table.take(pa.array(range(29, -1, -1))), folder / LOGGED)
    for one, other in zip(vars(before).values(), vars(read_logged(folder, data)).values(), strict=True):
        assert one.tolist() == pytest.approx(other.tolist(), nan_ok=True)


def test_what_does_not_go_with_the_decisions_is_told(folder, two_users):
    data = read_tables(folder)
    with pytest.raises(
        ValueError, match=r"logged.parquet, column decision_id, row 29: expected a decision_id of decisions"
    ):
        read_logged(folder, select_decisions(data, data.decisions.ids != "29"))
    only = dataclasses.replace(data, offers=data.offers & [True, True, False])
    with pytest.raises(ValueError, match="expected an LLM on offer in its decision"):
        read_logged(folder, only)
    pq.write_table(pq.read_table(folder / LOGGED).slice(1), folder / LOGGED)
    with pytest.raises(ValueError, match="expected 30 rows as in decisions, found 29"):
        read_logged(folder, data)
    (folder / LOGGED).unlink()
    with pytest.raises(ValueError, match=r"as `prouter logs` writes it, found none"):
        read_logged(folder, data)
