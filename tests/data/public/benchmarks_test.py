"""Benchmarks as published: AlpacaEval (answers and verdicts, joined by instruction), EmbedLLM (a row an answer),
LLMRouterBench (a folder of runs), and RouterBench (a column of scores for each model).
"""

import json
import os
import pathlib

import pytest
from public_facts import outcome_facts
from public_files import (
    EMBEDLLM,
    ROUTERBENCH,
    embedllm_row,
    routerbench_row,
    write_alpacaeval,
    write_json,
    write_llmrouterbench,
)
from table_files import write_rows

from prouter_jax.data.public.benchmarks import read_alpacaeval, read_embedllm, read_llmrouterbench, read_routerbench
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


QWEN, GLM = "Qwen3-8B", "GLM-Z1-9B-0414"


def test_the_newest_run_of_each_model_is_read(tmp_path):
    read = read_llmrouterbench(write_llmrouterbench(tmp_path / "results" / "bench"))
    assert outcome_facts(read.data) == {
        ("aime/test/1", GLM): ("aime 0?", "aime", 0.0, 0.0001, 15.0, 5.0, f"{GLM} 0"),
        ("aime/test/2", GLM): ("aime 1?", "aime", 0.5, 0.0001, 15.0, 6.0, f"{GLM} 1"),
        ("aime/test/1", QWEN): ("aime 0?", "aime", 1.0, 0.0001, 15.0, 5.0, f"{QWEN} 0"),
        ("aime/test/2", QWEN): ("aime 1?", "aime", 0.0, 0.0001, 15.0, 6.0, f"{QWEN} 1"),
        ("bbh/test/1", QWEN): ("bbh 0?", "bbh", 1.0, 0.0, 15.0, 5.0, f"{QWEN} 0"),
    }
    assert read.dropped == {"files of older runs of a model": 1, "scores that are missing or outside 0 to 1": 2}
    assert read.records == 7
    assert len(read.files) == 3


def _run(time, scores, **options):
    return {"dataset": "aime", "model": "GLM-Z1-9B-0414", "time": time, "scores": scores} | options


def test_demo_runs_are_skipped_however_new(tmp_path):
    folder = write_llmrouterbench(tmp_path, [_run("aime-test-20251231_000000", [1.0], demo=True)])
    read = read_llmrouterbench(folder)
    assert outcome_facts(read.data)["aime/test/1", GLM][2] == 0.0
    assert read.dropped["files of demo runs"] == 1
    assert read.dropped["files of older runs of a model"] == 1


def test_the_file_says_which_model_it_is_of(tmp_path):
    more = [_run("20251001_000000", [0.25], model=f"Qwen/{QWEN}", name=f"Qwen/{QWEN}")]
    more.append(more[0] | {"dataset": "gpqa"})
    read = read_llmrouterbench(write_llmrouterbench(tmp_path, more))
    found = outcome_facts(read.data)
    assert found["aime/test/1", f"Qwen/{QWEN}"][:3] == ("aime 0?", "aime", 0.25)
    assert found["gpqa/test/1", f"Qwen/{QWEN}"][1] == "gpqa"
    assert found["aime/test/1", QWEN][2] == 1.0


def test_a_run_without_a_time_is_the_oldest_and_its_path_names_it(tmp_path):
    more = [_run("result", [0.75], legacy=True), _run("result", [0.75], legacy=True, model="only")]
    found = outcome_facts(read_llmrouterbench(write_llmrouterbench(tmp_path, more)).data)
    assert found["aime/test/1", GLM][2] == 0.0
    assert found["aime/test/1", "only"][2] == 0.75


def test_demo_runs_alone_are_an_error(tmp_path):
    write_json(tmp_path / "aime" / "test" / QWEN / "1.json", {"demo": True, "records": []})
    with pytest.raises(ValueError, match="expected a run, found 1 demo runs"):
        read_llmrouterbench(tmp_path)


def test_models_must_agree_on_the_query(tmp_path):
    folder = write_llmrouterbench(tmp_path)
    path = folder / "aime" / "test" / QWEN / "20250902_120000.json"
    run = json.loads(path.read_text())
    run["records"][0]["origin_query"] = "Shuffled?"
    run["records"][1]["origin_query"] = ""
    run["records"][2] |= {"origin_query": [{"image": "x"}], "score": 1.0}
    write_json(path, run)
    read = read_llmrouterbench(folder)
    assert read.dropped["records with another query than other models have at their index"] == 1
    assert read.dropped["records without a query that is a text"] == 2
    assert ("aime/test/1", QWEN) not in outcome_facts(read.data)


def test_a_prediction_that_is_no_text_is_not_an_answer(tmp_path):
    folder = write_llmrouterbench(tmp_path)
    path = folder / "bbh" / "test" / QWEN / "20250901_140000.json"
    run = json.loads(path.read_text())
    run["records"][0]["prediction"] = 4
    write_json(path, run)
    assert outcome_facts(read_llmrouterbench(folder).data)["bbh/test/1", QWEN][-1] == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", r"table 2.json, row 0: expected an object, found '\['"),
        ("{}", "table 2.json, row 0: expected an array 'records', found none"),
        ('{"records": []}', "table 2.json: expected at least one row, found none"),
        ('{"records": [1]}', "table 2.json, row 0: expected a JSON object, found '1'"),
        ('{"records": [{"score": 1}, {"score": ', "table 2.json, row 1: expected readable JSON"),
        ('{"records": [{"index": 1, "origin_query": "Hi", "score": "x"}]}', "table 2.json, column score, row 0: "),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    path = tmp_path / "aime" / "test" / QWEN / "2.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^folder aime/test/{QWEN}, {message}"):
        read_llmrouterbench(tmp_path)


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"expected DATASET/SPLIT/MODEL/TIMESTAMP.json, found none"):
        read_llmrouterbench(tmp_path / "nowhere")


GPT, WIZARD = "gpt-4-1106-preview", "WizardLM/WizardLM-13B-V1.2"


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_scores_and_costs_are_outcomes(tmp_path, suffix):
    read = read_routerbench(write_rows(tmp_path / f"routerbench_0shot.{suffix}", ROUTERBENCH))
    texts = [f"Question {number}?\nA, B" for number in range(3)]
    assert outcome_facts(read.data) == {
        ("mmlu.0", GPT): (texts[0], "mmlu", 1.0, 0.01, None, None, f"{GPT} 0"),
        ("mmlu.0", WIZARD): (texts[0], "mmlu", 0.0, 0.0001, None, None, f"{WIZARD} 0"),
        ("mmlu.1", GPT): (texts[1], "mmlu", 0.25, 0.02, None, None, f"{GPT} 1"),
        ("mmlu.2", GPT): (texts[2], "mmlu", 0.5, 0.03, None, None, f"{GPT} 2"),
        ("mmlu.2", WIZARD): (texts[2], "mmlu", 1.0, 0.0002, None, None, f"{WIZARD} 2"),
    }
    assert not len(read.data.decisions.user)
    assert read.dropped == {"missing scores": 1}
    assert read.records == 3


def test_truth_values_are_scores(tmp_path):
    rows = [routerbench_row(0, {GPT: (True, 0.5)}), routerbench_row(1, {GPT: (False, 0.5)})]
    for name in ("a.csv", "a.parquet"):
        found = outcome_facts(read_routerbench(write_rows(tmp_path / name, rows)).data)
        assert [facts[2] for facts in found.values()] == [1.0, 0.0]


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "routerbench_0shot.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    with pytest.raises(ValueError, match=r"expected .csv or .parquet") as caught:
        read_routerbench(path)
    command = "pandas.read_pickle('routerbench_0shot.pkl').to_csv('routerbench_0shot.csv', index=False)"
    assert command in str(caught.value)
    assert "\n" not in str(caught.value)


def test_repeated_samples_are_dropped(tmp_path):
    again = [
        ROUTERBENCH[1] | {"prompt": None},
        ROUTERBENCH[0],
        routerbench_row(2, {GPT: (0.0, 1.0), WIZARD: (0.0, 1.0)}, prompt="Changed?"),
    ]
    read = read_routerbench(write_rows(tmp_path / "a.parquet", [*ROUTERBENCH, *again]))
    assert read.dropped["second answers of an LLM to a query"] == 2
    assert read.dropped["rows without a prompt"] == 1
    assert read.dropped["rows with another prompt than the sample's first"] == 1
    assert outcome_facts(read.data)["mmlu.2", GPT][2] == 0.5


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (GPT, 1.5, r"column gpt-4-1106-preview, row 1: expected a number in \[0, 1\], found 1.5"),
        (f"{GPT}|total_cost", -1.0, r"column gpt-4-1106-preview\|total_cost, row 1: expected a finite number >= 0"),
        ("sample_id", "", "column sample_id, row 1: expected an id, found ''"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, column, value, message):
    rows = [dict(row) for row in ROUTERBENCH]
    rows[1][column] = value
    with pytest.raises(ValueError, match=f"^table a.csv, {message}"):
        read_routerbench(write_rows(tmp_path / "a.csv", rows))


def test_columns_that_must_be_there_are_named(tmp_path):
    rows = [{name: cell for name, cell in row.items() if name != GPT} for row in ROUTERBENCH]
    with pytest.raises(ValueError, match=r"^table a.csv, column gpt-4-1106-preview: expected this column, found"):
        read_routerbench(write_rows(tmp_path / "a.csv", rows))
    rows = [{name: cell for name, cell in row.items() if name != f"{GPT}|total_cost"} for row in ROUTERBENCH]
    with pytest.raises(
        ValueError, match=r"^table a.csv, column gpt-4-1106-preview\|total_cost: expected this column, found"
    ):
        read_routerbench(write_rows(tmp_path / "a.csv", rows))
    rows = [{name: row[name] for name in ("sample_id", "prompt", "eval_name", GPT)} for row in ROUTERBENCH]
    with pytest.raises(ValueError, match=r"^table a.csv, column MODEL\|total_cost: expected this column"):
        read_routerbench(write_rows(tmp_path / "a.csv", rows))
