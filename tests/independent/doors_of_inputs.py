"""Doors of logs, histories and score inputs, each as JSONL, CSV and Parquet."""

import collections
import json

import numpy as np
from fuzz_formats import NUMBERS, lines, table
from independent import history_reader, log_reader, pair_reader
from independent.door import Door
from public_facts import decision_facts

from prouter_jax.data.logs.fields import FIELDS
from prouter_jax.data.logs.reader import read_pieces
from prouter_jax.data.logs.requests import RequestReader
from prouter_jax.data.public.builder import InteractionsBuilder
from prouter_jax.data.tables.additions import read_history
from prouter_jax.serving.batch.read import open_pairs

_WRITE = {"jsonl": lines("rows.jsonl"), "csv": table("rows.csv"), "parquet": table("rows.parquet")}
_LOG_NUMBERS = ("cost", "input_tokens", "output_tokens", "time")


def _log_record(number):
    return {
        "user_id": f"u{number % 5}",
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": f"Query {number}?"}],
        "task": "t",
        "model": "abc"[number % 3],
        "candidates": ["a", "b", "c"],
        "cost": 0.25 + number,
        "input_tokens": number,
        "output_tokens": 3,
        "time": 1_700_000_000 + number,
        "thumb": ("up", "down")[number % 2],
    }


def _pair(number):
    candidates = ["a", "b"] if number % 2 else ["c"]
    return {"user_id": f"u{number}", "query": f"Query {number}?", "task_id": "t", "candidates": candidates, "note": 7}


def _choice(number):
    base, llm = list(history_reader.BASE_QUERIES), history_reader.BASE_LLMS
    row = {"user_id": f"u{number // 4}", "query_id": base[number % 4], "llm": llm[number % 3]}
    return row | {"candidates": list(llm) if number % 2 else [llm[number % 3], "b", "c"]}


def _as_text(records):
    """CSV has texts: lists and objects as JSON."""
    return [
        {name: json.dumps(cell) if isinstance(cell, list | dict) else cell for name, cell in row.items()}
        for row in records
    ]


def _read_log(path):
    found, reader = [], RequestReader(FIELDS)
    for piece in read_pieces(path, FIELDS):
        requests, _ = reader.read(piece)
        llms = [requests.llms[llm] for llm in requests.served]
        offers = [None if offer < 0 else _members(requests, offer) for offer in requests.offer]
        numbers = [[None if np.isnan(one) else float(one) for one in requests.numbers[name]] for name in _LOG_NUMBERS]
        texts = (requests.user.to_pylist(), requests.query.to_pylist(), requests.task.to_pylist())
        found += zip(*texts, llms, offers, *numbers, strict=True)
    return _counted(found)


def _members(requests, offer):
    return tuple(sorted(requests.llms[llm] for llm in np.flatnonzero(requests.sets[offer])))


def _counted(requests):
    """Requests as a dictionary: how often each is there; numbers to nine digits."""
    plain = [tuple(f"{cell:.9g}" if isinstance(cell, float | int) else cell for cell in one) for one in requests]
    return dict(collections.Counter(plain))


def _read_pairs(path):
    pairs, found = open_pairs(path, 4, ()), {}
    for chunk in pairs.chunks(0, None):
        columns = {name: column.to_pylist() for name, column in chunk.columns.items()}
        rows = len(next(iter(columns.values())))
        for row in range(rows):
            cells = [
                columns[name][row] if name in columns else None for name in ("user_id", "query", "query_id", "task_id")
            ]
            candidates = columns["candidates"][row] if "candidates" in columns else None
            cells.append(None if candidates is None else tuple(candidates))
            found[len(found)] = "bad" if row in chunk.bad else tuple(cells)
    return found


def _base():
    builder = InteractionsBuilder()
    for llm in history_reader.BASE_LLMS:
        builder.llms[llm]
    for id_, text in history_reader.BASE_QUERIES.items():
        builder.add_query(id_, text)
    return builder.build()


def _read_history(path):
    data = read_history(path, _base(), report=False)
    found = {}
    for user, query, text, offer, _, _, values in decision_facts(data):
        (((_, llm), _),) = values.items()
        found[user, query] = (text, offer, llm)
    return found


_KINDS = {
    "log": (
        [_log_record(number) for number in NUMBERS * 2],
        _read_log,
        lambda path: _counted(log_reader.read_log(path)),
    ),
    "pairs": ([_pair(number) for number in NUMBERS], _read_pairs, pair_reader.read_pairs),
    "history": ([_choice(number) for number in range(12)], _read_history, history_reader.read_history),
}
INPUTS = {
    f"{kind}_{form}": Door(_as_text(records) if form == "csv" else records, write, project, simple)
    for kind, (records, project, simple) in _KINDS.items()
    for form, write in _WRITE.items()
}
