"""The table logged goes with its decisions, or it is told why not."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import made_up_rows, write_log

from prouter_jax.data.interactions import select_decisions
from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.data.logs.logged import LOGGED, read_logged
from prouter_jax.data.tables.read_write import read_tables


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
