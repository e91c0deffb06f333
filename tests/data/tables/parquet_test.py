"""Parquet files: rows in chunks are the same for all row groups, and damage on the disk is found."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax.data.tables import parquet
from prouter_jax.data.tables.parquet import parquet_size, parquet_tables, read_parquet, write_parquet

ROWS = 100


def _table():
    return pa.table({"row": range(ROWS), "text": [f"x{row % 7}" for row in range(ROWS)]}).append_column(
        "kind", pa.array([f"k{row % 5 + row // 30}" for row in range(ROWS)]).dictionary_encode()
    )


@pytest.mark.parametrize("group", [1, 7, 30, 100])
@pytest.mark.parametrize(("first", "last"), [(0, 100), (0, 32), (32, 100), (48, 64), (90, 100), (16, 16), (100, 100)])
def test_chunks_have_the_given_length_for_all_row_groups(tmp_path, group, first, last):
    table = _table()
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=group)
    assert parquet_size(tmp_path / "in.parquet") == (table.schema, ROWS)
    found = list(parquet_tables(tmp_path / "in.parquet", 16, first, last))
    assert [part.num_rows for part in found] == [min(16, last - row) for row in range(first, last, 16)]
    assert pa.concat_tables([table.slice(0, 0), *found]).to_pylist() == table.slice(first, last - first).to_pylist()


def test_other_row_groups_are_not_read(tmp_path, monkeypatch):
    pq.write_table(_table(), tmp_path / "in.parquet", row_group_size=10)
    groups_read = []

    class Watched(pq.ParquetFile):
        def iter_batches(self, rows, row_groups, columns):
            groups_read.extend(row_groups)
            return super().iter_batches(rows, row_groups=row_groups, columns=columns)

    monkeypatch.setattr(parquet.pq, "ParquetFile", Watched)
    for first, last, groups in ((20, 40, [2, 3]), (25, 41, [2, 3, 4]), (0, 1, [0])):
        groups_read.clear()
        assert sum(table.num_rows for table in parquet_tables(tmp_path / "in.parquet", 16, first, last)) == last - first
        assert groups_read == groups


def test_a_bad_text_is_named_by_its_row_of_the_file(tmp_path):
    texts = [b"ok"] * 50 + [b"\xff"] + [b"ok"] * 9
    pq.write_table(pa.table({"query": pa.array(texts).view(pa.string())}), tmp_path / "in.parquet", row_group_size=8)
    assert len(list(parquet_tables(tmp_path / "in.parquet", 16, 0, 48))) == 3
    with pytest.raises(ValueError, match=r"^table in.parquet, column query, row 50: expected UTF-8 text"):
        list(parquet_tables(tmp_path / "in.parquet", 16, 48, 60))


def test_other_columns_are_not_read(tmp_path):
    pq.write_table(_table(), tmp_path / "in.parquet")
    (table,) = parquet_tables(tmp_path / "in.parquet", ROWS, 0, ROWS, ["text"])
    assert table.column_names == ["text"]


def test_missing_rows_are_named(tmp_path, monkeypatch):
    pq.write_table(_table(), tmp_path / "in.parquet")

    class Short(pq.ParquetFile):
        def iter_batches(self, *arguments, **options):
            return iter([next(super().iter_batches(*arguments, **options))])

    monkeypatch.setattr(parquet.pq, "ParquetFile", Short)
    with pytest.raises(ValueError, match=r"^table in.parquet: expected a readable Parquet file, found 84 rows too few"):
        list(parquet_tables(tmp_path / "in.parquet", 16, 0, ROWS))


def test_a_flipped_bit_of_a_written_table_is_found(tmp_path):
    path, values = tmp_path / "t.parquet", np.random.default_rng(0).random(5000)
    write_parquet(path, pa.table({"x": values}))
    assert read_parquet(path, ["x"])[0]["x"].to_pylist() == values.tolist()
    content = bytearray(path.read_bytes())
    for position in range(1000, 30_000, 3000):
        content[position] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^table t\.parquet: expected a readable Parquet file, found "):
            read_parquet(path, ["x"])
        content[position] ^= 1


def test_a_footer_that_counts_fewer_rows_loses_none_in_silence(tmp_path):
    """The footer's count is one bit away from another; no page checksum covers it."""
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"row": range(12)}), path)
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(footer, len(content) - 8):
        path.write_bytes(content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :])
        try:
            counted = pq.ParquetFile(path).metadata
            differs = counted.num_rows != sum(
                counted.row_group(group).num_rows for group in range(counted.num_row_groups)
            )
        except (pa.ArrowException, OSError, RuntimeError):
            continue
        if differs:
            break
    else:
        raise AssertionError("no such place")
    with pytest.raises(ValueError, match=r"in\.parquet: expected a readable Parquet file, found .* rows by its footer"):
        parquet_size(path)
