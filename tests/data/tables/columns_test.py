"""Tables whose columns have other types than usual: they are read as logs read them, or named."""

import datetime
import decimal
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax.data.tables.read_write import read_tables

NOON = 1767268800.0  # 2026-01-01 12:00 UTC
MOMENT = datetime.datetime(2026, 1, 1, 12)


def _tables(folder, suffix="parquet", **tables):
    base = {
        "queries": {"query_id": [1, 2], "query": ["x", "y"]},
        "llms": {"llm": ["a", "b"]},
        "choices": {"user_id": ["u", "v"], "query_id": [1, 2], "llm": ["a", "b"]},
    }
    for name, columns in (base | tables).items():
        if suffix == "parquet":
            pq.write_table(pa.table(columns), folder / f"{name}.parquet")
        else:
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_tables(folder)


def _choices(**columns):
    return {"choices": {"user_id": ["u", "v"], "query_id": [1, 2], "llm": ["a", "b"]} | columns}


TIMES = [
    pa.array([MOMENT, None], pa.timestamp("s")),
    pa.array([MOMENT, None], pa.timestamp("ms")),
    pa.array([MOMENT, None], pa.timestamp("ns")),
    pa.array([int(NOON) * 10**9 + 261, None]).cast(pa.timestamp("ns", "UTC")),
    pa.array(["2026-01-01T12:00:00Z", None]),
    pa.array(["2026-01-01 13:00:00+01:00", ""]),
    pa.array(["2026-01-01 12:00:00", None]).dictionary_encode(),
    pa.array([NOON, np.nan]),
    pa.array([int(NOON) * 1000, None]),
    pa.array([int(NOON) * 10**6, None]),
    pa.array([decimal.Decimal("1767268800.0"), None]),
]


@pytest.mark.parametrize("column", TIMES, ids=lambda column: str(column.type))
def test_times_of_any_type_are_seconds(tmp_path, column):
    found = _tables(tmp_path, **_choices(time=column)).decisions.time
    np.testing.assert_allclose(found, [NOON, np.nan], atol=1e-5)


@pytest.mark.parametrize("time", ["2026-01-01T12:00:00Z", NOON, int(NOON) * 1000, str(int(NOON))])
def test_times_of_json_lines_are_seconds(tmp_path, time):
    found = _tables(tmp_path, "jsonl", **_choices(time=[time, None])).decisions.time
    np.testing.assert_array_equal(found, [NOON, np.nan])


def test_what_is_no_time_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"choices.parquet, column time, row 1: expected a time, .* found 'noon'"):
        _tables(tmp_path, **_choices(time=["2026-01-01", "noon"]))


def test_numbers_are_decimals_texts_and_booleans_where_these_are_grades(tmp_path):
    for effect in ([True, False], [decimal.Decimal("1.0"), decimal.Decimal("0.0")], ["1", "0"], ["true", "False"]):
        outcomes = {"query_id": [1, 2], "llm": ["a", "b"], "effect": effect, "cost": pa.array([0.5, np.nan])}
        found = _tables(tmp_path, outcomes=outcomes).outcomes
        assert found.effect.tolist() == [1, 0]
        np.testing.assert_array_equal(found.cost, [0.5, np.nan])
    thumbs = {"user_id": ["u", "v"], "query_id": [1, 2], "llm": ["a", "b"], "thumb": [True, False]}
    assert _tables(tmp_path, thumbs=thumbs).feedback.value[-2:].tolist() == [1, 0]


def test_ids_that_pandas_made_floats_are_those_of_the_whole_numbers(tmp_path):
    for suffix in ("parquet", "jsonl"):
        (tmp_path / suffix).mkdir()
        found = _tables(tmp_path / suffix, suffix, **_choices(query_id=[1.0, 2.0]))
        assert found.queries.ids[found.decisions.query].tolist() == ["1", "2"]
        with pytest.raises(ValueError, match=r"column query_id, row 1: expected an id, found 1.5"):
            _tables(tmp_path / suffix, suffix, **_choices(query_id=[1.0, 1.5]))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([["a", "b"], ["b", "a"]], pa.list_(pa.string(), 2)),
        pa.array([["a", "b"], ["b", "a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        pa.array([["a", "b"], ["b", "a"]], pa.large_list(pa.string())),
    ],
    ids=lambda column: str(column.type),
)
def test_candidates_of_any_type_of_list(tmp_path, column):
    found = _tables(tmp_path, **_choices(candidates=column))
    assert found.offers[found.decisions.offer].all()
