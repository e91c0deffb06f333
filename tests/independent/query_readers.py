"""A simple reader of each query set, from the table in prouter_jax/data/public/query_sets.py, for comparison."""

import json

from independent.cells import Refused, has, name, needed_text, number, objects, raw_rows, text


def alpaca(path):
    for place, row in enumerate(raw_rows(path)):
        query = "\n\n".join(filter(None, (needed_text(row, "instruction"), text(row, "input"))))
        yield f"alpaca-{place}", query, "alpaca", _reference([text(row, "output")]), "judge"


def gsm8k(path):
    for place, row in enumerate(raw_rows(path)):
        answer = needed_text(row, "answer").rpartition("####")[2].strip()
        if answer and "####" in row["answer"]:
            yield f"gsm8k-{place}", needed_text(row, "question"), "gsm8k", answer, "number_at_end"


def squad(path):
    if path.suffix == ".json":
        articles = raw_rows(path, array="data")
        found = [
            question | {"context": paragraph.get("context")}
            for article in articles
            for paragraph in objects(article, "paragraphs")
            for question in objects(paragraph, "qas")
        ]
    else:
        found = [row | {"answers": _as_objects(row)} for row in raw_rows(path, ("answers",))]
    for row in found:
        answers = [needed_text(answer, "text") for answer in objects(row, "answers")]
        if answers:
            query = f"{needed_text(row, 'context')}\n\n{needed_text(row, 'question')}"
            yield name(row, "id"), query, "squad", _reference(answers), "token_f1"


def _as_objects(row):
    answers = row.get("answers")
    texts = answers.get("text") if isinstance(answers, dict) else None
    if not isinstance(texts, list):
        raise Refused("answers")
    return [{"text": one} for one in texts]


def multi_news(path):
    for place, row in enumerate(raw_rows(path)):
        documents = [one.strip() for one in text(row, "document").split("|||||") if one.strip()]
        if documents and has(row, "summary"):
            query = "\n\n".join(["Summarise these news reports in one text.", *documents])
            yield f"multi_news-{place}", query, "multi_news", _reference([text(row, "summary")]), "rouge_l"


def columns(path):
    for place, row in enumerate(raw_rows(path, ("query",))):
        if has(row, "query"):
            id_ = name(row, "query_id") if has(row, "query_id") else f"{path.stem}-{place}"
            yield id_, text(row, "query"), text(row, "task_id"), _cell(row, "reference"), text(row, "metric")


def _cell(row, column):
    cell = row.get(column)
    if type(cell) is float:
        return "" if number(row, column) is None else repr(cell)
    if isinstance(cell, list):
        return _reference([needed_text({column: one}, column) for one in cell])
    return _reference([name(row, column)]) if has(row, column) else ""


def _reference(texts):
    distinct = list(dict.fromkeys(texts))
    several = len(distinct) > 1 or any(one.startswith("[") for one in distinct)
    return json.dumps(distinct, ensure_ascii=False) if several else "".join(distinct)


QUERY_READERS = {
    "alpaca": alpaca,
    "gsm8k": gsm8k,
    "squad": squad,
    "squad_parquet": squad,
    "multi_news": multi_news,
    "columns": columns,
}


def read_queries(form, path):
    """The rows of a table of queries by id; the first of an id counts."""
    found = {}
    for id_, *rest in QUERY_READERS[form](path):
        found.setdefault(id_, tuple(rest))
    if not found:
        raise Refused("no queries")
    return found
