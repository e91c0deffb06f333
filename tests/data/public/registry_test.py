"""Public data sets by format name, and their conversion to folders of tables."""

import hashlib
import json

import pytest
from fuzz_formats import FORMATS as FORMATS_FOR_FUZZ
from public_facts import decision_facts, outcome_facts
from public_files import PRISM, write_alpacaeval, write_llmrouterbench
from table_files import write_rows

from prouter_jax.config import PUBLIC, Data
from prouter_jax.data.public.registry import FORMATS, convert, read_public
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.dataset import read_interactions
from prouter_jax.io.files import write_whole
from prouter_jax.io.locks import lock_folder
from prouter_jax.io.paths import files_below


def test_every_source_of_the_configuration_has_a_reader():
    assert tuple(FORMATS) == PUBLIC


def test_tables_hold_the_data_of_the_files(tmp_path):
    path = write_rows(tmp_path / "utterances.jsonl", PRISM)
    summary = convert("prism", path, tmp_path / "out")
    data, found = read_public("prism", path).data, read_tables(tmp_path / "out")
    assert decision_facts(found) == decision_facts(data)
    assert outcome_facts(found) == outcome_facts(data)
    assert json.loads((tmp_path / "out" / "conversion.json").read_text()) == summary
    assert summary["files"] == {"utterances.jsonl": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert summary["records"] == 10
    assert summary["dropped"]["answers without a score"] == 1
    assert summary["written"] == {"users": 2, "tasks": 1, "queries": 2, "LLMs": 3, "outcomes": 5, "decisions": 2}


def test_a_second_conversion_replaces_no_tables_of_other_data(tmp_path):
    out, path = tmp_path / "out", write_rows(tmp_path / "utterances.jsonl", PRISM)
    convert("prism", path, out)
    before = {name: (out / name).read_bytes() for name in files_below(out)}
    convert("prism", path, out)  # the same again may be repeated
    write_rows(path, PRISM[:-1])
    with pytest.raises(ValueError, match=r"out: expected a folder without tables of other data, found"):
        convert("prism", path, out)
    with lock_folder(tmp_path / "busy"), pytest.raises(ValueError, match="busy: expected no other command"):
        convert("prism", path, tmp_path / "busy")
    assert {name: (out / name).read_bytes() for name in files_below(out)} == before


def test_files_of_a_folder_have_relative_names(tmp_path):
    summary = convert("alpacaeval", write_alpacaeval(tmp_path / "results"), tmp_path / "out")
    assert len(summary["files"]) == 6
    assert "gpt4/model_outputs.json" in summary["files"]


def test_the_file_of_llms_is_one_of_the_files(tmp_path):
    path = FORMATS_FOR_FUZZ["personaroute"].write(tmp_path, FORMATS_FOR_FUZZ["personaroute"].records)
    (tmp_path / "llms.json").write_text('{"a": {"input_price": 1.5}, "b": {}}')
    summary = convert("personaroute", path, tmp_path / "out", tmp_path / "llms.json")
    assert list(summary["files"]) == ["router.csv", "llms.json"]
    assert list(read_tables(tmp_path / "out").llms.input_price)[:1] == [1.5]


@pytest.mark.parametrize(
    ("name", "write"), [("alpacaeval", write_alpacaeval), ("llmrouterbench", write_llmrouterbench)]
)
def test_folders_in_a_bucket_are_read_and_written(tmp_path, bucket, name, write):
    folder = write(tmp_path / "results")
    for file in files_below(folder):
        write_whole(f"{bucket}/results/{file}", (folder / file).read_bytes())
    summary = convert(name, f"{bucket}/results", f"{bucket}/out")
    assert summary == convert(name, folder, tmp_path / "out")
    assert outcome_facts(read_tables(f"{bucket}/out")) == outcome_facts(read_tables(tmp_path / "out"))


def test_a_bad_file_leaves_nothing(tmp_path):
    path = write_rows(tmp_path / "utterances.jsonl", [*PRISM, {"turn": "?"}])
    with pytest.raises(ValueError, match=r"column turn, row 10"):
        convert("prism", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_public_file_is_a_source_of_training(tmp_path, capsys):
    path = write_rows(tmp_path / "utterances.jsonl", PRISM)
    data = read_interactions(Data(source="prism", path=str(path)))
    assert decision_facts(data) == decision_facts(read_public("prism", path).data)
    assert "prism: of 10 records dropped: 2 answers after the opening turn" in capsys.readouterr().err
