"""The format of a folder of tables (their names, the columns of each), and its files loaded with every cell checked.

A schema maps each column name to its kind. Columns outside the schema are not loaded; one line on stderr names them.

| kind | cells |
|---|---|
| id | a text or a whole number, also as a float |
| key | an id that no two rows share |
| text | a text |
| number | a finite number, or a text of one |
| grade | the same, or true (1) or false (0) |
| time | a date or time, or a number of seconds since 1970, also in finer units, see `data.cell_times` |
| list | a list of texts, or one text that lists them, see `table.split_names` |
| texts | a text, a number, or a list of texts, which is stored as JSON; `parse_texts` reads it |
| options | a text, or a list or an object, which is stored as JSON; `data.choices.parse_choices` reads it |

A "?" after the kind allows missing cells and an absent column. Error messages count rows from 0 at the first row of
data.
"""

import json
import pathlib
from collections.abc import Collection

import pyarrow as pa

from prouter_jax.data.tables.columns import add_column, check_unique
from prouter_jax.data.tables.file_forms import FORMATS, file_format, table_files
from prouter_jax.data.tables.files import read_cells
from prouter_jax.data.tables.parquet import one_line
from prouter_jax.data.tables.table import Table, concatenate, missing_column, tell_unread
from prouter_jax.data.tables.unfinished import UNFINISHED, is_unfinished
from prouter_jax.io.paths import require_folder

OUTCOME_NUMBERS = ("effect", "cost", "input_tokens", "output_tokens")
_FEEDBACK_ROW = {"user_id": "id", "query_id": "id", "time": "time?"}
_OUTCOME_KINDS = dict.fromkeys(OUTCOME_NUMBERS, "number?") | {"effect": "grade?"}
SCHEMAS = {  # the columns of each table and their kinds, see above
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
    "outcomes": {"query_id": "id", "llm": "id"} | _OUTCOME_KINDS | {"response": "text?"},
    "choices": _FEEDBACK_ROW | {"llm": "id", "candidates": "list?", "first": "id?"},
    "votes": _FEEDBACK_ROW | {"llm_a": "id", "llm_b": "id", "winner": "text", "first": "id?"},
    "ratings": _FEEDBACK_ROW | {"llm": "id", "rating": "number", "candidates": "list?", "first": "id?"},
    "thumbs": _FEEDBACK_ROW | {"llm": "id", "thumb": "grade", "candidates": "list?", "first": "id?"},
    "decisions": _FEEDBACK_ROW | {"decision_id": "key", "candidates": "list?", "offer": "id?", "first": "id?"},
    "feedback": {"decision_id": "id", "kind": "text", "llm": "id", "value": "number"},
    "offers": {"offer": "id", "llm": "id"},
}
# columns of `prouter collect`: for grading, and what the LLM wrote
_OTHERS = {"queries": ("reference", "metric", "choices"), "outcomes": ("finish_reason", "raw_response")}
FEEDBACK = ("choices", "votes", "ratings", "thumbs", "decisions", "feedback", "offers")


def load_table(path: pathlib.Path, schema: dict[str, str], others: Collection[str] = ()) -> Table:
    """Reads the columns of a schema from a file; the suffix of the file determines the format.

    Args:
      path: a file of one of the formats of `file_forms`.
      schema: the kind of each column, see above.
      others: further columns that the file may have without a notice on stderr.

    Raises:
      ValueError: one line with table (file), column and row, if a required column is missing, a cell is not of its
        kind, the table is empty or the file is damaged.
    """
    columns, num_rows, names = read_cells(path, schema)
    missing = [name for name, kind in schema.items() if name not in columns and not kind.endswith("?")]
    if missing and (columns or num_rows or file_format(path) not in (".jsonl", ".json")):
        raise missing_column(path.name, missing[0], names)
    if not num_rows:
        raise ValueError(f"table {path.name}: expected at least one row, found none")
    tell_unread(path, names, schema, others)
    table = Table(path.name, num_rows, tuple(names), {}, {})
    for name, kind in schema.items():
        if name in columns:
            try:
                add_column(table, name, kind.rstrip("?"), kind.endswith("?"), columns[name])
            except pa.ArrowException as error:  # a damaged file can decode to an index outside its dictionary
                raise ValueError(
                    f"table {path.name}, column {name}: expected sound data, found {one_line(error)}"
                ) from error
    return table


def parse_texts(cell: str) -> list[str]:
    """The texts of a cell of the kind "texts": the elements of a JSON list, or else the cell itself."""
    try:
        found = json.loads(cell) if cell.startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and found and all(isinstance(text, str) for text in found):
        return found
    return [cell]


def load_folder(folder: pathlib.Path, required: tuple[str, ...], skipped: tuple[str, ...] = ()) -> dict[str, Table]:
    """Loads the tables of a folder.

    Args:
      folder: contains each table NAME of `SCHEMAS` in one of the forms of `file_forms.table_files`.
      required: tables that the folder must contain; others may be absent.

    Returns:
      The tables by name.

    Raises:
      ValueError: if a required table is missing, a table has two files, a file is damaged, or the conversion that
        wrote them was stopped.
    """
    found = table_files(require_folder(folder, "tables"), SCHEMAS)
    if is_unfinished(folder):
        stopped = f"those of a conversion that was stopped ({UNFINISHED}); the same command again goes on"
        raise ValueError(f"folder {str(folder)!r}: expected all tables, found {stopped}")
    tables = {
        name: load_shards(found[name], schema, _OTHERS.get(name, ()))
        for name, schema in SCHEMAS.items()
        if name in found and name not in skipped
    }
    for name in (*required, *(["decisions"] if "feedback" in tables else [])):
        if name not in tables:
            expected = " or ".join(name + suffix for suffix in FORMATS)
            objects = (folder / f"{name}.json").is_file()  # see `file_forms.is_table`
            found = f"{name}.json with an object, in place of an array of them" if objects else "none"
            raise ValueError(f"table {name}: expected {expected} in {str(folder)!r}, found {found}")
    return tables


def load_shards(paths: list[pathlib.Path], schema: dict[str, str], others: Collection[str] = ()) -> Table:
    """Reads a table from its files, the rows of one after those of the other; see `load_table`."""
    tables = [load_table(path, schema, others) for path in paths]
    if len(tables) == 1:
        return tables[0]
    table = concatenate(tables)
    for name, kind in schema.items():
        if kind.rstrip("?") == "key" and name in table.texts:
            check_unique(table, name)
    return table
