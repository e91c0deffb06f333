"""Parts of a file, each scored by itself: joined they are what one process writes, whoever was killed and when."""

import itertools
import os
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_files import write_rows

from prouter_jax.serving.batch.score import Counts, score_file
from prouter_jax.serving.batch.sharded import Shard, Sharded, _Parts, parse_shard, score_shard
from prouter_jax.serving.batch.write import ParquetWriter, Scored

FORMATS = ("parquet", "csv", "jsonl")
LLMS = ["a", "b", "c"]
ROWS = 23


def _score(columns):
    """Shares that hang on the whole chunk, so that a part cut elsewhere would differ; every fifth row is an error."""
    number = len(columns["user_id"])
    length = sum(map(len, columns["query"].to_pylist()))
    shares = np.abs(np.sin(np.arange(3 * number).reshape(number, 3) + length))
    rows = [int(text.split()[1]) for text in columns["query"].to_pylist()]
    wrong = np.array([row % 5 == 4 for row in rows], bool)
    shares = np.where((np.array(rows, int)[:, None] + np.arange(3)) % 3 > 0, shares, np.nan)
    shares[wrong] = np.nan
    llm = pa.array(LLMS).take(pa.array(np.nan_to_num(shares).argmax(1), mask=wrong))
    error = pa.array([f"bad {row}" if row % 5 == 4 else None for row in rows], pa.string())
    return Scored(llm, LLMS, shares, pa.array(np.full(number, "history"), pa.string(), mask=wrong), error)


def _pairs(folder, source):
    rows = [
        {"user_id": f"u{row % 3}", "query": f"text {row}", "note": 'a "b"\nc' if row % 4 else None, "number": row / 7}
        for row in range(ROWS)
    ]
    path = folder / f"in.{source}"
    if source != "parquet":
        return write_rows(path, rows)
    table = pa.Table.from_pylist(rows).append_column(
        "kind", pa.array([f"k{row % 4 + row // 10}" for row in range(ROWS)]).dictionary_encode()
    )
    table = table.append_column("deep", pa.array([[{"x": row}] if row % 3 else None for row in range(ROWS)]))
    table = table.append_column("small", pa.array(range(ROWS), pa.uint8()))
    table = table.replace_schema_metadata({"made by": "somebody"})
    pq.write_table(table, path, row_group_size=6)
    return path


def _shard(path, output, index, number, decided_by="router", **options):
    return score_shard(_score, path, output, Shard(index, number), decided_by, rows_at_once=4, **options)


@pytest.fixture
def pairs(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return _pairs(tmp_path / "in", "parquet")


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", [1, 2, 3, 9])
@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_any_number_of_parts_makes_the_same_file(tmp_path, source, target, number):
    path = _pairs(tmp_path, source)
    assert score_file(_score, path, tmp_path / f"one.{target}", rows_at_once=4) == Counts(ROWS, 4)
    output = tmp_path / f"many.{target}"
    order = [2, 0, 1, *range(3, number)] if number > 2 else range(number)
    done = []
    for index in order:
        assert not output.exists()
        done.append(_shard(path, output, index, number))
    assert (sum(one.part.rows for one in done), sum(one.part.errors for one in done)) == (ROWS, 4)
    assert [bool(one.missing) for one in done] == [True] * (number - 1) + [False]
    assert output.read_bytes() == (tmp_path / f"one.{target}").read_bytes()
    assert _names(tmp_path) == sorted([path.name, f"one.{target}", f"many.{target}"])


def test_progress_is_of_the_part(pairs, tmp_path):
    seen = []
    _shard(pairs, tmp_path / "out" / "x.csv", 1, 2, on_progress=lambda *now: seen.append(now))
    assert seen == [(4, 4 / 11), (8, 8 / 11), (11, 1.0)]


def test_a_killed_part_is_started_again_and_a_whole_one_is_kept(pairs, tmp_path):
    output = tmp_path / "out" / "x.parquet"
    assert _shard(pairs, output, 0, 3) == Sharded(Counts(8, 1), False, [1, 2])

    def killed(columns):
        if "text 12" in columns["query"].to_pylist():
            raise KeyboardInterrupt
        return _score(columns)

    with pytest.raises(KeyboardInterrupt):
        score_shard(killed, pairs, output, Shard(1, 3), "router", rows_at_once=4)
    assert _names(output.parent / "x.parquet.parts") == ["0-of-3.json", "0-of-3.parquet"]
    (output.parent / "x.parquet.parts" / ".1-of-3.parquet.1234.tmp").write_text("of a killed process")
    kept = score_shard(_not_again, pairs, output, Shard(0, 3), "router", rows_at_once=4)
    assert kept == Sharded(Counts(8, 1), True, [1, 2])
    assert _shard(pairs, output, 2, 3) == Sharded(Counts(7, 1), False, [1])
    assert _shard(pairs, output, 1, 3) == Sharded(Counts(8, 2), False, [])
    assert _names(output.parent) == ["x.parquet"]
    score_file(_score, pairs, tmp_path / "one.parquet", rows_at_once=4)
    assert output.read_bytes() == (tmp_path / "one.parquet").read_bytes()


def _not_again(columns):
    raise AssertionError("scored again")


def _other_router(pairs, output):
    return _shard(pairs, output, 1, 2, decided_by="another router")


def _other_input(pairs, output):
    now = pairs.stat().st_mtime_ns
    os.utime(pairs, ns=(now, now + 1))
    return _shard(pairs, output, 1, 2)


def _half_a_part(pairs, output):
    part = output.parent / f"{output.name}.parts" / "0-of-2.csv"
    part.write_bytes(part.read_bytes()[:-9])
    return _shard(pairs, output, 1, 2)


def _no_record(pairs, output):
    (output.parent / f"{output.name}.parts" / "0-of-2.json").unlink()
    return _shard(pairs, output, 1, 2)


def _other_chunks(pairs, output):
    return score_shard(_score, pairs, output, Shard(1, 2), "router", rows_at_once=8)


@pytest.mark.parametrize("change", [_other_router, _other_input, _half_a_part, _no_record, _other_chunks])
def test_parts_of_anything_else_do_not_count(pairs, tmp_path, change):
    output = tmp_path / "out" / "x.csv"
    _shard(pairs, output, 0, 2)
    assert change(pairs, output).missing == [0]
    assert not output.exists()


def test_parts_of_another_number_of_parts_do_not_count_and_stay(pairs, tmp_path):
    output = tmp_path / "out" / "x.csv"
    _shard(pairs, output, 0, 2)
    assert [bool(_shard(pairs, output, index, 3).missing) for index in range(3)] == [True, True, False]
    assert _names(output.parent / "x.csv.parts") == ["0-of-2.csv", "0-of-2.json"]


def test_a_part_of_another_router_is_written_anew(pairs, tmp_path):
    output = tmp_path / "out" / "x.csv"
    _shard(pairs, output, 0, 2)
    assert not _shard(pairs, output, 0, 2, decided_by="another router").kept
    assert _shard(pairs, output, 1, 2, decided_by="another router").missing == []


def test_two_who_come_last_at_once_both_end_well(pairs, tmp_path, monkeypatch):
    """Two threads for two processes, so each has a number of its own; both score their last rows at once."""
    monkeypatch.setattr(os, "getpid", threading.get_ident)
    output, together, ended = tmp_path / "out" / "x.parquet", threading.Barrier(2), []
    last = {0: "text 11", 1: "text 22"}

    def work(index):
        def score(columns):
            if last[index] in columns["query"].to_pylist():
                together.wait(5)
            return _score(columns)

        ended.append(score_shard(score, pairs, output, Shard(index, 2), "router", rows_at_once=4))

    score_file(_score, pairs, tmp_path / "one.parquet", rows_at_once=4)
    for _ in range(20):
        threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert output.read_bytes() == (tmp_path / "one.parquet").read_bytes()
        assert _names(output.parent) == ["x.parquet"]
        output.unlink()
    assert len(ended) == 40


def test_another_joins_while_this_one_does(pairs, tmp_path, monkeypatch):
    """When this one has opened the first of two parts, another process joins both and clears them away."""
    output, numbers, append = tmp_path / "out" / "x.parquet", itertools.count(), ParquetWriter.append
    monkeypatch.setattr(os, "getpid", lambda: next(numbers))
    _shard(pairs, output, 0, 2)

    def interrupted(self, part):
        with monkeypatch.context() as undone:
            undone.setattr(ParquetWriter, "append", append)
            assert score_shard(_not_again, pairs, output, Shard(0, 2), "router", rows_at_once=4).missing == []
        append(self, part)

    monkeypatch.setattr(ParquetWriter, "append", interrupted)
    assert _shard(pairs, output, 1, 2) == Sharded(Counts(11, 2), False, [])
    score_file(_score, pairs, tmp_path / "one.parquet", rows_at_once=4)
    assert output.read_bytes() == (tmp_path / "one.parquet").read_bytes()
    assert _names(output.parent) == ["x.parquet"]


def test_another_has_joined_before_this_one_looks(pairs, tmp_path, monkeypatch):
    output, write = tmp_path / "out" / "x.parquet", _Parts.write
    _shard(pairs, output, 0, 2)

    def overtaken(self, index, rows):
        counts = write(self, index, rows)
        assert score_shard(_not_again, pairs, output, Shard(0, 2), "router", rows_at_once=4).missing == []
        return counts

    monkeypatch.setattr(_Parts, "write", overtaken)
    assert _shard(pairs, output, 1, 2) == Sharded(Counts(11, 2), False, [])
    assert _names(output.parent) == ["x.parquet"]


def test_strict_names_the_row_of_the_file(pairs, tmp_path):
    with pytest.raises(ValueError, match=r"^table in.parquet, row 14: bad 14$"):
        _shard(pairs, tmp_path / "out" / "x.csv", 1, 2, strict=True)


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "1/0", "a/b", "0/2/3", "1.0/2"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(ValueError, match=r"^shard: expected I/N with I from 0 to N - 1, found"):
        parse_shard(text)


def test_parts_are_read():
    assert parse_shard("2/12") == Shard(2, 12)
