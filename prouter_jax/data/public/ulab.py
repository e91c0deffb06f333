"""Reads the sets of LLMRouter, xRouteBench and RouteProfile (github.com/ulab-uiuc): scores, tokens and pairs of LLMs.

| set | a record | becomes |
|---|---|---|
| LLMRouter, default_routing_*_data.jsonl; xRouteBench, Parquet shards | an answer: performance, tokens | an outcome |
| the same with user_id | an answer with the performance for that user | a rating, and an outcome without effect |
| xRouteBench, personalized | model_1 and model_2, judge 1 or 2 for a persona | a choice of persona_id |
| RouteProfile, routing_*_data.json | a query with the answers of all LLMs | outcomes |
| RouteProfile, pairwise_training_data_*.json | better_model and worse_model on a query | a vote of "everybody" |

Field descriptions: llmrouter/data/README.md and benchmark_pipeline/README.md of LLMRouter, README.md of RouteProfile. A
failed request is no wrong answer: LLMRouter writes it as a response "ERROR: ..." or "API Error..." with 0 tokens,
RouteProfile as success: false, and both grade it 0.
"""

import contextlib
import os
from collections.abc import Iterator

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.interactions import CHOICE
from prouter_jax.data.literals import parse_value
from prouter_jax.data.public.builder import InteractionsBuilder, RowIndex
from prouter_jax.data.public.pairs import EVERYBODY
from prouter_jax.data.public.records import (
    FileSet,
    ProgressCallback,
    PublicData,
    Record,
    column_names,
    read_records,
)
from prouter_jax.data.tables.file_forms import data_files, file_format
from prouter_jax.data.tables.files import json_fields
from prouter_jax.io.paths import make_path

_NEEDED = ("query", "model_name", "performance")
_OTHERS = ("task_name", "ground_truth", "metric", "response", "input_tokens", "output_tokens", "user_id")
_PERSONAS, _PERSONA_OTHERS = (
    ("query", "persona_id", "model_1", "model_2", "judge"),
    ("task_name", "answer_1", "answer_2"),
)
_FAILED = ("ERROR", "API Error")
_PAIRS = "pairwise_data"
_NO_QUERY = "records without a query that has a text"


def read_llmrouter(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads LLMRouter's routing data or xRouteBench (arXiv 2608.06867): a record for each query and LLM.

    The path is a JSONL or Parquet file, or a folder of shards, such as one of xRouteBench's sets. Records with the same
    task_name, query, ground_truth and metric are of one query (q0, q1, ... by first appearance). performance is the
    effect. Of a query of messages, the text is that of the last one. Costs follow from the tokens where prices are
    given (`--llms`), for xRouteBench in its llm_candidates. A record of its set "personalized" is a pair of answers
    that an LLM judged as a persona: a choice of persona_id; which answer the judge saw first is not recorded.

    Drops failed requests, records without a performance or a text, second answers of an LLM to a query, and pairs of
    one LLM.
    """
    files, builder = FileSet(data_files(make_path(path)), on_progress), InteractionsBuilder()
    if all(map(_has_personas, files.paths)):
        return _read_personas(files, builder)
    ids, rated = RowIndex(), {}
    for row in files.read_all(_NEEDED, _OTHERS):
        text, effect = _query_text(row), row.float("performance", 0, 1)
        if not text or np.isnan(effect):
            files.drop("records without a performance" if text else _NO_QUERY)
            continue
        if _failed(row):
            files.drop("failed requests")
            continue
        key = (text, *(str(row.cells.get(column)) for column in ("task_name", "ground_truth", "metric")))
        query = builder.add_query(f"q{ids[key]}", text, row.text_or_empty("task_name"))
        llm = builder.llms[row.id("model_name")]
        if row.has("user_id"):
            rated.setdefault((row.id("user_id"), query), {})[llm] = effect
            effect = np.nan
        tokens = {name: row.float(name, 0) for name in ("input_tokens", "output_tokens")}
        builder.add_outcome(query, llm, row.text_or_empty("response"), effect=effect, **tokens)
    for (user, query), ratings in rated.items():
        builder.add_decision(user, query, ratings, interactions.RATING, ratings)
    if not rated:
        return builder.build_outcomes_only(files)
    return files.result(builder.build())


def read_routeprofile(path: str | os.PathLike, on_progress: ProgressCallback | None = None) -> PublicData:
    """Reads RouteProfile's route_data: routing_*_data.json (outcomes) or pairwise_training_data_*.json (pairs).

    The records of the first are an array, those of the second are under pairwise_data. task_name is the task. A pair is
    a choice of better_model between the two LLMs; nobody saw sides, so that none is recorded.

    Drops failed requests, answers without a performance, records without a query, and pairs of one LLM.
    """
    files, builder = FileSet(data_files(make_path(path)), on_progress), InteractionsBuilder()
    ids = RowIndex()
    for file in files.paths:
        pairs = file_format(file) == ".json" and _is_object(file)
        needed = ("query", "task_name", "better_model", "worse_model") if pairs else ("query", "task_name")
        optional = () if pairs else ("model_performance",)
        for record in files.read(file, needed, optional, _PAIRS if pairs else ""):
            text, task = _query_text(record), record.text_or_empty("task_name")
            if not text:
                files.drop(_NO_QUERY)
                continue
            query = builder.add_query(f"q{ids[text, task]}", text, task)
            for reason in _add_pair(record, query, builder) if pairs else _add_answers(record, query, builder):
                files.drop(reason)
    if not builder.llms:
        raise files.empty_error("an answer with a performance, or a pair of LLMs")
    return files.result(builder.build())


def _has_personas(file) -> bool:
    """Whether a file has the pairs of xRouteBench's set "personalized"."""
    if file_format(file) in (".csv", ".parquet"):
        return "model_1" in column_names(file)
    with contextlib.closing(read_records(file, (), ("model_1",))) as records:
        return next(records)[0].has("model_1")


def _read_personas(files: FileSet, builder: InteractionsBuilder) -> PublicData:
    ids = RowIndex()
    for row in files.read_all(_PERSONAS, _PERSONA_OTHERS):
        text, task = _query_text(row), row.text_or_empty("task_name")
        names = [row.id("model_1"), row.id("model_2")]
        if not text or names[0] == names[1]:
            files.drop("pairs of one LLM" if text else _NO_QUERY)
            continue
        judge = row.whole("judge") if row.has("judge") else 0
        if judge not in (1, 2):
            raise row.error("judge", "1 or 2", row.cells["judge"])
        query, llms = builder.add_query(f"q{ids[text, task]}", text, task), [builder.llms[name] for name in names]
        for side, llm in enumerate(llms, 1):
            builder.add_outcome(query, llm, row.text_or_empty(f"answer_{side}"))
        builder.add_decision(row.id("persona_id"), query, llms, CHOICE, {llms[judge - 1]: 1.0})
    if not builder.llms:
        raise files.empty_error("a pair of answers of two LLMs")
    return files.result(builder.build())


def _is_object(file) -> bool:
    """Whether a JSON file is an object, such as that of pairs, and no array."""
    try:
        json_fields(file, ())
    except ValueError as error:
        if "expected an object, found '['" in str(error):
            return False
        raise
    return True


def _query_text(row: Record) -> str:
    """The text of a query; of a list of messages, that of the last one; "" for none."""
    cell = row.cells.get("query")
    if isinstance(cell, str) and cell.startswith("[{"):
        found = parse_value(cell)
        cell = found if isinstance(found, list) else cell
    if isinstance(cell, list):
        last = cell[-1] if cell and isinstance(cell[-1], dict) else {}
        return Record(row.file, row.number, {"query": last.get("content")}).text_or_empty("query")
    return row.text_or_empty("query")


def _failed(row: Record) -> bool:
    no_tokens = not row.float("output_tokens", 0) > 0
    return no_tokens and row.text_or_empty("response").startswith(_FAILED)


def _add_pair(record: Record, query: int, builder: InteractionsBuilder) -> list[str]:
    """Adds a pair; returns the reason if it is dropped."""
    better, worse = record.id("better_model"), record.id("worse_model")
    if better == worse:
        return ["pairs of one LLM"]
    llms = [builder.llms[better], builder.llms[worse]]
    builder.add_decision(EVERYBODY, query, llms, CHOICE, {llms[0]: 1.0})
    return []


def _add_answers(record: Record, query: int, builder: InteractionsBuilder) -> Iterator[str]:
    """Adds the answers of all LLMs to a query; yields the reason of each that is dropped."""
    answers = record.cells.get("model_performance")
    if not isinstance(answers, dict):
        raise record.error("model_performance", "an object with an answer for each LLM", answers)
    for llm, cells in answers.items():
        answer = Record(f"{record.file}, column model_performance, {llm}", record.number, cells)
        if not isinstance(cells, dict):
            raise record.error("model_performance", f"an object for {llm}", cells)
        effect = answer.float("task_performance", 0, 1)
        if cells.get("success") is False:
            yield "failed requests"
        elif np.isnan(effect):
            yield "answers without a performance"
        else:
            sides = (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"))
            tokens = {name: answer.float(column, 0) for name, column in sides}
            builder.add_outcome(query, builder.llms[llm], answer.text_or_empty("response"), effect=effect, **tokens)
