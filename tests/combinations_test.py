"""Every format, every way to have users and every split that docs/data.md names: it runs, or one line says why not.

Small made-up files in the published forms; the data is read, split and shown to a world, nothing is trained.
"""

import contextlib
import json

import numpy as np
import pytest
from public_files import arena_vote, embedllm_row, gmtrouter_row, prism_answer, routerbench_row, write_json
from table_files import write_rows

from prouter_jax.config import SPLITS, ExperimentConfig, validate
from prouter_jax.dataset import prepare_dataset, read_source

LLMS, USERS, QUERIES = ("a", "b", "c"), 20, 40
RNG = np.random.default_rng(0)
EFFECT = RNG.random((QUERIES, len(LLMS))).round(3)
ASKED = [(user, query) for user in range(USERS) for query in range(QUERIES) if (user + query) % 3]


def _text(query):
    return f"What is {query} in set {query % 4}?"


def _answer(query, llm):
    return f"{llm} says {query}, " * (1 + (query + ord(llm)) % 5)


def _pairs():
    for user, query in ASKED:
        first, second = RNG.permutation(len(LLMS))[:2]
        yield user, query, LLMS[first], LLMS[second], EFFECT[query, first] > EFFECT[query, second]


def _personaroute(folder):
    rows = [
        {
            "user_id": user,
            "performance_preference": 0.25 + user / 40,
            "task_id": f"t{query % 4}",
            "query": _text(query),
            "query_embedding": f"[[{query} 1.]]",
            "effect": EFFECT[query, place],
            "cost": 0.1 * (place + 1),
            "llm": llm,
            "task_description": f"About t{query % 4}",
            "task_description_embedding": "[[1. 0.]]",
            "response": _answer(query, llm),
            "best_llm": LLMS[(user + query) % 3],
        }
        for user in range(USERS)
        for query in range(QUERIES)
        for place, llm in enumerate(LLMS)
    ]
    return write_rows(folder / "router.csv", rows)


def _prism(folder):
    rows = [
        prism_answer(f"u{user}", 100 * user + query, 0, place, llm, 1 + int(90 * EFFECT[query, place]))
        for user, query in ASKED
        for place, llm in enumerate(LLMS)
    ]
    return write_rows(folder / "utterances.jsonl", rows)


def _arena(folder):
    rows = [
        arena_vote(query, a, b, "model_a" if better else "model_b", f"u{user}", tstamp=float(1000 + number))
        for number, (user, query, a, b, better) in enumerate(_pairs())
    ]
    return write_rows(folder / "votes.jsonl", rows)


def _gmtrouter(folder):
    rows = [
        gmtrouter_row(f"q{query}", 1, f"u{user}", llm, float(EFFECT[query, place]))
        for user, query in ASKED
        for place, llm in enumerate(LLMS)
    ]
    return write_rows(folder / "training_set.jsonl", rows)


def _chosen_rejected(folder):
    rows = [
        {"prompt": _text(query), "chosen": "yes", "rejected": "no", "annotator": f"u{user}"}
        | {"chosen_model": a if better else b, "rejected_model": b if better else a}
        for user, query, a, b, better in _pairs()
    ]
    return write_rows(folder / "train.jsonl", rows)


def _routerbench(folder):
    scores = [
        {llm: (EFFECT[query, place], 0.1 * (place + 1)) for place, llm in enumerate(LLMS)} for query in range(QUERIES)
    ]
    return write_rows(folder / "routerbench.parquet", [routerbench_row(n, row) for n, row in enumerate(scores)])


def _llmrouterbench(folder):
    for place, llm in enumerate(LLMS):
        records = [
            {"index": query, "origin_query": _text(query), "prediction": _answer(query, llm)}
            | {"score": float(EFFECT[query, place]), "cost": 0.1 * (place + 1) + query / 1000}
            for query in range(QUERIES)
        ]
        names = {"dataset_name": "set", "split": "test", "model_name": llm}
        write_json(folder / "set" / "test" / llm / "20250101_000000.json", names | {"records": records})
    return folder


def _embedllm(folder):
    rows = [
        embedllm_row(query, llm, int(EFFECT[query, place] > 0.5), f"t{query % 4}")
        for query in range(QUERIES)
        for place, llm in enumerate(LLMS)
    ]
    return write_rows(folder / "train.csv", rows)


def _alpacaeval(folder):
    for place, llm in enumerate(LLMS):
        outputs = [{"instruction": _text(query), "output": _answer(query, llm)} for query in range(QUERIES)]
        verdicts = [
            {"instruction": _text(query), "preference": 1 + float(EFFECT[query, place])} for query in range(QUERIES)
        ]
        write_json(folder / llm / "model_outputs.json", outputs)
        write_json(folder / llm / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json", verdicts)
    return folder


def _llmrouter(folder):
    rows = [
        {"task_name": f"t{query % 4}", "query": _text(query), "model_name": llm, "response": _answer(query, llm)}
        | {"performance": float(EFFECT[query, place]), "input_tokens": 10, "output_tokens": 5 + query}
        for query in range(QUERIES)
        for place, llm in enumerate(LLMS)
    ]
    return write_rows(folder / "routing.jsonl", rows)


def _routeprofile(folder):
    pairs = [
        {"task_name": "t", "query": _text(query), "better_model": a if better else b, "worse_model": b if better else a}
        for _, query, a, b, better in _pairs()
    ]
    return write_json(folder / "pairs.json", {"pairwise_data": pairs})


def _tables(folder):
    write_rows(folder / "queries.csv", [{"query_id": f"q{n}", "query": _text(n)} for n in range(QUERIES)])
    write_rows(folder / "llms.csv", [{"llm": llm} for llm in LLMS])
    outcomes = [
        {"query_id": f"q{n}", "llm": llm, "effect": EFFECT[n, place], "cost": 0.1 * place, "response": _answer(n, llm)}
        for n in range(QUERIES)
        for place, llm in enumerate(LLMS)
    ]
    write_rows(folder / "outcomes.jsonl", outcomes)
    choices = [
        {"user_id": f"u{user}", "query_id": f"q{query}", "llm": LLMS[(user + query) % 3], "time": number}
        for number, (user, query) in enumerate(ASKED)
    ]
    write_rows(folder / "choices.parquet", choices)
    return folder


NO_USERS = "found none; config.data.users can simulate users"
NO_COSTS = "a column cost of outcomes would do"
NO_TEXTS = "expected"
# by format: what of recorded users, of users who weigh effect against cost, of judges; "" runs
FORMATS = {
    "personaroute": (_personaroute, "", "", ""),
    "prism": (_prism, "", NO_COSTS, ""),
    "arena": (_arena, "", NO_COSTS, ""),
    "gmtrouter": (_gmtrouter, "", NO_COSTS, ""),
    "chosen_rejected": (_chosen_rejected, "", NO_COSTS, ""),
    "routeprofile": (_routeprofile, "", NO_COSTS, NO_TEXTS),
    "routerbench": (_routerbench, NO_USERS, "", ""),
    "llmrouterbench": (_llmrouterbench, NO_USERS, "", ""),
    "embedllm": (_embedllm, NO_USERS, NO_COSTS, NO_TEXTS),
    "alpacaeval": (_alpacaeval, NO_USERS, NO_COSTS, ""),
    "alpacaeval with prices": (_alpacaeval, NO_USERS, "", ""),
    "llmrouter": (_llmrouter, NO_USERS, NO_COSTS, ""),
    "llmrouter with prices": (_llmrouter, NO_USERS, "", ""),
    "tables": (_tables, "", "", ""),
}
WAYS = ("recorded", "multi_cost_efficiency", "llm_as_judge")
TIMED = {"arena", "tables"}
ONE_USER = {"routeprofile"}


def _config(name, users, path):
    config = ExperimentConfig()
    data = config.data
    data.source, data.path, data.users = name.split(" ")[0], str(path), users
    data.num_users, data.encoder = USERS, "hash"
    if name.endswith("prices"):
        prices = {llm: {"input_price": 1.0, "output_price": 1.0 + place} for place, llm in enumerate(LLMS)}
        data.llms_path = str(path.parent / "prices.json")
        (path.parent / "prices.json").write_text(json.dumps(prices))
    return config


def _refused(run) -> str:
    """The message of a ValueError; "" if there is none."""
    with contextlib.suppress(ValueError):
        run()
        return ""
    with pytest.raises(ValueError, match="expected") as caught:
        run()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("users", WAYS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_with_users_in_every_split(tmp_path, name, users):
    (tmp_path / "data").mkdir()
    write, *expected = FORMATS[name]
    path = write(tmp_path / "data")
    config = _config(name, users, path)
    refused = expected[WAYS.index(users)]
    if refused:
        assert refused in _refused(lambda: read_source(validate(config).data))
        return
    source = read_source(validate(config).data)
    for split in SPLITS:
        config.data.split = split
        config.data.new_llms = "c" if split in ("cold_llm", "cold_user_llm") else ""
        if split == "time" and users != "recorded":
            assert "config.data.users: expected 'recorded' for split 'time'" in _refused(lambda: validate(config))
            continue
        message = _refused(lambda: _check_parts(source, validate(config).data))
        if split == "time" and name not in TIMED:
            assert "column time" in message
        elif "user" in split and users == "recorded" and name in ONE_USER:
            assert "expected decisions in every part" in message  # as an experiment checks before it trains
        else:
            assert not message, split


def _check_parts(source, data):
    dataset = prepare_dataset(source, data, 0)
    for part in ("train", "validation", "test"):
        labelled = dataset.labelled(part)
        if not len(labelled.rewards):
            raise ValueError(f"{data.split}: expected decisions in every part, found none in {part}")
        assert np.isfinite(labelled.rewards).any(1).all()
