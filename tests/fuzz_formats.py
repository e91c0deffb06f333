"""A small file of every format that the project reads, one record per line where possible, for mutation tests.

Each record is about one query, and data is compared query by query: a mutated record may change the data of its query
and nothing else.
"""

import ast
import collections
import copy
import dataclasses
import json
from collections.abc import Callable

import pyarrow.parquet as pq
from public_facts import decision_facts, outcome_facts
from public_files import arena_vote, embedllm_row, gmtrouter_row, prism_answer, routerbench_row
from table_files import write_rows

from prouter_jax.data.public.query_sets import write_query_set
from prouter_jax.data.public.registry import read_public
from prouter_jax.data.tables.read_write import read_tables

NUMBERS = [111 * n for n in range(1, 7)]  # of queries: a touched digit does not make one another


@dataclasses.dataclass(frozen=True)
class Format:
    """How a format is written and read.

    Attributes:
      records: of the file that is mutated.
      write: (folder, records) -> the file that has these records, and beside it whatever else is needed.
      read: function from a file to its data by query.
      query: record -> the text of its query, as `read` has it.
      first: lines before that of the first record.
    """

    records: list[dict]
    write: Callable
    read: Callable
    query: Callable
    first: int = 0


def by_query(data):
    """The content of an `Interactions` by query text, independent of row numbers and order."""
    found = collections.defaultdict(list)
    for (_, llm), (text, *facts) in outcome_facts(data).items():
        found[text].append(repr(("outcome", llm, facts)))
    for user, _, text, *facts, values in decision_facts(data):
        found[text].append(repr(("decision", user, facts, sorted(values.items()))))
    return {text: sorted(facts) for text, facts in found.items()}


def lines(name, before="", between="", after=""):
    """Writes a file with a JSON object on each line."""

    def write(folder, records):
        text = f"{between}\n".join(json.dumps(record) for record in records)
        (folder / name).write_text(f"{before}{text}\n{after}")
        return folder / name

    return write


def table(name):
    def write(folder, records):
        return write_rows(folder / name, records)

    return write


def public(name, up=0):
    """Reads the file itself, or the folder that many steps above it."""

    def read(path):
        for _ in range(up):
            path = path.parent
        return by_query(read_public(name, path).data)

    return read


def queries(name):
    def read(path):
        out = path.with_name("out.parquet")
        try:
            write_query_set(name, path, out)
            rows = pq.read_table(out).to_pylist()
        except ValueError:
            assert not out.exists()
            raise
        return {row["query"]: [row["task_id"], row["reference"], row["metric"]] for row in rows}

    return read


def in_folder(folder_name, write, beside=None):
    """Writes into a folder some steps down, and something beside it."""

    def write_there(folder, records):
        inner = folder / folder_name
        inner.mkdir(parents=True, exist_ok=True)
        if beside is not None:
            beside(inner)
        return write(inner, records)

    return write_there


def _alpacaeval_verdicts(folder):
    verdicts = [{"instruction": f"Query {n}?", "preference": 1 + n / 1000} for n in NUMBERS]
    (folder / "weighted_alpaca_eval_gpt4_turbo").mkdir(exist_ok=True)
    (folder / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json").write_text(json.dumps(verdicts))


def _llms_file(folder, records):
    """PersonaRoute-Bench's JSON of LLMs, one a line."""
    rows = ",\n".join(f"{json.dumps(str(record.pop('llm', '')))}: {json.dumps(record)}" for record in records)
    (folder / "llms.json").write_text(f"{{\n{rows}\n}}\n")
    return folder / "llms.json"


def _read_llms(path):
    llms = read_public("personaroute", path.with_name("router.csv"), path).data.llms
    columns = (llms.descriptions, llms.input_price, llms.output_price)
    return {name: [repr(column[row]) for column in columns] for row, name in enumerate(llms.ids)}


def _tables(folder):
    (folder / "queries.csv").write_text("query_id,query\n" + "".join(f"q{n},Query {n}?\n" for n in NUMBERS))
    (folder / "llms.jsonl").write_text("".join(f'{{"llm": "{llm}"}}\n' for llm in "abc"))


def _personaroute(n, user, llm):
    return {
        "user_id": user,
        "performance_preference": 0.5,
        "task_id": "math",
        "query": f"Query {n}?",
        "query_embedding": f"[[0.5 -1. 2e-{n}]]",
        "effect": 0.25 if llm == "a" else 0.75,
        "cost": 0.1,
        "ground_truth": 'so, "what"',
        "metric": "f1",
        "llm": llm,
        "task_description": "Sums, sums",
        "task_description_embedding": "[[1. 0.]]",
        "response": f'{llm} says "{n}", loudly',
        "reward": 0.1,
        "best_llm": llm if user == llm else ("b" if llm == "a" else "a"),
    }


_RATINGS = [
    {"user_id": u, "query_id": f"q{n}", "llm": llm, "rating": n + 0.5, "time": n, "candidates": "a|b|c"}
    for u in "uv"
    for n in NUMBERS
    for llm in "ab"
]
_SQUAD = [
    {
        "id": f"id{n}",
        "title": "T",
        "context": f"Context {n}.",
        "question": f"What {n}?",
        "answers": {"text": [f"x{n}", f"y{n}"], "answer_start": [1, 2]},
    }
    for n in NUMBERS
]
_ARTICLES = [
    {
        "title": "T",
        "paragraphs": [
            {
                "context": row["context"],
                "qas": [{"id": row["id"], "question": row["question"], "answers": [{"text": "x"}]}],
            }
        ],
    }
    for row in _SQUAD
]


def _ratings(folder):
    write_rows(folder / "ratings.csv", _RATINGS)
    (folder / "llms.jsonl").write_text("".join(f'{{"llm": "{llm}"}}\n' for llm in "abc"))


def _field(name):
    return lambda record: record[name]


def _one_query(folder):
    rows = [_personaroute(1, "a", llm) | {"llm": f"llm{n}"} for n, llm in ((111, "a"), (222, "b"))]
    write_rows(folder / "router.csv", [row | {"best_llm": "llm111"} for row in rows])


def _prompt(record):
    """The text of RouterBench's list of texts."""
    return "\n".join(ast.literal_eval(record["prompt"]))


def _query_of_id(record):
    return f"Query {record['query_id'][1:]}?"


FORMATS = {
    "personaroute": Format(
        [_personaroute(n, "a", llm) for n in NUMBERS for llm in "ab"],
        table("router.csv"),
        public("personaroute"),
        _field("query"),
        1,
    ),
    "personaroute_llms": Format(
        [
            {"llm": f"llm{n}", "feature": f"Good {n}", "input_price": n, "output_price": 0.5, "model": "x"}
            for n in NUMBERS
        ],
        in_folder("p", lambda folder, records: _llms_file(folder, copy.deepcopy(records)), _one_query),
        _read_llms,
        _field("llm"),
        1,
    ),
    "prism": Format(
        [prism_answer(f"u{n % 2}", n, 0, k, f"llm{k}", 10 + n % 7 + k) for n in NUMBERS for k in range(3)],
        lines("utterances.jsonl"),
        public("prism"),
        _field("user_prompt"),
    ),
    "arena": Format(
        [arena_vote(n, "a", "b", "model_a", f"judge{k}") for n in NUMBERS for k in range(2)],
        lines("votes.jsonl"),
        public("arena"),
        lambda vote: vote["conversation_a"][0]["content"],
    ),
    "arena_parquet": Format(
        [arena_vote(n, "a", "b", "tie", f"judge{k}") for n in NUMBERS for k in range(2)],
        table("votes.parquet"),
        public("arena"),
        lambda vote: vote["conversation_a"][0]["content"],
    ),
    "routerbench": Format(
        [routerbench_row(n, {"a": (0.5, 0.1 + n), "b": (1.0, 0.2)}) for n in NUMBERS],
        table("routerbench.csv"),
        public("routerbench"),
        _prompt,
        1,
    ),
    "routerbench_parquet": Format(
        [routerbench_row(n, {"a": (0.5, 0.1 + n), "b": (1.0, 0.2)}) for n in NUMBERS],
        table("routerbench.parquet"),
        public("routerbench"),
        _prompt,
    ),
    "llmrouterbench": Format(
        [
            {
                "index": n,
                "origin_query": f"Query {n}?",
                "prediction": "x",
                "score": 0.5,
                "prompt_tokens": n,
                "cost": 0.1,
            }
            for n in NUMBERS
        ],
        in_folder("aime/test/a", lines("2.json", '{"performance": [0.1],\n"records": [\n', ",", '],\n"counts": 6}')),
        public("llmrouterbench", 4),
        _field("origin_query"),
        2,
    ),
    "embedllm": Format(
        [embedllm_row(n, llm, n % 2, text=f'Query "{n}", A. or B?') for n in NUMBERS for llm in "ab"],
        table("train.csv"),
        public("embedllm"),
        _field("prompt"),
        1,
    ),
    "alpacaeval": Format(
        [{"dataset": "koala", "instruction": f"Query {n}?", "output": f"So {n}", "generator": "a"} for n in NUMBERS],
        in_folder("a", lines("model_outputs.json", "[\n", ",", "]"), _alpacaeval_verdicts),
        public("alpacaeval", 2),
        _field("instruction"),
        1,
    ),
    "gmtrouter": Format(
        [gmtrouter_row(f"q{n}", 1, "judge", llm, 0.5, 1.0) for n in NUMBERS for llm in "ab"],
        lines("training_set.jsonl"),
        public("gmtrouter"),
        lambda row: row["conversation"][0]["query"],
    ),
    "llmrouter": Format(
        [
            {"task_name": "t", "query": f"Query {n}?", "model_name": llm, "performance": 0.5, "output_tokens": n}
            for n in NUMBERS
            for llm in "ab"
        ],
        lines("routing.jsonl"),
        public("llmrouter"),
        _field("query"),
    ),
    "routeprofile": Format(
        [
            {"query": f"Query {n}?", "task_name": "t", "better_model": llm, "worse_model": "c"}
            for n in NUMBERS
            for llm in "ab"
        ],
        lines("pairs.json", '{"pairwise_data": [\n', ",", "]}"),
        public("routeprofile"),
        _field("query"),
        1,
    ),
    "arena_55k": Format(
        [
            {"id": n, "model_a": "a", "model_b": "b", "prompt": json.dumps([f"Query {n}?"])}
            | {"response_a": '["x"]', "response_b": '["y"]'}
            | {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}
            for n in NUMBERS
        ],
        table("train.csv"),
        public("arena"),
        lambda row: json.loads(row["prompt"])[0],
        1,
    ),
    "chosen_rejected": Format(
        [
            {"prompt": f"Query {n}?", "chosen": "x", "rejected": "y", "chosen_model": "a", "rejected_model": "b"}
            for n in NUMBERS
        ],
        table("train.csv"),
        public("chosen_rejected"),
        _field("prompt"),
        1,
    ),
    "tables_json": Format(
        _RATINGS,
        in_folder("t", lines("ratings.json", "[\n", ",", "]"), _tables),
        lambda p: by_query(read_tables(p.parent)),
        _query_of_id,
        1,
    ),
    "tables_csv": Format(
        _RATINGS,
        in_folder("t", table("ratings.csv"), _tables),
        lambda p: by_query(read_tables(p.parent)),
        _query_of_id,
        1,
    ),
    "tables_queries": Format(
        [{"query_id": f"q{n}", "query": f"Query {n}?", "task_id": "t"} for n in NUMBERS],
        in_folder("t", lines("queries.jsonl"), _ratings),
        lambda p: by_query(read_tables(p.parent)),
        _field("query"),
    ),
    "tables_jsonl": Format(
        _RATINGS,
        in_folder("t", lines("ratings.jsonl"), _tables),
        lambda p: by_query(read_tables(p.parent)),
        _query_of_id,
    ),
    "tables_parquet": Format(
        _RATINGS,
        in_folder("t", table("ratings.parquet"), _tables),
        lambda p: by_query(read_tables(p.parent)),
        _query_of_id,
    ),
    "alpaca": Format(
        [{"instruction": f"Do {n}", "input": "", "output": f"Done {n}"} for n in NUMBERS],
        lines("alpaca.json", "[\n", ",", "]"),
        queries("alpaca"),
        _field("instruction"),
        1,
    ),
    "gsm8k": Format(
        [{"question": f"How many {n}?", "answer": f"Well\n#### {n}"} for n in NUMBERS],
        lines("train.jsonl"),
        queries("gsm8k"),
        _field("question"),
    ),
    "squad": Format(
        _ARTICLES,
        lines("train-v1.1.json", '{"version": "1.1", "data": [\n', ",", "]}"),
        queries("squad"),
        lambda article: f"{article['paragraphs'][0]['context']}\n\n{article['paragraphs'][0]['qas'][0]['question']}",
        1,
    ),
    "squad_parquet": Format(
        _SQUAD, table("squad.parquet"), queries("squad"), lambda row: f"{row['context']}\n\n{row['question']}"
    ),
    "multi_news": Format(
        [{"document": f"One {n}. ||||| Two {n}.", "summary": f"Sum {n}"} for n in NUMBERS],
        lines("train.jsonl"),
        queries("multi_news"),
        lambda row: "\n\n".join(["Summarise these news reports in one text.", *row["document"].split(" ||||| ")]),
    ),
    "columns": Format(
        [{"query_id": f"q{n}", "query": f"What, {n}?", "reference": f"x{n}", "metric": "exact_match"} for n in NUMBERS],
        table("mine.csv"),
        queries("columns"),
        _field("query"),
        1,
    ),
}
