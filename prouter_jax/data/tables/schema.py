"""The format of a folder of tables: which there may be, and the columns of each."""

import pathlib

from prouter_jax.data.tables import columns
from prouter_jax.data.tables.columns import Table
from prouter_jax.data.tables.files import SUFFIXES
from prouter_jax.io.paths import inside

OUTCOME_NUMBERS = ("effect", "cost", "input_tokens", "output_tokens")
_FEEDBACK_ROW = {"user_id": "id", "query_id": "id", "time": "number?"}
SCHEMAS = {
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
FEEDBACK = ("choices", "votes", "ratings", "thumbs", "decisions", "feedback", "offers")


def load_folder(folder: pathlib.Path, required: tuple[str, ...], passed_over: tuple[str, ...] = ()) -> dict[str, Table]:
    """The tables of a folder, by their name in `SCHEMAS`.

    Args:
      required: the tables that must be there.
      passed_over: those that are not looked at.

    Raises:
      ValueError: if one is missing, doubled or damaged.
    """
    if not folder.is_dir():
        raise ValueError(f"folder {str(folder)!r}: expected a folder of tables, found none")
    tables, present = {}, {path.name: path for path in inside(folder)}
    for name, schema in SCHEMAS.items():
        if name in passed_over:
            continue
        paths = [present[name + suffix] for suffix in SUFFIXES if name + suffix in present]
        if len(paths) > 1:
            found = " and ".join(path.name for path in paths)
            raise ValueError(f"table {name}: expected one file, found {found}")
        if paths:
            tables[name] = columns.load(paths[0], schema)
    for name in (*required, *(["decisions"] if "feedback" in tables else [])):
        if name not in tables:
            expected = " or ".join(name + suffix for suffix in SUFFIXES)
            raise ValueError(f"table {name}: expected {expected} in {str(folder)!r}, found none")
    return tables


def names_of(tables: dict[str, Table]) -> dict[str, str]:
    """What `validate` should call the tables."""
    return {name: table.name for name, table in tables.items()}
