"""What was collected as a folder of tables."""

import os
from collections.abc import Sequence

import pyarrow as pa

from prouter_jax.collect.answers import Answer
from prouter_jax.collect.llms import PoolLlm
from prouter_jax.collect.queries import Queries
from prouter_jax.data.tables.files import write_parquet
from prouter_jax.io.paths import make_path


def write_collected(
    folder: str | os.PathLike,
    queries: Queries,
    llms: Sequence[tuple[PoolLlm, list[str]]],
    answers: dict[str, Answer],
) -> None:
    """Writes queries, llms and outcomes, each whole, for `read_tables`.

    Beside the columns that it reads, queries have reference, metric and choices, for grading, and outcomes have
    finish_reason. Outcomes have no effect yet; their cost is that of the answer at the prices of the pool now.

    Args:
      llms: each with the keys of its answers to the queries.
      answers: by key; a pair without one is no row.
    """
    pairs = [
        (query_id, llm, answers[key])
        for llm, keys in llms
        for query_id, key in zip(queries.ids, keys, strict=True)
        if key in answers
    ]
    outcomes = make_path(folder) / "outcomes.parquet"
    outcomes.unlink(missing_ok=True)  # those of earlier queries would fit no more, were this to end half-way
    write_parquet(make_path(folder) / "queries.parquet", _queries_table(queries))
    write_parquet(make_path(folder) / "llms.parquet", _llms_table([llm for llm, _ in llms]))
    if pairs:
        write_parquet(outcomes, _outcomes_table(pairs))


def _queries_table(queries: Queries) -> pa.Table:
    columns = {
        "query_id": queries.ids,
        "query": queries.texts,
        "task_id": queries.tasks,
        "reference": queries.references,
        "metric": queries.metrics,
        "choices": queries.choices,
    }
    return pa.table({name: pa.array([cell or None for cell in cells], pa.string()) for name, cells in columns.items()})


def _llms_table(llms: list[PoolLlm]) -> pa.Table:
    texts = {name: [getattr(llm, name) for llm in llms] for name in ("family", "description", "pool")}
    return pa.table(
        {
            "llm": pa.array([llm.name for llm in llms], pa.string()),
            **{name: pa.array([cell or None for cell in cells], pa.string()) for name, cells in texts.items()},
            "input_price": pa.array([llm.input_price for llm in llms], pa.float64()),
            "output_price": pa.array([llm.output_price for llm in llms], pa.float64()),
        }
    )


def _outcomes_table(pairs: list[tuple[str, PoolLlm, Answer]]) -> pa.Table:
    answers = [answer for _, _, answer in pairs]
    tokens = {name: [getattr(answer, name) for answer in answers] for name in ("input_tokens", "output_tokens")}
    costs = [llm.prices().cost(answer.input_tokens, answer.output_tokens) for _, llm, answer in pairs]
    return pa.table(
        {
            "query_id": pa.array([query_id for query_id, _, _ in pairs], pa.string()),
            "llm": pa.array([llm.name for _, llm, _ in pairs], pa.string()),
            "effect": pa.nulls(len(pairs), pa.float64()),
            "cost": pa.array(costs, pa.float64()),
            **{name: pa.array(cells, pa.int64()) for name, cells in tokens.items()},
            "response": pa.array([answer.text or None for answer in answers], pa.large_string()),
            "finish_reason": pa.array([answer.finish_reason or None for answer in answers], pa.string()),
        }
    )
