"""Doors of commands that ask LLMs: what servers answer, journals, pools, queries, collected answers."""

import json
import math
import pathlib

from faults.door import FEW, Door, number, one_of, only_file, strict_json, text, write_one
from faults.grammar import Rng, cell, damaged, json_text, pick, rows, write_table
from fuzz_mutations import mutate_bytes
from judge_server import Act, JudgeServer

from prouter_jax.llm.answers import ANSWERS, Answer, read_queries
from prouter_jax.llm.collect import collect
from prouter_jax.llm.grading import CollectedOutcomes
from prouter_jax.llm.journal import read_journal
from prouter_jax.llm.pool import read_llms

_ASKED = {"query": text, "query_id": one_of(FEW.queries), "task_id": one_of(["t"]), "reference": text}
_ASKED |= {"metric": one_of(["exact_match", "token_f1"]), "choices": one_of([["a", "b"]])}
_METRICS = ("exact_match", "token_f1", "number_at_end", "multiple_choice", "os:system", "faults.canary:run", "", None)


def doors_of_llms(server: JudgeServer) -> dict[str, Door]:
    """The doors by name; `server` answers what `collect` asks."""

    def ask(rng: Rng, folder: pathlib.Path) -> None:
        server.decide = lambda messages, number: _reply(rng)
        llm = {"model": "m", "base_url": server.url, "input_price": 1.0, "output_price": 1.0}
        llm |= {"attempts": 2, "backoff": 0.001, "timeout": 10.0}
        (folder / "llms.json").write_text(json.dumps({"a": llm}))
        (folder / "queries.jsonl").write_text('{"query": "Why?"}\n{"query": "How?"}\n')
        summary = collect(read_queries(folder / "queries.jsonl"), read_llms(folder / "llms.json"), folder / "out", 0, 1)
        assert math.isfinite(summary.spent)
        for path in (folder / "out").glob("*.jsonl"):
            list(map(strict_json, path.read_text(encoding="utf-8").split("\n")[:-1]))
        summary.raise_errors()

    return {
        "collect": Door(lambda rng, folder: None, ask),
        "journal": Door(_write_journal, _read_journal),
        "pool": Door(_write_pool, _read_pool),
        "queries": Door(lambda rng, folder: write_one(rng, folder, _ASKED, ("query",)), _read_queries),
        "grades": Door(_write_answers, _read_grades),
    }


def _reply(rng: Rng) -> Act:
    """The reply of a server: sound JSON with odd values in places, or something else."""
    odd = pick(rng, (0.0, 0.2))
    message = {"role": "assistant", "content": cell(rng, text, odd)}
    choice = {"index": 0, "message": cell(rng, lambda _: message, odd), "finish_reason": cell(rng, text, odd)}
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    usage = {name: cell(rng, one_of([3, 5]), odd) for name in counts}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": cell(rng, text, odd)}
    body |= {"choices": cell(rng, lambda _: [choice], odd), "usage": cell(rng, lambda _: usage, odd)}
    content = json_text(rng, body, pick(rng, (0.0, 0.05))).encode("utf-8", "surrogatepass")
    headers = {"Retry-After": pick(rng, ("0", "-1", "nan", "x"))} if rng.random() < 0.2 else {}
    return Act(
        body=mutate_bytes(content, rng)[0] if rng.random() < 0.05 else content,
        status=pick(rng, (*[200] * 8, 400, 401, 404, 408, 429, 500, 302, 204)),
        headers=headers,
        content_type=pick(rng, (*["application/json"] * 5, "text/plain", "text/html; charset=utf-16")),
        drop=bool(rng.random() < 0.03),
    )


def _write_journal(rng: Rng, folder: pathlib.Path) -> None:
    fields = dict.fromkeys(("key", "llm", "query_id", "text", "finish_reason"), text)
    fields |= {"input_tokens": one_of([1]), "output_tokens": one_of([1]), "counted": one_of([True]), "cost": number}
    write_table(rng, folder / ANSWERS, rows(rng, fields, int(rng.integers(0, 6)), list(fields)))


def _read_journal(rng: Rng, folder: pathlib.Path) -> None:
    for record in read_journal(folder / ANSWERS, Answer, "an answer").values():
        assert math.isfinite(record.cost), record
        assert isinstance(record.counted, bool), record


def _write_pool(rng: Rng, folder: pathlib.Path) -> None:
    odd = pick(rng, (0.0, 0.1))
    fields = {"model": text, "input_price": number, "output_price": number, "base_url": one_of(["http://localhost/v1"])}
    optional = {"timeout": one_of([1.0]), "attempts": one_of([2]), "system": text, "temperature": one_of([0.5, None])}
    pool = {}
    for name in ("a", "b"):
        chosen = fields | {field: value for field, value in optional.items() if rng.random() < 0.5}
        llm = {field: cell(rng, value, odd) for field, value in chosen.items()}
        pool[str(cell(rng, lambda _, name=name: name, odd))[:1000]] = cell(rng, lambda _, llm=llm: llm, odd / 4)
    content = json_text(rng, pool, pick(rng, (0.0, 0.02)))
    (folder / "llms.json").write_bytes(damaged(rng, content.encode("utf-8", "surrogatepass")))


def _read_pool(rng: Rng, folder: pathlib.Path) -> None:
    for llm in read_llms(folder / "llms.json"):
        assert math.isfinite(llm.max_cost(llm.messages("x"))), llm
        assert llm.keys(["x"]), llm


def _read_queries(rng: Rng, folder: pathlib.Path) -> None:
    queries = read_queries(only_file(folder))
    assert all(queries.texts)
    assert all(queries.ids)


def _write_answers(rng: Rng, folder: pathlib.Path) -> None:
    asked = rows(rng, _ASKED | {"metric": one_of(list(_METRICS))}, 3, list(_ASKED))
    write_table(rng, folder / "queries.parquet", [row | {"query_id": f"q{n}"} for n, row in enumerate(asked)])
    answers = {"effect": one_of([None]), "response": text, "cost": number}
    given = rows(rng, answers, 3, list(answers))
    outcomes = [row | {"query_id": f"q{n}", "llm": "a"} for n, row in enumerate(given)]
    write_table(rng, folder / "outcomes.parquet", outcomes)


def _read_grades(rng: Rng, folder: pathlib.Path) -> None:
    summary = CollectedOutcomes(folder).grade(None)
    assert all(0 <= grade <= 1 for grades in summary.grades.values() for grade in grades), summary
