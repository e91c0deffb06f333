"""Texts that list LLMs, also LLMs whose names hold the marks between names."""

import pytest
from table_files import write_rows

from prouter_jax.data.tables.names import split_names
from prouter_jax.data.tables.read_write import read_tables

KNOWN = ("a", "b", "org/c", "x|y", "x", "d;e", "f, g")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ["a"]),
        (" a ", ["a"]),
        ("a|b", ["a", "b"]),
        ("a | b", ["a", "b"]),
        ("a;b", ["a", "b"]),
        ("a, b", ["a", "b"]),
        ("x|y", ["x|y"]),
        ("x|y|a", ["x|y", "a"]),
        ("a|x|y|b", ["a", "x|y", "b"]),
        ("d;e;a", ["d;e", "a"]),
        ("f, g|a", ["f, g", "a"]),
        ('["x|y", "a"]', ["x|y", "a"]),
        ("['a', 'org/c']", ["a", "org/c"]),
        ("[]", []),  # as an empty list of Parquet: none are given
    ],
)
def test_the_names_of_a_text(text, names):
    assert split_names(text, KNOWN) == names


@pytest.mark.parametrize("text", ["z", "a|z", "a b", '["z"]', "[1", "|", "a|", ""])
def test_texts_that_list_no_known_names(text):
    assert split_names(text, KNOWN) == ""


def test_a_text_with_two_readings_asks_for_a_list():
    found = split_names("p|q", ("p", "q", "p|q"))
    assert isinstance(found, str)
    assert found.startswith('names that can be split in one way (a JSON list, such as ["p", "q"]')


def test_a_long_text_takes_no_time():
    assert split_names("|".join(["a"] * 20_000), KNOWN) == ["a"] * 20_000
    assert isinstance(split_names("p|" * 2000 + "p", ("p", "p|p", "p|p|p")), str)


@pytest.mark.parametrize("cell", ["x|y;a", '["x|y", "a"]', "['a', 'x|y']", "a;x|y"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_candidates_in_a_table(tmp_path, cell, suffix):
    write_rows(tmp_path / "queries.csv", [{"query_id": "q", "query": "What?"}])
    write_rows(tmp_path / "llms.csv", [{"llm": name} for name in ("a", "b", "x|y")])
    rows = [{"user_id": "u", "query_id": "q", "llm": "x|y", "candidates": cell}]
    write_rows(tmp_path / f"choices{suffix}", rows)
    data = read_tables(tmp_path)
    assert data.llms.ids[data.offers[data.decisions.offer[0]]].tolist() == ["a", "x|y"]


def test_candidates_that_cannot_be_read_are_named(tmp_path):
    write_rows(tmp_path / "queries.csv", [{"query_id": "q", "query": "What?"}])
    write_rows(tmp_path / "llms.csv", [{"llm": name} for name in ("a", "b", "a|b")])
    rows = [{"user_id": cell, "query_id": "q", "llm": "a", "candidates": cell} for cell in ("a;b", "a|b")]
    write_rows(tmp_path / "choices.csv", rows)
    with pytest.raises(ValueError, match=r"column candidates, row 1: expected names that can be split in one way"):
        read_tables(tmp_path)
