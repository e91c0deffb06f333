"""Columns that nobody reads are told once, with the column that may be meant."""

import pytest
from table_files import write_rows

from prouter_jax.data.tables.schema import load_table
from prouter_jax.data.tables.table import missing_column

SCHEMA = {"query_id": "id", "effect": "number?", "cost": "number?"}
ROWS = [{"query_id": "q0", "efect": 1.0, "cost": 0.5}, {"query_id": "q1", "efect": 0.0, "note": "late"}]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_a_misspelt_column_is_told_once(tmp_path, capsys, suffix):
    path = write_rows(tmp_path / f"outcomes.{suffix}", ROWS)
    table = load_table(path, SCHEMA)
    load_table(path, SCHEMA)
    told = f"table outcomes.{suffix}: unknown columns are not read: efect (did you mean effect?), note\n"
    assert capsys.readouterr().err == told
    assert sorted(table.names) == ["cost", "efect", "note", "query_id"]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_known_columns_and_those_of_other_commands_are_not_told(tmp_path, capsys, suffix):
    path = write_rows(tmp_path / f"outcomes.{suffix}", ROWS)
    load_table(path, SCHEMA, ("efect", "note"))
    assert capsys.readouterr().err == ""


def test_a_column_that_is_there_is_not_suggested(tmp_path, capsys):
    load_table(write_rows(tmp_path / "a.csv", [{"query_id": "q0", "effect": 1, "effects": 1}]), SCHEMA)
    assert capsys.readouterr().err == "table a.csv: unknown columns are not read: effects\n"


def test_of_very_many_columns_the_first_are_named():
    names = [f"c{number}" for number in range(1020)]
    message = str(missing_column("a.csv", "query", names))
    assert message.startswith("table a.csv, column query: expected this column, found c0, c1, ")
    assert message.endswith(", c19, and 1,000 more")
    assert str(missing_column("a.csv", "query", [])).endswith("found none")
    assert str(missing_column("a.csv", "query", ["a\nb", "\udcff"])).endswith("found 'a\\nb', '\\udcff'")
