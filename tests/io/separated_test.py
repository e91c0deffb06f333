"""CSV with other separators than commas is read alike, and only where the header says so."""

import numpy as np
import pytest

from prouter_jax.data.tables.places import line_of
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.data.tables.removal import _kept_csv
from prouter_jax.io.separated import csv_reader


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_separator_is_that_of_the_header(mark):
    lines = [f"a{mark}b\r\n", f'1{mark}"x{mark}y"\r\n', f"2{mark}z\n"]
    assert list(csv_reader(lines)) == [["a", "b"], ["1", f"x{mark}y"], ["2", "z"]]


def test_a_comma_in_the_header_is_the_separator():
    assert list(csv_reader(["a;b,c\n", "1;2,3\n"])) == [["a;b", "c"], ["1;2", "3"]]
    assert list(csv_reader(["a\n", "1;2\n"])) == [["a"], ["1;2"]]
    assert list(csv_reader([])) == []


def test_a_folder_of_tables_with_semicolons(tmp_path):
    (tmp_path / "queries.csv").write_text("query_id;query\nq;What, and why?\n")
    (tmp_path / "llms.csv").write_text("llm\na\nb\n")
    (tmp_path / "choices.csv").write_text('user_id;query_id;llm;candidates\nu;q;a;"a;b"\nv;q;b;"a,b"\n')
    data = read_tables(tmp_path)
    assert data.queries.texts.tolist() == ["What, and why?"]
    assert data.offers[data.decisions.offer].all()
    assert data.users.ids.tolist() == ["u", "v"]
    assert line_of(tmp_path / "choices.csv", 1) == 3
    assert (
        _kept_csv(tmp_path / "choices.csv", np.array([False, True]))
        == b'user_id;query_id;llm;candidates\nv;q;b;"a,b"\n'
    )
