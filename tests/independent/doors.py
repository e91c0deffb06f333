"""The readers that are compared: how a file is written, what the project finds in it, and what a simple reader does."""

import json

import pyarrow.parquet as pq
from fuzz_formats import FORMATS, NUMBERS, lines, table
from independent.door import Door
from independent.doors_of_inputs import INPUTS
from independent.facts import of_project
from independent.query_readers import QUERY_READERS, read_queries
from independent.readers import READERS

from prouter_jax.data.public.query_sets import write_query_set
from prouter_jax.data.public.registry import read_public

_UP = {"llmrouterbench": 4, "alpacaeval": 2}  # folders from the file to the path that is read


def _persona(number, persona):
    said = json.dumps([{"role": "user", "content": f"Query {number}?"}])
    pair = {"model_1": "a", "model_2": "b", "answer_1": f"a{number}", "answer_2": "b", "judge": 1 + number % 2}
    return {"task_name": "chat", "query": said, "persona_id": persona, "persona": "brief"} | pair


_PERSONAS = [_persona(number, persona) for number in NUMBERS for persona in ("p", "r")]
_FORMS = {
    name: (form.records, form.write, name.removesuffix("_parquet").removesuffix("_55k"))
    for name, form in FORMATS.items()
}
_FORMS |= {
    "personas": (_PERSONAS, lines("pairs.jsonl"), "llmrouter"),
    "personas_parquet": (_PERSONAS, table("pairs.parquet"), "llmrouter"),
    "llmrouter_parquet": (FORMATS["llmrouter"].records, table("routing.parquet"), "llmrouter"),
    "embedllm_parquet": (FORMATS["embedllm"].records, table("train.parquet"), "embedllm"),
    "chosen_jsonl": (FORMATS["chosen_rejected"].records, lines("train.jsonl"), "chosen_rejected"),
}
_SIMPLE = READERS | {
    "personas_parquet": READERS["personas"],
    "llmrouter_parquet": READERS["llmrouter"],
    "embedllm_parquet": READERS["embedllm"],
    "chosen_jsonl": READERS["chosen_rejected"],
}


def _public(form):
    records, write, name = _FORMS[form]

    def project(path):
        for _ in range(_UP.get(form, 0)):
            path = path.parent
        return of_project(read_public(name, path).data)

    return Door(records, write, project, lambda path: _SIMPLE[form](path).by_query())


def _queries(form):
    records, write, name = _FORMS[form]

    def project(path):
        out = path.with_name("out.parquet")
        write_query_set(name, path, out)
        return {
            row.pop("query_id"): tuple(row[c] for c in ("query", "task_id", "reference", "metric"))
            for row in pq.read_table(out).to_pylist()
        }

    return Door(records, write, project, lambda path: read_queries(form, path))


DOORS: dict[str, Door] = (
    {form: _public(form) for form in _SIMPLE} | {form: _queries(form) for form in QUERY_READERS} | INPUTS
)
