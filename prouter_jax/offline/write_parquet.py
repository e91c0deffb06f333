"""Parquet files of scored pairs, one row group a chunk."""

import base64
import io
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.offline.columns import Chunk
from prouter_jax.offline.scored import OUTPUT_COLUMNS, Scored

_PROBABILITIES = pa.map_(pa.string(), pa.float64())
_NUMBERED = pa.map_(pa.dictionary(pa.int32(), pa.string()), pa.float64())
_SHARED, _SHARES = (f"probabilities.key_value.{part}" for part in ("key", "value"))


class ParquetWriter:
    """Writes names of LLMs by number, for they are the most cells; readers are told that they are strings."""

    def __init__(self, file: BinaryIO, schema: pa.Schema, heading: bool = True):
        del heading
        self._schema = _with_answers(schema, _NUMBERED)
        self._writer = pq.ParquetWriter(
            file, self._schema, store_schema=False, write_page_checksum=True, **_encodings(self._schema)
        )
        said = _with_answers(schema, _PROBABILITIES).serialize().to_pybytes()
        self._writer.add_key_value_metadata({"ARROW:schema": base64.b64encode(said).decode()})

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._writer.close()

    def write(self, chunk: Chunk, scored: Scored) -> None:
        self._add([*chunk.table().columns, scored.llm, _as_map(scored), scored.basis, scored.error])

    def append(self, part: BinaryIO) -> None:
        """Adds the rows of a file that another writer wrote, to the last bit as if they were written here."""
        with pq.ParquetFile(part, page_checksum_verification=True, pre_buffer=False) as written:
            for group in range(written.num_row_groups):
                table = written.read_row_group(group)
                columns = dict(zip(table.column_names, table.columns, strict=True))
                self._add(list((columns | {"probabilities": _numbered(table["probabilities"])}).values()))

    def _add(self, columns: list) -> None:
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))


def _with_answers(schema: pa.Schema, probabilities: pa.DataType) -> pa.Schema:
    for name in OUTPUT_COLUMNS:
        schema = schema.append(pa.field(name, probabilities if name == "probabilities" else pa.string()))
    return schema


def _encodings(schema: pa.Schema) -> dict:
    """Shares hardly repeat, but their bytes are alike place by place; nobody looks for rows by the range of a share."""
    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty, store_schema=False)
    paths = [column.path for column in pq.ParquetFile(empty).schema]
    return {
        "use_dictionary": [path for path in paths if path != _SHARES],
        "column_encoding": {_SHARES: "BYTE_STREAM_SPLIT"},
        "write_statistics": [path for path in paths if path not in (_SHARES, _SHARED)],
    }


def _as_map(scored: Scored) -> pa.Array:
    """_NUMBERED [rows] of the candidates alone, null where there is none."""
    given = ~np.isnan(scored.probabilities)
    llm = np.broadcast_to(np.arange(len(scored.llms), dtype=np.int32), given.shape)
    counts = given.sum(1, dtype=np.int32)
    ends = np.append(np.int32(0), counts.cumsum(dtype=np.int32))
    if given.all():
        number, values = pa.array(llm.ravel()).dictionary_encode(), scored.probabilities.ravel()
    else:
        number, values = pa.array(llm[given]).dictionary_encode(), scored.probabilities[given]
    # names in the order in which they come, as `_numbered` finds them
    names = pa.array(scored.llms, pa.string()).take(number.dictionary)
    keys = pa.DictionaryArray.from_arrays(number.indices, names)
    return pa.MapArray.from_arrays(ends, keys, pa.array(values.astype(np.float64)), mask=pa.array(counts == 0))


def _numbered(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """_PROBABILITIES as _NUMBERED."""
    chunks = [
        pa.MapArray.from_arrays(part.offsets, part.keys.dictionary_encode(), part.items, mask=part.is_null())
        for part in column.chunks
    ]
    return pa.chunked_array(chunks, _NUMBERED)
