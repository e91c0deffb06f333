"""AlpacaEval's results folder: answers and verdicts, joined by instruction."""

import os
import pathlib

import pytest
from public_facts import outcome_facts
from public_files import write_alpacaeval, write_json

from prouter_jax.data.public.alpacaeval import read_alpacaeval
from prouter_jax.data.tables.read_write import read_tables

WRAP = "How do I wrap a present\nneatly?"


def test_the_effect_is_the_probability_to_win(tmp_path):
    read = read_alpacaeval(write_alpacaeval(tmp_path / "results"))
    found = outcome_facts(read.data)
    assert found["q0000", "gpt4"] == ("Who is Larry Page?", "helpful_base", 0.0, None, None, None, "gpt4 on 0")
    assert found["q0001", "gpt4"] == (WRAP, "koala", 0.5, None, None, None, "gpt4 on 1")
    assert found["q0002", "gpt4"][2] == 1.0
    assert found["q0000", "alpaca-7b"][2] == 0.25
    assert ("q0001", "alpaca-7b") not in found
    assert len(found) == 8
    assert read.dropped == {"models without outputs or verdicts": 1, "answers without a verdict": 1}
    assert list(read.data.llms.ids) == ["alpaca-7b", "gpt4", "gpt4_1106_preview"]


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"expected MODEL/model_outputs.json and .* found none"):
        read_alpacaeval(tmp_path)
    folder = write_alpacaeval(tmp_path / "results")
    write_json(
        folder / "gpt4" / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json",
        [{"instruction": "x", "preference": 3}],
    )
    message = r"^folder gpt4, table annotations.json, column preference, row 0: expected a number in \[1, 2\], found 3"
    with pytest.raises(ValueError, match=message):
        read_alpacaeval(folder)


def test_outcomes_of_alpaca_route_are_those_of_the_public_folder(tmp_path):
    data = pathlib.Path(os.environ.get("PROUTER_DATA", "../shared/data")) / "alpaca_route"
    if not data.exists():
        pytest.skip(f"{data} is absent")
    known = read_tables(data)
    query, effect = {text: row for row, text in enumerate(known.queries.texts)}, outcome_facts(known)
    text = "What are the names of some famous actors that started their careers on Broadway?"
    # the first record of results/claude-2/weighted_alpaca_eval_gpt4_turbo/annotations.json
    write_json(
        tmp_path / "claude-2" / "model_outputs.json",
        [{"dataset": "helpful_base", "instruction": text, "output": "Here"}],
    )
    verdicts = [{"instruction": text, "preference": 1.0001195986}]
    write_json(tmp_path / "claude-2" / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json", verdicts)
    found = outcome_facts(read_alpacaeval(tmp_path).data)["q0000", "claude-2"]
    assert known.queries.ids[query[text]] == "q0000"
    assert found[:3] == effect["q0000", "claude-2"][:3]
