"""A simple reader of files of (user, query) pairs as `prouter score` takes them, for comparison."""

import codecs

from independent.cells import Refused, raw_rows

_COLUMNS = ("user_id", "query", "query_id", "task_id")


def read_pairs(path):
    """Each row: "bad" if a cell has a wrong type, else its cells, None for empty ones; candidates are a list."""
    if path.suffix == ".jsonl" and not path.read_bytes().removeprefix(codecs.BOM_UTF8).strip():
        return {}
    rows = raw_rows(path, empty=path.suffix == ".csv")
    if path.suffix == ".jsonl":
        names = {name for row in rows for name in row}
    else:
        names = set(rows[0]) if rows else {"user_id", "query"}
    if "user_id" not in names or not {"query", "query_id"} & names:
        raise Refused("a missing column")
    return {place: _row(row, path.suffix == ".jsonl") for place, row in enumerate(rows)}


def _row(row, is_json):
    try:
        cells = [_cell(row.get(column), column == "query") for column in _COLUMNS]
        candidates = row.get("candidates")
        if isinstance(candidates, list):
            return (*cells, tuple(_candidate(one, is_json) for one in candidates))
        return (*cells, None if candidates in (None, "") else (_cell(candidates, True),))
    except TypeError:
        return "bad"


def _candidate(cell, is_json):
    if cell is None and is_json:
        raise TypeError
    return cell if cell == "" else _cell(cell, False)


def _cell(cell, is_text):
    if cell is None or cell == "":
        return None
    if type(cell) is int and not is_text:
        return str(cell)
    if not isinstance(cell, str) or any("\ud800" <= letter <= "\udfff" for letter in cell):
        raise TypeError
    return cell
