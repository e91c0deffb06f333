"""Parts of a file in a bucket: the joined file is that of one process on a disk, whoever was killed and when."""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bucket_server import Bucket

from prouter_jax.io import files
from prouter_jax.io.paths import file_size, make_path
from prouter_jax.serving.batch.score import Counts, score_file
from prouter_jax.serving.batch.sharded import Shard, Sharded, _Parts, score_shard
from prouter_jax.serving.batch.write import Scored

FORMATS = ("parquet", "csv", "jsonl")
ROWS = 23


def _score(columns):
    """Shares that hang on the whole chunk, so that a part cut elsewhere would differ; every fifth row is an error."""
    texts = columns["query"].to_pylist()
    wrong = np.array([int(text.split()[1]) % 5 == 4 for text in texts])
    shares = np.abs(np.sin(np.arange(2 * len(texts)).reshape(-1, 2) + sum(map(len, texts))))
    shares[wrong] = np.nan
    llm, basis = (pa.array(np.full(len(texts), word), pa.string(), mask=wrong) for word in ("a", "history"))
    error = pa.array([f"bad {text}" if bad else None for text, bad in zip(texts, wrong, strict=True)], pa.string())
    return Scored(llm, ["a", "b"], shares, basis, error)


def _not_again(columns):
    raise AssertionError("scored again")


def _put_pairs(path, note="x"):
    rows = [{"user_id": f"u{row % 3}", "query": f"text {row}", "note": f"{note}{row}"} for row in range(ROWS)]
    with files.open_whole(path) as file:
        pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=6)


def _shard(place, target, index, number, score=_score):
    return score_shard(
        score, f"{place}/in.parquet", f"{place}/out/{target}", Shard(index, number), "router", rows_at_once=4
    )


def _names(bucket):
    return sorted(name.removeprefix("/bucket/") for name in Bucket.store)


def _whole(tmp_path, target) -> bytes:
    """What one process writes on a disk."""
    _put_pairs(tmp_path / "in.parquet")
    assert score_file(_score, tmp_path / "in.parquet", tmp_path / target, rows_at_once=4) == Counts(ROWS, 4)
    return (tmp_path / target).read_bytes()


@pytest.mark.parametrize("scheme", ["file", "bucket"])
@pytest.mark.parametrize("target", FORMATS)
def test_the_joined_file_is_that_of_one_process_on_a_disk(bucket, tmp_path, target, scheme):
    place = bucket if scheme == "bucket" else (tmp_path / "there").as_uri()
    (tmp_path / "there" / "out").mkdir(parents=True)
    _put_pairs(f"{place}/in.parquet")
    done = [_shard(place, f"x.{target}", index, 3) for index in (2, 0, 1)]
    assert [one.missing for one in done] == [[0, 1], [1], []]
    assert make_path(f"{place}/out/x.{target}").read_bytes() == _whole(tmp_path, f"x.{target}")
    assert [path.name for path in make_path(f"{place}/out").iterdir()] == [f"x.{target}"]
    if scheme == "bucket":
        assert _names(bucket) == ["in.parquet", f"out/x.{target}"]
    assert not pathlib.Path("gs:").exists()


def test_a_killed_part_is_done_again_and_a_whole_one_is_kept(bucket, tmp_path):
    _put_pairs(f"{bucket}/in.parquet")
    assert _shard(bucket, "x.csv", 0, 3) == Sharded(Counts(8, 1), False, [1, 2])

    def killed(columns):
        if "text 12" in columns["query"].to_pylist():
            raise KeyboardInterrupt
        return _score(columns)

    with pytest.raises(KeyboardInterrupt):
        _shard(bucket, "x.csv", 1, 3, killed)
    assert _names(bucket) == ["in.parquet", "out/x.csv.parts/0-of-3.csv", "out/x.csv.parts/0-of-3.json"]
    assert _shard(bucket, "x.csv", 0, 3, _not_again) == Sharded(Counts(8, 1), True, [1, 2])
    make_path(f"{bucket}/out/x.csv.parts/1-of-3.csv").write_bytes(b"of a process killed before its record")
    assert _shard(bucket, "x.csv", 2, 3).missing == [1]
    assert _shard(bucket, "x.csv", 1, 3) == Sharded(Counts(8, 2), False, [])
    assert make_path(f"{bucket}/out/x.csv").read_bytes() == _whole(tmp_path, "x.csv")


@pytest.mark.parametrize("numbered", [True, False])
def test_parts_of_another_input_of_the_same_size_do_not_count(bucket, monkeypatch, numbered):
    """Whether the bucket tells one version of an object from the next, as Google's does, or not."""
    info = Bucket.info

    def with_generation(self, path, **options):
        found = info(self, path, **options)
        return found | {"generation": str(found["created"].timestamp())} if found["type"] == "file" else found

    if numbered:
        monkeypatch.setattr(Bucket, "info", with_generation)

        def hash_of_output(path):  # a bucket with versions is asked for them; its input is not read
            assert make_path(path).name != "in.parquet"
            return sha256_of(path)

        sha256_of = files.sha256_of
        monkeypatch.setattr(files, "sha256_of", hash_of_output)
    _put_pairs(f"{bucket}/in.parquet")
    size = file_size(make_path(f"{bucket}/in.parquet"))
    assert _shard(bucket, "x.csv", 0, 2).missing == [1]
    assert _shard(bucket, "x.csv", 0, 2, _not_again).kept
    _put_pairs(f"{bucket}/in.parquet", note="y")
    assert file_size(make_path(f"{bucket}/in.parquet")) == size
    assert _shard(bucket, "x.csv", 1, 2).missing == [0]
    assert not make_path(f"{bucket}/out/x.csv").exists()


def test_half_a_part_does_not_count_and_parts_of_another_number_stay(bucket):
    _put_pairs(f"{bucket}/in.parquet")
    _shard(bucket, "x.csv", 0, 2)
    part = make_path(f"{bucket}/out/x.csv.parts/0-of-2.csv")
    part.write_bytes(part.read_bytes()[:-9])
    assert _shard(bucket, "x.csv", 1, 2).missing == [0]
    assert [bool(_shard(bucket, "x.csv", index, 3).missing) for index in range(3)] == [True, True, False]
    assert len([name for name in _names(bucket) if ".parts/" in name]) == 4


def test_another_has_joined_before_this_one_looks_or_while_it_joins(bucket, tmp_path, monkeypatch):
    _put_pairs(f"{bucket}/in.parquet")
    for overtaken in ("write", "join"):
        _shard(bucket, "x.parquet", 0, 2)
        usual = getattr(_Parts, overtaken)

        def slow(self, *arguments, usual=usual):
            found = usual(self, *arguments) if usual.__name__ == "write" else None
            with monkeypatch.context() as patch:
                patch.setattr(_Parts, usual.__name__, usual)
                assert _shard(bucket, "x.parquet", 0, 2, _not_again).missing == []
            return found or usual(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(_Parts, overtaken, slow)
            assert _shard(bucket, "x.parquet", 1, 2) == Sharded(Counts(11, 2), False, [])
        assert make_path(f"{bucket}/out/x.parquet").read_bytes() == _whole(tmp_path, "x.parquet")
        assert _names(bucket) == ["in.parquet", "out/x.parquet"]
