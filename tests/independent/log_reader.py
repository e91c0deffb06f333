"""A simple reader of logs, from docs/logs.md and the reasons in prouter_jax/data/logs/requests.py, for comparison."""

import codecs
import datetime
import json
import math

from independent.cells import Refused, literal, raw_rows

_NO_NAME = {"none", "null", "nil", "nan", "n/a", "na", "undefined", "unknown", "-", "\\n", "<null>", "(null)", "[null]"}
_NO_NAME |= {"", "[]", "{}", '""'}
_NO_USER = _NO_NAME | {"anonymous", "anon", "guest", "00000000-0000-0000-0000-000000000000"}
_MOST = {"cost": 1e6, "input_tokens": 1e9, "output_tokens": 1e9}
_NEEDED = ("user_id", "messages", "model")
_COLUMNS = (*_NEEDED, "task", "candidates", *_MOST, "time", "thumb")
_DATES = (9e8, 4.2e9)


class _Dropped(Exception):
    pass


def read_log(path):
    """The requests in order: user, query, task, served LLM, candidates, numbers and time."""
    found = []
    for row in _rows(path):
        try:
            found.append(_request(row))
        except _Dropped:
            continue
    return found


def _rows(path):
    if path.suffix != ".jsonl":
        found = raw_rows(path, _NEEDED, other_widths=True, empty=True)
        rows = [{column: None if cell == "" else cell for column, cell in row.items()} for row in found]
        return [row for row in rows if path.suffix != ".csv" or all(_is_text(row.get(c) or "") for c in _COLUMNS)]
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    rows = [_line(line) for line in content.split(b"\n") if line.strip()]
    rows = [row for row in rows if isinstance(row, dict)]
    for needed in _NEEDED:
        if not any(needed in row for row in rows):
            raise Refused(needed)
    return rows


def _line(line):
    try:
        return json.loads(line.decode(), parse_constant={"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}.get)
    except (ValueError, RecursionError):
        return None


def _request(row):
    user, served = _name(row.get("user_id"), _NO_USER), _name(row.get("model"), _NO_NAME)
    query, task = _question(row.get("messages")), _name(row.get("task"), set())
    candidates = _candidates(row.get("candidates"))
    if not user or not served or not query or not query.strip() or (candidates and served not in candidates):
        raise _Dropped
    numbers = {column: _number(row.get(column)) for column in _MOST}
    if any(value is not None and not 0 <= value <= _MOST[column] for column, value in numbers.items()):
        raise _Dropped
    if numbers["input_tokens"] == numbers["output_tokens"] == 0:
        numbers |= {"input_tokens": None, "output_tokens": None}
    if not isinstance(row.get("thumb"), int | float | None) and not _is_text(row["thumb"]):
        raise _Dropped
    return user, query, task, served, candidates, *numbers.values(), _time(row.get("time"))


def _is_text(cell):
    return isinstance(cell, str) and not any("\ud800" <= letter <= "\udfff" for letter in cell)


def _name(cell, marks):
    """A name, None for a missing one."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if type(cell) is int and abs(cell) < 1.7e308:
        return str(cell)
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if not _is_text(cell):
        raise _Dropped
    plain = str(cell).strip().lower()
    return None if plain in marks or cell == "" or (marks and _is_json(plain)) else cell


def _is_json(text):
    return text[:1] in ("[", "{") and text[1:].strip()[:1] in ("'", '"', "[", "{")


def _number(cell):
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        raise _Dropped
    try:
        value = float(cell) if str(cell).strip() else math.nan
    except (ValueError, OverflowError) as error:
        raise _Dropped from error
    if math.isinf(value):
        raise _Dropped
    return None if math.isnan(value) else value


def _time(cell):
    if isinstance(cell, str) and cell.strip():
        try:
            moment = datetime.datetime.fromisoformat(cell.strip())
            value = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
        except ValueError:
            value = _number(cell)
    else:
        value = _number(cell)
    for unit in (1e3, 1e6, 1e9):
        if value is not None and _DATES[0] * unit <= value < _DATES[1] * unit:
            value /= unit
    if value is not None and not _DATES[0] <= value < _DATES[1]:
        raise _Dropped
    return value


def _candidates(cell):
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        found = literal_list(cell)
        cell = cell.split("|") if found is None else found
    if not isinstance(cell, list) or not cell or not all(_is_text(one) and one for one in cell):
        raise _Dropped
    return tuple(sorted(set(cell)))


def literal_list(cell):
    found = literal(cell) if cell.startswith("[") else None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


def _question(messages):
    messages = literal(messages) if isinstance(messages, str) else messages
    if isinstance(messages, dict):
        messages = [messages]
    users = (
        [one for one in messages or [] if isinstance(one, dict) and one.get("role") in ("user", "human")]
        if isinstance(messages, list)
        else []
    )
    if not users:
        return None
    content = users[-1].get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        content = "\n".join(part for part in parts if isinstance(part, str))
    return content if _is_text(content) and content else None
