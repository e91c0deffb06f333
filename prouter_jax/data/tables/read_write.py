"""Reads and writes a folder of tables: users, tasks, queries, llms, outcomes and feedback.

Each table is a .parquet, .csv, .jsonl or .json file, packed or not, or a folder of them (`file_forms`), with the
columns in `schema.SCHEMAS`. Required are queries and llms.
Feedback comes in short forms (choices, votes, ratings, thumbs) or in the long form that `write_tables` writes:
decisions and feedback, with each distinct set of candidates once in offers. Optional NumPy files hold embeddings of
queries and tasks (queries_vectors.npy, tasks_vectors.npy) and the style features of answers (outcomes_style.npy, a row
of NaN where they are missing). Error messages count rows from 0.
"""

import dataclasses
import io
import os
import pathlib

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from prouter_jax.data.cell_times import as_seconds
from prouter_jax.data.cells import is_utf8
from prouter_jax.data.interactions import CHOICE, KINDS, Interactions, select_decisions, select_llms
from prouter_jax.data.tables.assemble import assemble
from prouter_jax.data.tables.file_forms import table_files
from prouter_jax.data.tables.parquet import one_line, write_parquet
from prouter_jax.data.tables.places import errors_have_places
from prouter_jax.data.tables.schema import FEEDBACK, OUTCOME_NUMBERS, SCHEMAS, load_folder
from prouter_jax.data.validation import row_error, validate
from prouter_jax.io import files
from prouter_jax.io.paths import files_below, list_folder, make_path

_ARRAYS = ("queries_vectors.npy", "tasks_vectors.npy", "outcomes_style.npy")
_MOST_VECTOR = 10**6


def read_tables(folder: str | os.PathLike, pool: str = "", feedback: bool = True) -> Interactions:
    """Reads a folder of tables. Columns outside `schema.SCHEMAS` are not loaded.

    Args:
      folder: holds the files described above. Users that only feedback names follow those of the users table, sorted.
      pool: keep only the LLMs of this pool, as `keep_pool` does.
      feedback: whether to read decisions and feedback, the largest part of most folders.

    Returns:
      The validated data.

    Raises:
      ValueError: one line that names table (file), column and row, what was expected and what was found.

    Example:
      >>> from prouter_jax import read_tables
      >>> data = read_tables("data/mine")
      >>> data.users.ids[:2].tolist(), len(data.decisions.user)
      (['u00', 'u01'], 300)
    """
    folder = make_path(folder)
    with errors_have_places(lambda: _files(folder)):
        tables = load_folder(folder, ("queries", "llms"), () if feedback else FEEDBACK)
        data = _with_arrays(assemble(tables), folder)
        return keep_pool(validate(data, {name: table.name for name, table in tables.items()}), pool)


def keep_pool(data: Interactions, pool: str) -> Interactions:
    """Keeps only the LLMs of a pool.

    Decisions for an LLM outside the pool, and choices with fewer than two candidates in the pool, are dropped.

    Args:
      pool: a value of `data.llms.pools`; "" keeps all LLMs.

    Raises:
      ValueError: if no LLM has this pool.
    """
    if not pool:
        return data
    keep = data.llms.pools == pool
    if not keep.any():
        pools = ", ".join(sorted(set(data.llms.pools) - {""})) or "no pool"
        raise ValueError(f"table llms, column pool: expected the pool {pool!r} in some row, found {pools}")
    choice = data.feedback.kind == CHOICE
    dropped = np.zeros(len(data.decisions.user), bool)
    dropped[data.feedback.decision[choice & ~keep[data.feedback.llm]]] = True
    narrowed = data.offers.sum(1) > data.offers[:, keep].sum(1)
    single = (narrowed & (data.offers[:, keep].sum(1) < 2))[data.decisions.offer]
    dropped[data.feedback.decision[choice & single[data.feedback.decision]]] = True
    return select_llms(select_decisions(data, ~dropped), keep)


def write_tables(data: Interactions, folder: str | os.PathLike) -> None:
    """Writes Parquet tables from which `read_tables` reads equal data. Each file is written whole or not at all.

    Args:
      data: the data to write; tables without rows are not written.
      folder: created if it does not exist.

    Raises:
      ValueError: if `folder` holds another table, which `read_tables` would read as well, or a query has no text.

    Example:
      >>> from prouter_jax import read_tables, write_tables
      >>> write_tables(read_tables("data/mine"), "data/copy")
      >>> len(read_tables("data/copy").queries.ids)
      120
    """
    folder = make_path(folder)
    _check_texts(data)
    folder.mkdir(parents=True, exist_ok=True)
    written = {name: table for name, table in _arrow_tables(data).items() if table.num_rows}
    arrays = dict(zip(_ARRAYS, (data.queries.vectors, data.tasks.vectors, data.outcomes.style), strict=True))
    arrays = {name: values for name, values in arrays.items() if values is not None}
    check_no_other_tables(folder, {f"{name}.parquet" for name in written} | set(arrays))
    for name, table in written.items():
        write_parquet(folder / f"{name}.parquet", table)
    for name, values in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        files.write_whole(folder / name, buffer.getvalue())


def check_no_other_tables(folder: pathlib.Path, written: set[str]) -> None:
    """Checks that a folder holds no other tables, because `read_tables` would read them as well.

    Args:
      written: the names of the files that may be in it.

    Raises:
      ValueError: naming a table outside `written`.
    """
    others = sorted(set(find_tables(folder)) - written)
    if others:
        raise ValueError(f"folder {str(folder)!r}: expected no tables but those to be written, found {others[0]}")


def find_tables(folder: pathlib.Path) -> list[str]:
    """Names of the files in a folder that `read_tables` reads."""
    tables = [path for paths in table_files(folder, SCHEMAS).values() for path in paths]
    names = {str(path)[len(str(folder)) :].lstrip("/") for path in tables}
    return sorted(names | ({path.name for path in list_folder(folder)} & set(_ARRAYS)))


def _check_texts(data: Interactions) -> None:
    """Checks that all queries have a text, without which `read_tables` would refuse them."""
    for row, text in enumerate(data.queries.texts):
        if not text or not is_utf8(text):
            raise row_error("queries", "query", row, "a text that is not empty, in UTF-8", text)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return [folder / name for name in files_below(folder)]


def _with_arrays(data: Interactions, folder: pathlib.Path) -> Interactions:
    rows = len(data.queries.ids), len(data.tasks.ids), len(data.outcomes.query)
    queries, tasks, style = (_read_array(folder / name, length) for name, length in zip(_ARRAYS, rows, strict=True))
    return data.replace(
        queries=dataclasses.replace(data.queries, vectors=_check_finite(queries, _ARRAYS[0])),
        tasks=dataclasses.replace(data.tasks, vectors=_check_finite(tasks, _ARRAYS[1])),
        outcomes=dataclasses.replace(data.outcomes, style=style),
    )


def _read_array(path: pathlib.Path, num_rows: int) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"table {path.name}: expected a NumPy array, found {one_line(error)}") from error
    if array.ndim != 2 or array.dtype.kind != "f" or len(array) != num_rows:
        found = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"table {path.name}: expected floats [{num_rows}, width], found {found}")
    return array


def _check_finite(vectors: np.ndarray | None, name: str) -> np.ndarray | None:
    """Checks that all numbers of the vectors are finite, and small enough that products of them are."""
    if vectors is not None and not (np.abs(vectors) <= _MOST_VECTOR).all():
        row, column = np.argwhere(~(np.abs(vectors) <= _MOST_VECTOR))[0]
        expected = f"a number in [{-_MOST_VECTOR:,}, {_MOST_VECTOR:,}]"
        raise row_error(name, str(column), row, expected, vectors[row, column])
    return vectors


def _arrow_tables(data: Interactions) -> dict[str, pa.Table]:
    queries, llms, outcomes, decisions, feedback = data.queries, data.llms, data.outcomes, data.decisions, data.feedback
    offer, member = np.nonzero(data.offers)
    tables = {
        "users": {"user_id": data.users.ids, "preference": nullable_numbers(data.users.preference)},
        "tasks": {"task_id": data.tasks.ids, "description": data.tasks.descriptions},
        "queries": {"query_id": queries.ids, "query": queries.texts, "task_id": _ids_at(queries.task, data.tasks.ids)},
        "llms": {
            "llm": llms.ids,
            "family": llms.families,
            "description": llms.descriptions,
            "input_price": nullable_numbers(llms.input_price),
            "output_price": nullable_numbers(llms.output_price),
            "pool": llms.pools,
        },
        "outcomes": {
            "query_id": _ids_at(outcomes.query, queries.ids),
            "llm": _ids_at(outcomes.llm, llms.ids),
            **{name: nullable_numbers(getattr(outcomes, name)) for name in OUTCOME_NUMBERS},
            **({} if outcomes.response is None else {"response": pa.array(outcomes.response, pa.large_string())}),
        },
        "decisions": {
            "decision_id": decisions.ids,
            "user_id": _ids_at(decisions.user, data.users.ids),
            "query_id": _ids_at(decisions.query, queries.ids),
            "offer": decisions.offer,
            "time": nullable_numbers(as_seconds(decisions.time)),
            "first": _ids_at(decisions.first, llms.ids),
        },
        "feedback": {
            "decision_id": _ids_at(feedback.decision, decisions.ids),
            "kind": _ids_at(feedback.kind, np.array(KINDS, object)),
            "llm": _ids_at(feedback.llm, llms.ids),
            "value": feedback.value,
        },
        "offers": {"offer": offer, "llm": _ids_at(member, llms.ids)},
    }
    return {name: pa.table(table) for name, table in tables.items()}


def nullable_numbers(values: Float[np.ndarray, " rows"]) -> pa.Array:
    """An Arrow array of numbers, null for NaN."""
    return pa.array(values, mask=np.isnan(values))


def _ids_at(rows: np.ndarray, ids: np.ndarray) -> pa.DictionaryArray:
    """The ids at row numbers, null for -1, each distinct id stored once."""
    codes = pa.array(rows.astype(np.int32), mask=rows < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(ids, pa.string()))
