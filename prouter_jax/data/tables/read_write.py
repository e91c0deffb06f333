"""A folder of tables: users, tasks, queries, llms, outcomes and feedback, each a .parquet, .csv or .jsonl file.

Required are queries and llms. Feedback comes as choices, votes, ratings, or in the long form that
`write_tables` writes: decisions and feedback, with each set of candidates once in offers. Vectors that
come with the data stand in queries_vectors.npy and tasks_vectors.npy, the style of answers (a row of NaN where
it is not known) in outcomes_style.npy. Complaints count rows from 0.
"""

import dataclasses
import io
import os
import pathlib

import numpy as np
import pyarrow as pa

from prouter_jax.data.interactions import CHOICE, KINDS, Interactions, select_decisions, select_llms
from prouter_jax.data.tables.assemble import assemble
from prouter_jax.data.tables.files import SUFFIXES, write_parquet
from prouter_jax.data.tables.schema import FEEDBACK, OUTCOME_NUMBERS, SCHEMAS, load_folder, names_of
from prouter_jax.data.validation import row_error, validate
from prouter_jax.io import files
from prouter_jax.io.paths import inside, make_path


def read_tables(folder: str | os.PathLike, pool: str = "", feedback: bool = True) -> Interactions:
    """Reads a folder of tables; columns it does not know are not even loaded.

    Args:
      folder: see above for the files; users that only feedback names follow those of the users table, sorted.
      pool: keep only the LLMs of this pool. Decisions whose choice fell on another LLM, and choices that
        are left without an alternative, are dropped.
      feedback: whether to read what users said, which is most of most folders.

    Raises:
      ValueError: one line that names table (file), column and row, what was expected and what was found.

    Example:
      >>> from prouter_jax import read_tables
      >>> data = read_tables("data/mine")
      >>> data.users.ids[:2].tolist(), len(data.decisions.user)
      (['u00', 'u01'], 300)
    """
    folder = make_path(folder)
    tables = load_folder(folder, ("queries", "llms"), () if feedback else FEEDBACK)
    data = _with_arrays(assemble(tables), folder)
    return keep_pool(validate(data, names_of(tables)), pool)


def keep_pool(data: Interactions, pool: str) -> Interactions:
    """Only the LLMs of a pool, all for "", as `read_tables` says.

    Raises:
      ValueError: if there is no such pool.
    """
    if not pool:
        return data
    keep = data.llms.pools == pool
    if not keep.any():
        known = ", ".join(sorted(set(data.llms.pools) - {""})) or "no pool"
        raise ValueError(f"table llms, column pool: expected the pool {pool!r} in some row, found {known}")
    choice = data.feedback.kind == CHOICE
    lost = np.zeros(len(data.decisions.user), bool)
    lost[data.feedback.decision[choice & ~keep[data.feedback.llm]]] = True
    narrowed = data.offers.sum(1) > data.offers[:, keep].sum(1)
    alone = (narrowed & (data.offers[:, keep].sum(1) < 2))[data.decisions.offer]
    lost[data.feedback.decision[choice & alone[data.feedback.decision]]] = True
    return select_llms(select_decisions(data, ~lost), keep)


def write_tables(data: Interactions, folder: str | os.PathLike) -> None:
    """Writes Parquet tables from which `read_tables` reads `data` again, each file whole or not at all.

    Args:
      folder: made where it is missing. Tables without rows are not written.

    Raises:
      ValueError: if `folder` holds another table, which would be read along.

    Example:
      >>> from prouter_jax import read_tables, write_tables
      >>> write_tables(read_tables("data/mine"), "data/copy")
      >>> len(read_tables("data/copy").queries.ids)
      120
    """
    folder = make_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = {name: table for name, table in _arrow_tables(data).items() if table.num_rows}
    arrays = dict(zip(_ARRAYS, (data.queries.vectors, data.tasks.vectors, data.outcomes.style), strict=True))
    arrays = {name: values for name, values in arrays.items() if values is not None}
    check_alone(folder, {f"{name}.parquet" for name in written} | set(arrays))
    for name, table in written.items():
        write_parquet(folder / f"{name}.parquet", table)
    for name, values in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        files.write_whole(folder / name, buffer.getvalue())


def check_alone(folder: pathlib.Path, written: set[str]) -> None:
    """Whether a folder holds no tables but the files that are `written` to it, for others would be read along.

    Raises:
      ValueError: naming one that it holds.
    """
    readable = {name + suffix for name in SCHEMAS for suffix in SUFFIXES} | set(_ARRAYS)
    others = sorted({path.name for path in inside(folder)} & readable - written)
    if others:
        raise ValueError(f"folder {str(folder)!r}: expected no tables but those to be written, found {others[0]}")


_ARRAYS = ("queries_vectors.npy", "tasks_vectors.npy", "outcomes_style.npy")


def _with_arrays(data: Interactions, folder: pathlib.Path) -> Interactions:
    rows = len(data.queries.ids), len(data.tasks.ids), len(data.outcomes.query)
    queries, tasks, style = (_read_array(folder / name, length) for name, length in zip(_ARRAYS, rows, strict=True))
    return data.replace(
        queries=dataclasses.replace(data.queries, vectors=_complete(queries, _ARRAYS[0])),
        tasks=dataclasses.replace(data.tasks, vectors=_complete(tasks, _ARRAYS[1])),
        outcomes=dataclasses.replace(data.outcomes, style=style),
    )


def _read_array(path: pathlib.Path, num_rows: int) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"table {path.name}: expected a NumPy array, found {' '.join(str(error).split())}") from error
    if array.ndim != 2 or array.dtype.kind != "f" or len(array) != num_rows:
        found = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"table {path.name}: expected floats [{num_rows}, width], found {found}")
    return array


def _complete(vectors: np.ndarray | None, name: str) -> np.ndarray | None:
    """The vectors, each of which must be finite."""
    if vectors is not None and not np.isfinite(vectors).all():
        row, column = np.argwhere(~np.isfinite(vectors))[0]
        raise row_error(name, str(column), row, "a finite number", vectors[row, column])
    return vectors


def _arrow_tables(data: Interactions) -> dict[str, pa.Table]:
    queries, llms, outcomes, decisions, feedback = data.queries, data.llms, data.outcomes, data.decisions, data.feedback
    offer, member = np.nonzero(data.offers)
    tables = {
        "users": {"user_id": data.users.ids, "preference": or_null(data.users.preference)},
        "tasks": {"task_id": data.tasks.ids, "description": data.tasks.descriptions},
        "queries": {"query_id": queries.ids, "query": queries.texts, "task_id": _named(queries.task, data.tasks.ids)},
        "llms": {
            "llm": llms.ids,
            "family": llms.families,
            "description": llms.descriptions,
            "input_price": or_null(llms.input_price),
            "output_price": or_null(llms.output_price),
            "pool": llms.pools,
        },
        "outcomes": {
            "query_id": _named(outcomes.query, queries.ids),
            "llm": _named(outcomes.llm, llms.ids),
            **{name: or_null(getattr(outcomes, name)) for name in OUTCOME_NUMBERS},
            **({} if outcomes.response is None else {"response": pa.array(outcomes.response, pa.large_string())}),
        },
        "decisions": {
            "decision_id": decisions.ids,
            "user_id": _named(decisions.user, data.users.ids),
            "query_id": _named(decisions.query, queries.ids),
            "offer": decisions.offer,
            "time": or_null(decisions.time),
            "first": _named(decisions.first, llms.ids),
        },
        "feedback": {
            "decision_id": _named(feedback.decision, decisions.ids),
            "kind": _named(feedback.kind, np.array(KINDS, object)),
            "llm": _named(feedback.llm, llms.ids),
            "value": feedback.value,
        },
        "offers": {"offer": offer, "llm": _named(member, llms.ids)},
    }
    return {name: pa.table(table) for name, table in tables.items()}


def or_null(values: np.ndarray) -> pa.Array:
    """Numbers as a column of a table, null for NaN."""
    return pa.array(values, mask=np.isnan(values))


def _named(rows: np.ndarray, ids: np.ndarray) -> pa.DictionaryArray:
    """The ids at `rows`, null for -1, each id stored once."""
    numbers = pa.array(rows.astype(np.int32), mask=rows < 0)
    return pa.DictionaryArray.from_arrays(numbers, pa.array(ids, pa.string()))
