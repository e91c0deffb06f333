"""RouterBench, converted from its pickle: a column of scores for each model."""

import pytest
from public_facts import outcome_facts
from public_files import ROUTERBENCH, routerbench_row
from table_files import write_rows

from prouter_jax.data.public.routerbench import read_routerbench

GPT, WIZARD = "gpt-4-1106-preview", "WizardLM/WizardLM-13B-V1.2"


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_scores_and_costs_are_outcomes(tmp_path, suffix):
    read = read_routerbench(write_rows(tmp_path / f"routerbench_0shot.{suffix}", ROUTERBENCH))
    texts = [row["prompt"] for row in ROUTERBENCH]
    assert outcome_facts(read.data) == {
        ("mmlu.0", GPT): (texts[0], "mmlu", 1.0, 0.01, None, None, f"['{GPT} 0']"),
        ("mmlu.0", WIZARD): (texts[0], "mmlu", 0.0, 0.0001, None, None, f"['{WIZARD} 0']"),
        ("mmlu.1", GPT): (texts[1], "mmlu", 0.25, 0.02, None, None, f"['{GPT} 1']"),
        ("mmlu.2", GPT): (texts[2], "mmlu", 0.5, 0.03, None, None, f"['{GPT} 2']"),
        ("mmlu.2", WIZARD): (texts[2], "mmlu", 1.0, 0.0002, None, None, f"['{WIZARD} 2']"),
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
