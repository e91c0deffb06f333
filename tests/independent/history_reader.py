"""A simple reader of histories, from the docstrings of tables.additions and tables.usable, for comparison.

The base has queries and LLMs, and no decisions. Ratings and thumbs of a user on a query are one decision.
"""

from independent.cells import Refused, raw_rows
from independent.log_reader import literal_list

BASE_QUERIES = {f"q{number}": f"Query {number}?" for number in range(4)}
BASE_LLMS = ("a", "b", "c")


def read_history(path):
    """By user and query: the text, the candidates and the feedback."""
    kept = [row for row in map(_usable, raw_rows(path)) if row is not None]
    if not kept:
        raise Refused("no row that can be used")
    found = {}
    for user, query, llm, candidates in kept:
        found.setdefault((user, query), (BASE_QUERIES[str(query)], candidates or BASE_LLMS, llm))
    return found


def _usable(row):
    user, query, llm = (_name(row.get(column)) for column in ("user_id", "query_id", "llm"))
    candidates = _candidates(row.get("candidates"))
    if not user or query is None or query not in BASE_QUERIES or llm not in BASE_LLMS or candidates is None:
        return None
    fits = set(candidates) <= set(BASE_LLMS) and (not candidates or llm in candidates)
    return (user, query, llm, candidates) if fits else None


def _name(cell):
    if cell is None or cell == "" or cell != cell:
        return None
    if type(cell) is int or (isinstance(cell, float) and cell.is_integer()):
        return str(int(cell))
    if not isinstance(cell, str) or any("\ud800" <= letter <= "\udfff" for letter in cell):
        raise Refused("a name")
    return cell


def _candidates(cell):
    if cell is None or cell == "":
        return ()
    if isinstance(cell, str):
        found = literal_list(cell.strip())
        cell = cell.split("|") if found is None else found
    if not isinstance(cell, list) or not all(one is None or isinstance(one, str) for one in cell):
        return None
    return tuple(sorted({one for one in cell if one}))
