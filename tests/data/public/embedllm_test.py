"""EmbedLLM's CSV: a row an answer, right or wrong."""

import pytest
from public_facts import outcome_facts
from public_files import EMBEDLLM, embedllm_row
from table_files import write_rows

from prouter_jax.data.public.embedllm import read_embedllm

GUARD, GEMMA = "meta-llama/LlamaGuard-7b", "google/gemma-7b-it"


def test_labels_are_effects(tmp_path):
    read = read_embedllm(write_rows(tmp_path / "train.csv", EMBEDLLM))
    text = 'Question {}?\nA. yes, B. "no"'
    assert outcome_facts(read.data) == {
        ("0", GUARD): (text.format(0), "mmlu_anatomy", 1.0, None, None, None, None),
        ("0", GEMMA): (text.format(0), "mmlu_anatomy", 0.0, None, None, None, None),
        ("1", GEMMA): (text.format(1), "logiqa", 1.0, None, None, None, None),
    }
    assert read.dropped == {"rows without a label or a prompt": 1, "second answers of an LLM to a query": 1}


def test_another_prompt_under_the_same_id_is_dropped(tmp_path):
    read = read_embedllm(write_rows(tmp_path / "train.csv", [*EMBEDLLM, embedllm_row(0, "new", 1, text="Else?")]))
    assert read.dropped["rows with another prompt than the prompt_id's first"] == 1
    assert "new" not in read.data.llms.ids


def test_a_bad_label_is_named(tmp_path):
    rows = [*EMBEDLLM, embedllm_row(2, GEMMA, 2)]
    with pytest.raises(
        ValueError, match=r"^table train.csv, column label, row 5: expected a number in \[0, 1\], found 2"
    ):
        read_embedllm(write_rows(tmp_path / "train.csv", rows))
