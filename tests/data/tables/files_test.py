"""Tables as files: what was damaged on the disk is not read as something else."""

import numpy as np
import pyarrow as pa
import pytest

from prouter_jax.data.tables.files import read_cells, write_parquet


def test_a_flipped_bit_of_a_written_table_is_found(tmp_path):
    path, values = tmp_path / "t.parquet", np.random.default_rng(0).random(5000)
    write_parquet(path, pa.table({"x": values}))
    assert read_cells(path, {"x": "number"})[0]["x"].to_pylist() == values.tolist()
    content = bytearray(path.read_bytes())
    for place in range(1000, 30_000, 3000):
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^table t\.parquet: expected a readable Parquet file, found "):
            read_cells(path, {"x": "number"})
        content[place] ^= 1
