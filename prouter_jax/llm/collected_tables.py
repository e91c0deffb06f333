"""The tables of a folder of collected answers: queries, llms and outcomes."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from prouter_jax.data.tables.parquet import write_parquet
from prouter_jax.data.tables.schema import load_table
from prouter_jax.data.thoughts import strip_thoughts
from prouter_jax.io.display import log_line
from prouter_jax.io.paths import make_path
from prouter_jax.llm.answers import Answer, Queries, read_queries
from prouter_jax.llm.pool import RemoteLlm

QUERIES, OUTCOMES = "queries.parquet", "outcomes.parquet"
OUTCOME_SCHEMA = {"query_id": "id", "llm": "id", "effect": "number?", "response": "text?"}
OTHER_COLUMNS = ("cost", "input_tokens", "output_tokens", "finish_reason", "raw_response")

_Grades = dict[tuple[str, str, str], float]  # by query_id, LLM and text of the answer


def write_collected(
    folder: str | os.PathLike,
    queries: Queries,
    llms: Sequence[tuple[RemoteLlm, list[str]]],
    answers: dict[str, Answer],
    keep_raw: bool = False,
) -> None:
    """Writes the tables queries, llms and outcomes for `read_tables`, each file whole.

    The table queries also has the columns reference, metric and choices, which grading reads, and outcomes has
    finish_reason. The cost of an outcome is computed with the pool's current prices, and its response is the answer
    without the thoughts of the model. An effect that the tables have for the same query, LLM and response is kept;
    every other effect is missing.

    Args:
      llms: each with the keys of its answers to the queries.
      answers: by key; a pair without an answer has no row.
      keep_raw: whether outcomes gets a column raw_response, what the LLM wrote with its thoughts.
    """
    pairs = [
        (query_id, llm, answers[key])
        for llm, keys in llms
        for query_id, key in zip(queries.ids, keys, strict=True)
        if key in answers
    ]
    outcomes = make_path(folder) / OUTCOMES
    grades = _read_grades(make_path(folder), queries)
    outcomes.unlink(missing_ok=True)  # if this run is killed here, outcomes of other queries must not remain
    texts = {name: _texts(cells) for name, cells in queries.columns().items()}
    write_parquet(make_path(folder) / QUERIES, pa.table(texts))
    write_parquet(make_path(folder) / "llms.parquet", _llms_table([llm for llm, _ in llms]))
    if pairs:
        write_parquet(outcomes, _outcomes_table(pairs, grades, keep_raw))


def _read_grades(folder: pathlib.Path, queries: Queries) -> _Grades:
    """The effects in a folder, of the queries that have not changed since."""
    if not (folder / OUTCOMES).is_file() or not (folder / QUERIES).is_file():
        return {}
    try:
        before = read_queries(folder / QUERIES)
        table = load_table(folder / OUTCOMES, OUTCOME_SCHEMA, OTHER_COLUMNS)
    except ValueError as error:
        log_line(f"collect: effects are not kept: {error}")
        return {}
    rows = set(zip(*before.columns().values(), strict=True)) & set(zip(*queries.columns().values(), strict=True))
    same = {row[0] for row in rows}
    cells = (table.strings("query_id"), table.strings("llm"), table.strings("response"), table.floats("effect"))
    known = (row for row in zip(*cells, strict=True) if row[0] in same and not np.isnan(row[3]))
    return {(query, llm, response): float(effect) for query, llm, response, effect in known}


def _texts(cells) -> pa.Array:
    return pa.array([cell or None for cell in cells], pa.string())


def _llms_table(llms: list[RemoteLlm]) -> pa.Table:
    texts = ("family", "description", "pool")
    prices = ("input_price", "output_price")
    return pa.table(
        {"llm": pa.array([llm.name for llm in llms], pa.string())}
        | {name: _texts([getattr(llm, name) for llm in llms]) for name in texts}
        | {name: pa.array([getattr(llm, name) for llm in llms], pa.float64()) for name in prices}
    )


def _outcomes_table(pairs: list[tuple[str, RemoteLlm, Answer]], grades: _Grades, keep_raw: bool) -> pa.Table:
    answers = [answer for _, _, answer in pairs]
    costs = [llm.cost(answer.input_tokens, answer.output_tokens) for _, llm, answer in pairs]
    responses = [strip_thoughts(answer.text) for answer in answers]
    effects = [
        grades.get((query_id, llm.name, response))
        for (query_id, llm, _), response in zip(pairs, responses, strict=True)
    ]
    raw = {"raw_response": pa.array([answer.text or None for answer in answers], pa.large_string())}
    return pa.table(
        {
            "query_id": pa.array([query_id for query_id, _, _ in pairs], pa.string()),
            "llm": pa.array([llm.name for _, llm, _ in pairs], pa.string()),
            "effect": pa.array(effects, pa.float64()),
            "cost": pa.array(costs, pa.float64()),
            "input_tokens": pa.array([answer.input_tokens for answer in answers], pa.int64()),
            "output_tokens": pa.array([answer.output_tokens for answer in answers], pa.int64()),
            "response": pa.array([response or None for response in responses], pa.large_string()),
            "finish_reason": _texts([answer.finish_reason for answer in answers]),
        }
        | (raw if keep_raw else {})
    )
