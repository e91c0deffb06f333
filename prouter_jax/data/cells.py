"""The cells of tables and logs: columns of any Arrow type as texts, numbers and lists of names.

Each reading function returns the values [rows], null or NaN if missing, and bool [rows], the cells that are present but
cannot be read. Missing are null, NaN and empty texts. Times are in `cell_times`.
"""

import functools
import json
from collections.abc import Callable, Sequence, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.literals import parse_value

_NAMED_BY = ("model", "llm", "model_name", "name", "id")  # keys of a candidate that is an object
_MOST_INTEGER, _MOST_EXACT = 2**63, 2**53  # of int64, and of whole numbers that float64 holds exactly
_BOOLEANS = {"true": 1.0, "false": 0.0}
_is = pa.types


def column_of(cells: Sequence) -> pa.Array:
    """Python values as an Arrow array of their type; values of several types become texts, JSON for those of no text.

    Bytes that are not UTF-8 (surrogates) stay as they are, in an array of binaries.
    """
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds == {int, float}:
        cells, kinds = [None if cell is None else _as_float(cell) for cell in cells], {float}
    if len(kinds) > 1 or (kinds == {int} and any(abs(cell or 0) >= _MOST_INTEGER for cell in cells)):
        cells, kinds = [cell if cell is None or type(cell) is str else _as_json(cell) for cell in cells], {str}
    try:
        return pa.array(cells, pa.large_string() if kinds == {str} else None)
    except UnicodeEncodeError:
        return _array_of_bytes(cells)
    except pa.ArrowException:  # lists or objects of several types
        return column_of([cell if cell is None or type(cell) is str else _as_json(cell) for cell in cells])


def texts(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Texts as large_string; whole numbers are texts of their digits."""
    column = decoded(column)
    present = _is_present(column)
    if is_binary(column.type):
        column = _decode_utf8(column)
    elif _is.is_floating(column.type):  # pandas stores whole numbers with gaps as floats
        present &= ~_is_nan(column)
        column = _whole(column)
    elif not (is_text(column.type) or _is.is_integer(column.type) or _is.is_null(column.type)):
        column = pa.nulls(len(column), pa.large_string())
    column = column.cast(pa.large_string())
    bad = present & ~_is_present(column)
    empty = pc.equal(pc.binary_length(column), 0)  # pyright: ignore[reportAttributeAccessIssue]
    return pc.if_else(empty, None, column), bad  # pyright: ignore[reportAttributeAccessIssue]


def numbers(column: pa.Array, booleans: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Finite numbers as float64, from numbers, decimals and texts of them.

    Args:
      booleans: whether true is 1 and false is 0; otherwise they cannot be read.
    """
    column = decoded(column)
    present = _is_present(column)
    kind = column.type
    if is_text(kind) or is_binary(kind):
        return map_distinct(column, _as_grade if booleans else as_number)
    if _is.is_boolean(kind) and booleans:
        column = column.cast(pa.int8())
    elif not (_is.is_integer(kind) or _is.is_floating(kind) or _is.is_decimal(kind)):
        return np.full(len(column), np.nan), present
    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan), np.isinf(values)


def name_lists(column: pa.Array, known: Set[str] = frozenset()) -> tuple[pa.Array, np.ndarray]:
    """Lists of texts as large_list. A text is a JSON or Python list or names joined by "|"; an object is named by its
    model.

    An empty list cannot be read, nor a list with a missing name.

    Args:
      known: names that may be among them; a text is also split at ";" or "," where this gives one of them.
    """
    column = decoded(column)
    present = _is_present(column)
    if is_text(column.type) or is_binary(column.type):
        column = _map_texts(column, functools.partial(_split, known=known), pa.large_list(pa.large_string()))
    lists = as_lists(column)
    if lists is None:
        return pa.nulls(len(column), pa.large_list(pa.large_string())), present
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    names, odd = texts(_names_of(lists.flatten()))
    bad = present & (lengths == 0)
    row = np.repeat(np.arange(len(lists)), lengths)
    bad[row[odd | names.is_null().to_numpy(zero_copy_only=False)]] = True
    missing = lists.is_null().to_numpy(zero_copy_only=False)
    starts = pa.array(np.append(0, np.cumsum(lengths)), pa.int64(), mask=np.append(missing, False))
    return pa.LargeListArray.from_arrays(starts, names), bad


def as_lists(column: pa.Array) -> pa.Array | None:
    """A column of lists as large_list, None for another type."""
    kind = column.type
    if _is.is_null(kind):
        return pa.nulls(len(column), pa.large_list(pa.large_string()))
    lists = (_is.is_list, _is.is_large_list, _is.is_fixed_size_list, _is.is_list_view, _is.is_large_list_view)
    if not any(fits(kind) for fits in lists):
        return None
    return column.cast(pa.large_list(kind.value_type))


def to_python(column: pa.Array | pa.ChunkedArray) -> list:
    """The cells as Python values; times that Python cannot hold, as those in nanoseconds, become texts or integers."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [_to_python(cell) for cell in column]


def decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece, without a dictionary."""
    if _is.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type) or is_binary(column.type):  # texts of more than 2 GB do not fit one array of small offsets
        column = column.cast(pa.large_string() if is_text(column.type) else pa.large_binary())
    if isinstance(column, pa.ChunkedArray):
        whole = column.combine_chunks()
        column = whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)
    return column


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a string type."""
    return _is.is_string(kind) or _is.is_large_string(kind) or _is.is_string_view(kind)


def is_binary(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds bytes of any length."""
    return _is.is_binary(kind) or _is.is_large_binary(kind) or _is.is_binary_view(kind)


def is_utf8(cell: bytes | str) -> bool:
    """Whether bytes are valid UTF-8, or a string has no surrogates (which stand for invalid bytes)."""
    try:
        cell.decode() if isinstance(cell, bytes) else cell.encode()
    except UnicodeError:
        return False
    return True


def map_distinct(column: pa.Array, read: Callable[[str], float | None]) -> tuple[np.ndarray, np.ndarray]:
    """`read` of each distinct text, float64 [rows]: NaN for a missing value, None for an unreadable one."""
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found = [read(text) for text in encoded.dictionary.to_pylist()]
    values = np.array([*(np.nan if value is None else value for value in found), np.nan])
    bad = np.array([*(value is None for value in found), False], bool)
    return values[codes], bad[codes]


def as_number(text: str | bytes) -> float | None:
    """The finite number in a text, NaN for an empty text or "nan"; None for another text."""
    try:
        found = float(text) if text.strip() else np.nan
    except ValueError:
        return None
    return None if np.isinf(found) else found


def _is_present(column: pa.Array) -> np.ndarray:
    return column.is_valid().to_numpy(zero_copy_only=False)


def _decode_utf8(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.large_string())
    except pa.ArrowException:
        cells = column.to_pylist()
        return pa.array([cell.decode() if cell is not None and is_utf8(cell) else None for cell in cells])


def _to_python(cell: pa.Scalar):
    if not cell.is_valid:
        return None
    if isinstance(cell, pa.ListScalar):
        found = [_to_python(inner) for inner in cell.values]  # pyright: ignore[reportOptionalIterable]
        return [tuple(pair.values()) for pair in found] if isinstance(cell, pa.MapScalar) else found
    if isinstance(cell, pa.StructScalar):
        return {name: _to_python(cell[name]) for name in cell}
    try:
        return cell.as_py()
    except (ValueError, OverflowError):
        return cell.cast(pa.string()).as_py() if _is.is_timestamp(cell.type) else cell.value  # pyright: ignore[reportAttributeAccessIssue]


def _map_texts(column: pa.Array, change: Callable, kind: pa.DataType) -> pa.Array:
    encoded = column.dictionary_encode()
    return pa.array([change(text) for text in encoded.dictionary.to_pylist()], kind).take(encoded.indices)


def _whole(column: pa.Array) -> pa.Array:
    """Floats that are whole numbers as int64, null for others."""
    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    whole = np.abs(values) < _MOST_EXACT
    whole[whole] = values[whole] == np.floor(values[whole])
    return pa.array(np.where(whole, values, 0).astype(np.int64), mask=~whole)


def _is_nan(column: pa.Array) -> np.ndarray:
    return pc.is_nan(column).fill_null(False).to_numpy(zero_copy_only=False)  # pyright: ignore[reportAttributeAccessIssue]


def _names_of(flat: pa.Array) -> pa.Array:
    """The names of candidates that are objects; others as they are."""
    flat = decoded(flat)
    if not _is.is_struct(flat.type):
        return flat
    fields = [name for name in _NAMED_BY if flat.type.get_field_index(name) >= 0]
    found = pa.nulls(len(flat), pa.large_string())
    for name in fields:
        values, _ = texts(pc.struct_field(flat, name))  # pyright: ignore[reportAttributeAccessIssue]
        found = pc.coalesce(found, values)  # pyright: ignore[reportAttributeAccessIssue]
    return found


def _split(text: str | bytes, known: Set[str]) -> list | None:
    """The names in a text; None for an empty one."""
    if isinstance(text, bytes):
        if not is_utf8(text):
            return text.split(b"|")
        text = text.decode()
    found = parse_value(text) if text.startswith("[") else None
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return found
    for mark in ";," if "|" not in text and text not in known else "":
        names = [name.strip() for name in text.split(mark)]
        if len(names) > 1 and not known.isdisjoint(names):
            return names
    return text.split("|") if text else None


def _as_grade(text: str | bytes) -> float | None:
    number = as_number(text)
    return number if number is not None else _BOOLEANS.get(text.strip().lower())  # pyright: ignore[reportArgumentType]


def _as_float(whole: float) -> float:
    try:
        return float(whole)
    except OverflowError:
        return float("inf")


def _as_json(cell) -> str:
    return json.dumps(cell, ensure_ascii=False)


def _array_of_bytes(cells: Sequence) -> pa.Array:
    """Texts with surrogates, or lists of them, as bytes."""
    return pa.array([[*map(_encode, cell)] if isinstance(cell, list) else _encode(cell) for cell in cells])


def _encode(cell: str | None) -> bytes | None:
    if cell is None:
        return None
    try:
        return cell.encode("utf-8", "surrogateescape")  # the bytes of the file
    except UnicodeEncodeError:
        return cell.encode("utf-8", "surrogatepass")
