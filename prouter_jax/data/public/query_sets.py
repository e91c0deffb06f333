"""Converts public query sets to one table: queries for `prouter collect` and references for `prouter grade`.

| format | file | query | reference | metric |
|---|---|---|---|---|
| alpaca | JSON array {instruction, input, output} | instruction, then the input | output | judge |
| gsm8k | JSONL {question, answer} | question | the text after #### | number_at_end |
| squad | v1.1 JSON, or Parquet {id, context, question, answers} | context, then question | answers | token_f1 |
| multi_news | JSONL or Parquet {document, summary} | a request, then the documents | summary | rouge_l |
| llmrouter | LLMRouter's or RouteProfile's query_data JSONL | query, then the options | ground_truth | metric |
| columns | any CSV, JSONL, Parquet or JSON array | a column | a column | a column |

llmrouter: {task_name, query, ground_truth, metric, choices}, github.com/ulab-uiuc/LLMRouter, llmrouter/data/README.md.
"""

import collections
import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.data.choices import letter_of, parse_choices
from prouter_jax.data.public.records import FileSet, ProgressCallback, Record
from prouter_jax.data.tables.places import errors_have_places
from prouter_jax.io import files
from prouter_jax.io.paths import make_path

COLUMNS = ("query_id", "query", "task_id", "reference", "metric", "choices")
_SUMMARISE = "Summarise these news reports in one text."
_ROWS_AT_ONCE = 10_000
Check = Callable[[str, str, str], str]
_SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])


@dataclasses.dataclass(frozen=True)
class Query:
    """A query with its reference answer.

    Attributes:
      query_id, query, task_id: the id, the text and the task, "" for no task.
      reference: the right answer, a JSON list of several right answers, or "" for none.
      metric: the name of the grading metric, see `llm.grading_metrics`; "" for none.
      choices: a JSON list of the options of a multiple-choice question, "" for none.
    """

    query_id: str
    query: str
    task_id: str
    reference: str
    metric: str
    choices: str = ""


def write_query_set(
    name: str,
    path: str | os.PathLike,
    out: str | os.PathLike,
    most: int = 0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    on_progress: ProgressCallback | None = None,
    check: Check | None = None,
) -> dict:
    """Converts a query set to a Parquet table with the columns `COLUMNS`.

    Args:
      name: the format, a key of `FORMATS`.
      path: the file of the query set.
      out: the .parquet file to write.
      most: the number of queries to keep, drawn at random and written in their order; 0 for all.
      columns: for the format "columns", the file's name of each column that it names differently.
      on_progress: see `FileSet`.
      check: called with the metric, the reference and the choices of each query; it returns why an answer will stay
        ungraded, "" if it can be graded, and raises ValueError for an unknown metric or a wrong reference.

    Returns:
      {"records": number of records, "dropped": number of dropped records by reason, "ungraded": number of queries by
      what `check` returned, "written": number of queries}.

    Raises:
      ValueError: one line that names file, column and row, what was expected and what was found.
    """
    path, out = make_path(path), make_path(out)
    if out.suffix != ".parquet":
        raise ValueError(f"{out}: expected a .parquet file to write")
    file_set = FileSet([path], on_progress)
    queries = _unique(FORMATS[name](file_set, path, columns or {}), file_set)
    ungraded: collections.Counter[str] = collections.Counter()
    if check is not None:
        queries = _checked(queries, check, path.name, ungraded)
    with errors_have_places(lambda: [path]):
        written = _write(_sample(queries, most, seed) if most else queries, out, file_set)
    counts = {"dropped": dict(file_set.dropped), "ungraded": dict(ungraded)}
    return {"records": file_set.records, **counts, "written": written}


def _checked(queries: Iterator[Query], check: Check, table: str, ungraded: collections.Counter[str]) -> Iterator[Query]:
    for query in queries:
        try:
            reason = check(query.metric, query.reference, query.choices)
        except ValueError as error:
            raise ValueError(f"table {table}, query {query.query_id}, column metric: {query.metric}: {error}") from None
        ungraded.update([reason] if reason else [])
        yield query


def _unique(queries: Iterator[Query], file_set: FileSet) -> Iterator[Query]:
    seen: set[str] = set()
    for query in queries:
        if query.query_id in seen:
            file_set.drop("queries of an id that came before")
        else:
            seen.add(query.query_id)
            yield query


def _sample(queries: Iterator[Query], most: int, seed: int) -> Iterator[Query]:
    """A uniform random sample in the order of the queries (reservoir sampling, Vitter's algorithm R, 1985)."""
    rng, kept = np.random.default_rng(seed), []
    for number, query in enumerate(queries):
        if number < most:
            kept.append((number, query))
        elif (slot := int(rng.integers(number + 1))) < most:
            kept[slot] = (number, query)
    yield from (query for _, query in sorted(kept, key=lambda pair: pair[0]))


def _write(queries: Iterator[Query], out: pathlib.Path, file_set: FileSet) -> int:
    written = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with files.open_whole(out) as file, pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        while rows := [dataclasses.asdict(query) for query in itertools.islice(queries, _ROWS_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
            written += len(rows)
        if not written:
            raise file_set.empty_error("a query")
    return written


def _alpaca(files: FileSet, path: pathlib.Path, _) -> Iterator[Query]:
    for row in files.read(path, ("instruction", "output"), ("input",)):
        text = "\n\n".join(filter(None, (row.text("instruction"), row.text_or_empty("input"))))
        yield Query(f"alpaca-{row.number}", text, "alpaca", _reference([row.text_or_empty("output")]), "judge")


def _gsm8k(files: FileSet, path: pathlib.Path, _) -> Iterator[Query]:
    for row in files.read(path, ("question", "answer")):
        number = row.text("answer").rpartition("####")[2].strip()
        if "####" not in row.text("answer") or not number:
            files.drop("questions without an answer after ####")
        else:
            yield Query(f"gsm8k-{row.number}", row.text("question"), "gsm8k", number, "number_at_end")


def _squad(files: FileSet, path: pathlib.Path, _) -> Iterator[Query]:
    for row in _squad_questions(files, path):
        answers = [answer.text("text") for answer in row.records("answers")]
        if not answers:
            files.drop("questions without an answer")
            continue
        text = f"{row.text('context')}\n\n{row.text('question')}"
        yield Query(row.id("id"), text, "squad", _reference(answers), "token_f1")


def _squad_questions(files: FileSet, path: pathlib.Path) -> Iterator[Record]:
    """The questions of the JSON or Parquet form as records {id, context, question, answers: [{text}]}."""
    columns = ("id", "context", "question", "answers")
    if path.suffix == ".json":
        for article in files.read(path, ("paragraphs",), array="data"):
            for paragraph in article.records("paragraphs"):
                for question in paragraph.records("qas"):
                    cells = question.cells | {"context": paragraph.cells.get("context")}
                    yield Record(question.file, question.number, cells)
        return
    for row in files.read(path, columns):
        texts = (row.cells.get("answers") or {}).get("text") if isinstance(row.cells.get("answers"), dict) else None
        if not isinstance(texts, list):
            raise row.error("answers", "an object with a list text", row.cells.get("answers"))
        yield Record(row.file, row.number, row.cells | {"answers": [{"text": text} for text in texts]})


def _multi_news(files: FileSet, path: pathlib.Path, _) -> Iterator[Query]:
    for row in files.read(path, ("document", "summary")):
        documents = [text.strip() for text in row.text_or_empty("document").split("|||||") if text.strip()]
        if not documents or not row.has("summary"):
            files.drop("records without a document or a summary")
            continue
        text = "\n\n".join([_SUMMARISE, *documents])
        yield Query(f"multi_news-{row.number}", text, "multi_news", _reference([row.text("summary")]), "rouge_l")


def _columns(files: FileSet, path: pathlib.Path, columns: Mapping[str, str]) -> Iterator[Query]:
    names = {name: columns.get(name, name) for name in COLUMNS}
    others = sorted(set(columns) - set(COLUMNS))
    if others:
        raise ValueError(f"columns: expected names among {', '.join(COLUMNS)}, found {others[0]!r}")
    required = {names["query"], *columns.values()}
    unseen = set(columns.values())
    for row in files.read(path, required, set(names.values()) - required):
        unseen -= {name for name in unseen if row.has(name)}
        if not row.has(names["query"]):
            files.drop("records without a query")
            continue
        id_ = row.id(names["query_id"]) if row.has(names["query_id"]) else f"{path.stem}-{row.number}"
        task, metric = (row.text_or_empty(names[name]) for name in ("task_id", "metric"))
        reference, choices = _with_letter(row, _cell(row, names["reference"]), names["choices"])
        yield Query(id_, row.text(names["query"]), task, reference, metric, _reference(choices, single=False))
    if unseen:
        raise ValueError(
            f"table {path.name}, column {min(unseen)}: expected this column in some record, found it in none"
        )


def _llmrouter(files: FileSet, path: pathlib.Path, _) -> Iterator[Query]:
    for row in files.read(path, ("task_name", "query", "metric"), ("ground_truth", "choices", "task_id")):
        if not row.has("query") or not row.has("ground_truth"):
            files.drop("records without a query or a ground truth")
            continue
        reference, choices = _with_letter(row, _cell(row, "ground_truth"), "choices")
        options = [f"{letter}. {text}" for letter, text in zip("ABCDEFGHIJ", choices, strict=False)]
        text = "\n".join([row.text("query"), *([""] if options else []), *options])
        id_, task = f"{path.stem}-{row.number}", row.text_or_empty("task_name")
        yield Query(id_, text, task, reference, row.text_or_empty("metric"), _reference(choices, single=False))


def _with_letter(row: Record, reference: str, column: str) -> tuple[str, list[str]]:
    """The reference, a label of an option as its letter, and the options in the column, none for an empty cell."""
    cell = row.cells.get(column)
    if cell is None or cell == "":
        return reference, []
    try:
        labels, choices = parse_choices(cell)
    except ValueError as error:
        raise row.error(column, str(error).removeprefix("expected ").partition(", found")[0], cell) from None
    return letter_of(reference, labels), choices


def _cell(row: Record, column: str) -> str:
    """The texts of a cell with a text, a number or a list of texts, in the form of `_reference`."""
    cell = row.cells.get(column)
    if type(cell) is float:
        return "" if np.isnan(row.float(column)) else repr(cell)
    if isinstance(cell, list):
        return _reference([Record(row.file, row.number, {column: text}).text(column) for text in cell])
    return _reference([row.id(column)]) if row.has(column) else ""


def _reference(texts: list[str], single: bool = True) -> str:
    """One text as it is, if `single`; several distinct texts, or one that starts with "[", as a JSON list."""
    distinct = list(dict.fromkeys(texts)) if single else texts
    if len(distinct) > 1 or any(text.startswith("[") or not single for text in distinct):
        return json.dumps(distinct, ensure_ascii=False)
    return "".join(distinct)


FORMATS: dict[str, Callable[[FileSet, pathlib.Path, Mapping[str, str]], Iterator[Query]]] = {  # by name
    "alpaca": _alpaca,
    "gsm8k": _gsm8k,
    "squad": _squad,
    "multi_news": _multi_news,
    "llmrouter": _llmrouter,
    "columns": _columns,
}
