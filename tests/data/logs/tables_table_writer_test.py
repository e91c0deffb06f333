"""Tables appear together, or none does."""

import pyarrow.parquet as pq
import pytest

from prouter_jax.data.logs.tables import TableWriter


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
