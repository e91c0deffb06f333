"""An error about a file says where it lies and on which line, as an editor counts."""

import pytest
from table_files import write_rows

from prouter_jax.data.public.registry import read_public
from prouter_jax.data.tables.places import errors_have_places, line_of
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.llm.answers import read_queries

CSV = 'a,b\n1,"two\nlines"\n\n2,x\n3,y\n'


@pytest.mark.parametrize(("row", "line"), [(0, 2), (1, 5), (2, 6), (3, 7), (4, None)])
def test_the_line_of_a_row(tmp_path, row, line):
    """A row of two lines and an empty line; the row after the last is where an unfinished one would begin."""
    (tmp_path / "a.csv").write_text(CSV)
    assert line_of(tmp_path / "a.csv", row) == line


@pytest.mark.parametrize(("row", "line"), [(0, 1), (1, 3), (2, None)])
def test_the_line_of_an_object(tmp_path, row, line):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n  \n{"a": 2}\n')
    assert line_of(tmp_path / "a.jsonl", row) == line


def _tables(folder, choices, suffix):
    write_rows(folder / "queries.csv", [{"query_id": "q", "query": "What?"}])
    write_rows(folder / "llms.csv", [{"llm": "a"}, {"llm": "b"}])
    return write_rows(folder / f"choices{suffix}", choices)


@pytest.mark.parametrize(
    ("suffix", "place"), [(".csv", "line 3"), (".jsonl", "line 2"), (".parquet", "row 2"), (".json", "element 2")]
)
def test_a_bad_cell_of_a_table_has_its_place(tmp_path, suffix, place):
    rows = [{"user_id": "u", "query_id": "q", "llm": llm} for llm in ("a", "z")]
    path = _tables(tmp_path, rows, suffix)
    with pytest.raises(ValueError, match=r"column llm, row 1: expected an llm") as caught:
        read_tables(tmp_path)
    assert str(caught.value).endswith(f"found 'z' ({place} of {path})")


def test_an_error_without_a_row_has_its_file(tmp_path):
    path = write_rows(tmp_path / "utterances.jsonl", [{"turn": 0, "score": 500}])
    with pytest.raises(ValueError, match="expected a number") as caught:
        read_public("prism", path)
    assert str(caught.value).endswith(f"(line 1 of {path})")
    (tmp_path / "q.csv").write_text("query\n")
    with pytest.raises(ValueError, match="expected at least one row") as caught:
        read_queries(tmp_path / "q.csv")
    assert str(caught.value).endswith(f"({tmp_path / 'q.csv'})")


def test_errors_of_files_of_one_name_need_their_folder(tmp_path):
    paths = []
    for name in "ab":
        (tmp_path / name).mkdir()
        paths.append(write_rows(tmp_path / name / "x.csv", [{"a": 1}]))
    for message, expected in (
        ("folder b, table x.csv, row 0: no", f" (line 2 of {paths[1]})"),
        ("table x.csv: no", ""),
    ):
        with pytest.raises(ValueError, match="no") as caught, errors_have_places(lambda: paths):
            raise ValueError(message)
        assert str(caught.value) == message + expected


def test_other_errors_stay_as_they_are(tmp_path):
    path = write_rows(tmp_path / "x.csv", [{"a": 1}])
    for message in ("something else", "table y.csv, row 3: no", f"{path}: no table x.csv, row 1"):
        with pytest.raises(ValueError, match=r"else|no") as caught, errors_have_places(lambda: [path]):
            raise ValueError(message)
        assert str(caught.value) == message
