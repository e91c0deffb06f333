"""The fields of a request, the columns that hold them, and nested columns by their path.

A column is named as it stands in the file, or by the path to it: `request.user` is the key user of the object request,
`choices.0.text` the first element of a list. Keys may hold dots themselves, as the attributes of OpenTelemetry do. An
object may be stored as JSON text, or as OpenTelemetry's list of {key, value}.
"""

import difflib
import json
from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data import cells

FIELDS = {
    "user": ("user", "user_id", "end_user", "customer"),
    "query": ("prompt", "query", "question", "input"),
    "messages": ("messages",),
    "task": ("task", "task_id"),
    "served": ("served", "model", "llm", "model_name"),
    "candidates": ("candidates", "on_offer", "models"),
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cost": ("cost", "cost_usd", "response_cost", "spend"),
    "latency": ("latency", "latency_s"),
    "thumb": ("thumb", "thumbs", "feedback", "liked"),
    "rating": ("rating", "score", "stars"),
    "time": ("time", "timestamp", "created_at", "created"),
    "propensity": ("propensity", "probability"),
}
REQUIRED = (("user",), ("query", "messages"), ("served",))
"""Fields of which one each must have a column."""
_ALIASES = {"prompt": "query", "model": "served", "user_id": "user", "llm": "served", "question": "query"}


def parse_columns(named: str, defaults: dict[str, tuple[str, ...]] = FIELDS) -> dict[str, tuple[str, ...]]:
    """The columns of each field: the named one, else the defaults. In each row, the first column with a cell counts.

    Args:
      named: such as "user=customer_id,served=deployment"; "thumb=" means that no column has thumbs.

    Raises:
      ValueError: if a part is not FIELD=COLUMN, or a field is not in `FIELDS`, is required or occurs twice.
    """
    found = {field: (column,) if column else () for field, column in named_columns(named).items()}
    # a named query or list of messages is the only one, because a default column would go before it
    if len({"query", "messages"} & set(found)) == 1:
        found = {"query": (), "messages": ()} | found
    return defaults | found


def named_columns(named: str) -> dict[str, str]:
    """The column of each field in the argument of `parse_columns`; "" for a field that no column has."""
    found = {}
    for part in filter(None, named.split(",")):
        field, sign, column = (text.strip() for text in part.partition("="))
        field = _ALIASES.get(field, field)
        required = any(field in group for group in REQUIRED)
        if field not in FIELDS or not sign or (required and not column) or field in found:
            raise ValueError(f"columns: expected FIELD=COLUMN, each of {', '.join(FIELDS)} once, found {part!r}")
        found[field] = column
    return found


def nearest(name: str, names: Iterable[str]) -> str:
    """The names of columns for a message: those like `name` first."""
    names = sorted(set(names))
    near = difflib.get_close_matches(name, names, 3) or difflib.get_close_matches(name.split(".")[-1], names, 3)
    return ", ".join(near or names)[:200] or "no column"


def splits(name: str) -> Iterator[tuple[str, str]]:
    """The ways to cut a path into a key and the rest: at the first dot, at the second, ..."""
    dot = name.find(".")
    while dot >= 0:
        if name[:dot] and name[dot + 1 :]:
            yield name[:dot], name[dot + 1 :]
        dot = name.find(".", dot + 1)


def find(value, name: str):
    """The cell at a path in a JSON value, None if there is none.

    Returns:
      The cell and the keys that lead to it; no keys if the path leads through a text or a list.
    """
    if isinstance(value, dict):
        if value.get(name) is not None:
            return value[name], (name,)
        for head, rest in splits(name):
            if head in value:
                cell, keys = find(value[head], rest)
                if cell is not None:
                    return cell, (head, *keys) if keys else ()
        return None, ()
    if isinstance(value, str):
        value = _parse(value)
        return (find(value, name)[0] if isinstance(value, dict | list) else None), ()
    return (_in_list(value, name) if isinstance(value, list) else None), ()


def column_at(table: pa.Table, name: str) -> pa.Array | None:
    """A column of a table by its name or path, None if there is none."""
    if name in table.column_names:
        return cells.decoded(table[name])
    for head, rest in splits(name):
        if head in table.column_names and (found := _within(cells.decoded(table[head]), rest)) is not None:
            return found
    return None


def roots(there: Collection[str], names: Iterable[str]) -> list[str]:
    """The columns of a file that must be read for these names and paths."""
    found = {}
    for name in names:
        heads = [name, *(head for head, _ in splits(name))]
        found |= dict.fromkeys([head for head in heads if head in there][:1])
    return list(found)


def paths(value, prefix: str = "", depth: int = 3) -> Iterator[str]:
    """The paths of the cells in an object, for messages."""
    for key, cell in value.items():
        if isinstance(cell, dict) and cell and depth > 1:
            yield from paths(cell, f"{prefix}{key}.", depth - 1)
        else:
            yield f"{prefix}{key}"


def _parse(text: str):
    try:
        return json.loads(text) if text[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None


def _in_list(value: list, name: str):
    """The cell at a path in a list: the path begins with an index, or the list holds {key, value}."""
    pairs = {one["key"]: any_value(one.get("value")) for one in value if isinstance(one, dict) and "key" in one}
    if pairs:
        return find(pairs, name)[0]
    head, _, rest = name.partition(".")
    if head.isdigit() and int(head) < len(value):
        return find(value[int(head)], rest)[0] if rest else value[int(head)]
    return None


def any_value(value):
    """The value of OpenTelemetry's AnyValue in JSON, such as {"intValue": "3"}."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, cell),) = value.items()
        if kind.endswith("Value"):
            return [any_value(one) for one in cell.get("values", [])] if kind == "arrayValue" else cell
    return value


def _within(column: pa.Array, name: str) -> pa.Array | None:
    """The cells at a path in a column of structures, texts of JSON, lists or maps."""
    kind = column.type
    if pa.types.is_struct(kind):
        if kind.get_field_index(name) >= 0:
            return cells.decoded(pc.struct_field(column, name))  # pyright: ignore[reportAttributeAccessIssue]
        for head, rest in splits(name):
            if kind.get_field_index(head) >= 0:
                return _within(cells.decoded(pc.struct_field(column, head)), rest)  # pyright: ignore[reportAttributeAccessIssue]
        return None
    rows = cells.to_python(column)
    if pa.types.is_map(kind):
        rows = [None if row is None else dict(row) for row in rows]
    return cells.column_of([find(row, name)[0] for row in rows])
