"""LLMRouterBench: a folder of runs, data set by data set and model by model."""

import json

import pytest
from public_facts import outcome_facts
from public_files import write_json, write_llmrouterbench

from prouter_jax.data.public.llmrouterbench import read_llmrouterbench

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
