"""The format of a folder of tables: the names of the tables and the columns of each."""

import pathlib

from prouter_jax.data.tables.columns import load_table
from prouter_jax.data.tables.files import SUFFIXES
from prouter_jax.data.tables.table import Table
from prouter_jax.io.paths import list_folder, require_folder

OUTCOME_NUMBERS = ("effect", "cost", "input_tokens", "output_tokens")
_FEEDBACK_ROW = {"user_id": "id", "query_id": "id", "time": "number?"}
SCHEMAS = {  # the columns of each table and their kinds, see `columns`
    "users": {"user_id": "key", "preference": "number?"},
    "tasks": {"task_id": "key", "description": "text?"},
    "queries": {"query_id": "key", "query": "text", "task_id": "id?"},
    "llms": {
        "llm": "key",
        "family": "text?",
        "description": "text?",
        "input_price": "number?",
        "output_price": "number?",
        "pool": "text?",
    },
    "outcomes": {"query_id": "id", "llm": "id"} | dict.fromkeys(OUTCOME_NUMBERS, "number?") | {"response": "text?"},
    "choices": _FEEDBACK_ROW | {"llm": "id", "candidates": "list?", "first": "id?"},
    "votes": _FEEDBACK_ROW | {"llm_a": "id", "llm_b": "id", "winner": "text"},
    "ratings": _FEEDBACK_ROW | {"llm": "id", "rating": "number", "candidates": "list?", "first": "id?"},
    "thumbs": _FEEDBACK_ROW | {"llm": "id", "thumb": "number", "candidates": "list?", "first": "id?"},
    "decisions": _FEEDBACK_ROW | {"decision_id": "key", "candidates": "list?", "offer": "id?", "first": "id?"},
    "feedback": {"decision_id": "id", "kind": "text", "llm": "id", "value": "number"},
    "offers": {"offer": "id", "llm": "id"},
}
_OTHERS = {"queries": ("reference", "metric", "choices"), "outcomes": ("finish_reason",)}  # for `prouter grade` alone
FEEDBACK = ("choices", "votes", "ratings", "thumbs", "decisions", "feedback", "offers")


def load_folder(folder: pathlib.Path, required: tuple[str, ...], skipped: tuple[str, ...] = ()) -> dict[str, Table]:
    """Loads the tables of a folder.

    Args:
      folder: contains one file NAME.parquet, NAME.csv or NAME.jsonl for each table NAME of `SCHEMAS`.
      required: tables that the folder must contain; others may be absent.
      skipped: tables that are not loaded.

    Returns:
      The tables by name.

    Raises:
      ValueError: if a required table is missing, a table has two files or a file is damaged.
    """
    tables, present = {}, {path.name: path for path in list_folder(require_folder(folder, "tables"))}
    for name, schema in SCHEMAS.items():
        paths = [present[name + suffix] for suffix in SUFFIXES if name + suffix in present and name not in skipped]
        if len(paths) > 1:
            found = " and ".join(path.name for path in paths)
            raise ValueError(f"table {name}: expected one file, found {found}")
        if paths:
            tables[name] = load_table(paths[0], schema, _OTHERS.get(name, ()))
    for name in (*required, *(["decisions"] if "feedback" in tables else [])):
        if name not in tables:
            expected = " or ".join(name + suffix for suffix in SUFFIXES)
            raise ValueError(f"table {name}: expected {expected} in {str(folder)!r}, found none")
    return tables
