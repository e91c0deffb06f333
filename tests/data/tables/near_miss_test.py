"""Files beside good tables are read or named: other forms, shards, folders, nearly right names."""

import json

import pytest
from table_files import write_rows

from prouter_jax.data.tables.file_forms import data_files, file_format, table_files
from prouter_jax.data.tables.read_write import find_tables, read_tables

QUERIES = [{"query_id": f"q{n}", "query": f"What is {n}?"} for n in range(4)]
OUTCOMES = [{"query_id": f"q{n}", "llm": llm, "effect": n / 4} for n in range(4) for llm in "ab"]


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "queries.parquet", QUERIES)
    write_rows(tmp_path / "llms.jsonl", [{"llm": "a"}, {"llm": "b"}])
    return tmp_path


def _effects(folder):
    outcomes = read_tables(folder).outcomes
    return sorted(zip(outcomes.query.tolist(), outcomes.llm.tolist(), outcomes.effect.tolist(), strict=True))


EXPECTED = sorted((n, llm, n / 4) for n in range(4) for llm in range(2))


@pytest.mark.parametrize(
    "name",
    [
        "outcomes.csv.gz",
        "outcomes.jsonl.gz",
        "outcomes.json.gz",
        "outcomes.ndjson",
        "outcomes.json",
        "Outcomes.parquet",
        "OUTCOMES.CSV",
        "outcomes-00000-of-00001.parquet",
    ],
)
def test_other_forms_of_a_table_are_read(folder, name):
    plain = folder / f"plain{name.lower().removeprefix('outcomes')}"
    write_rows(plain, OUTCOMES).rename(folder / name)
    assert _effects(folder) == EXPECTED
    assert name in find_tables(folder)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl.gz"])
@pytest.mark.parametrize("place", ["outcomes-{:05}-of-00003{}", "outcomes/part-{}{}"])
def test_shards_are_one_table(folder, suffix, place):
    (folder / "outcomes").mkdir()
    for shard in range(3):
        write_rows(folder / place.format(shard, suffix), OUTCOMES[shard::3])
    assert _effects(folder) == EXPECTED


def test_an_error_in_a_shard_names_it_and_its_row(folder):
    write_rows(folder / "outcomes-00000-of-00002.csv", OUTCOMES[:3])
    write_rows(folder / "outcomes-00001-of-00002.csv", [OUTCOMES[3], OUTCOMES[4] | {"llm": "z"}])
    with pytest.raises(ValueError, match=r"outcomes-00001-of-00002.csv, column llm, row 1: expected an llm"):
        read_tables(folder)


def test_a_key_is_unique_over_all_shards(tmp_path):
    write_rows(tmp_path / "llms.csv", [{"llm": "a"}])
    for shard in range(2):
        write_rows(tmp_path / f"queries-{shard:03}-of-002.csv", QUERIES[:2])
    with pytest.raises(ValueError, match=r"queries-001-of-002.csv, column query_id, row 0: expected unique ids"):
        read_tables(tmp_path)


@pytest.mark.parametrize(
    "name", ["outcome.csv", "outcomes.xlsx", "Outcome.parquet", "outcomes.tsv", "outcomes.csv.zst", "outcmes.jsonl"]
)
def test_a_file_of_nearly_a_tables_name_is_refused_by_name(folder, name):
    (folder / name).write_text("query_id,llm\n")
    with pytest.raises(ValueError, match=f"{name}: expected outcomes as .csv.*found a file of nearly that name"):
        read_tables(folder)


@pytest.mark.parametrize("name", ["outcomes_v2.csv", "outcomes (1).csv", "outcome.csv", "users-old.jsonl"])
def test_a_copy_beside_its_table_is_named_and_not_read(folder, capsys, name):
    write_rows(folder / "outcomes.csv", OUTCOMES)
    (folder / name).write_text("x")
    assert _effects(folder) == EXPECTED
    assert f"{name}: not read, the table would be " in capsys.readouterr().err


def test_other_files_are_nobodys_business(folder, capsys):
    write_rows(folder / "outcomes.csv", OUTCOMES)
    for name in (
        "README.md",
        "conversion.json",
        "log.json",
        "answers.jsonl",
        "grades.jsonl",
        "notes.txt",
        ".hidden.csv",
        "a.csv",
    ):
        (folder / name).write_text("x")
    (folder / "llms.json").write_text(json.dumps({"a": {"model": "m"}}))  # the pool of `prouter collect`
    assert _effects(folder) == EXPECTED
    assert capsys.readouterr().err == ""


def test_two_forms_of_a_table_are_refused(folder):
    write_rows(folder / "outcomes.csv.gz", OUTCOMES)
    write_rows(folder / "outcomes.csv", OUTCOMES)
    with pytest.raises(ValueError, match=r"^table outcomes: expected one file, found outcomes.csv and"):
        read_tables(folder)


@pytest.mark.parametrize("content", [b"", b"not packed", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01"])
def test_a_damaged_packed_file_is_one_line(folder, content):
    (folder / "outcomes.csv.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"^table outcomes.csv.gz") as caught:
        read_tables(folder)
    assert "\n" not in str(caught.value)


def test_commas_and_brackets_in_names_are_names(tmp_path):
    inner = tmp_path / "a, b [c]"
    inner.mkdir()
    path = write_rows(inner / "x, y [1].csv", OUTCOMES)
    assert data_files(path) == [path]
    assert data_files(inner) == [path]


def test_the_files_of_a_data_set(tmp_path):
    shards = [write_rows(tmp_path / f"train-{n}.parquet", QUERIES) for n in (1, 0)][::-1]
    (tmp_path / "dataset_infos.json").write_text("{}")
    assert data_files(tmp_path) == shards
    assert data_files(tmp_path / "train-*.parquet") == shards
    with pytest.raises(ValueError, match="expected files, found none that fit it"):
        data_files(tmp_path / "test-*.parquet")
    with pytest.raises(ValueError, match="expected a file, found none"):
        data_files(tmp_path / "none.csv")


def test_a_folder_of_several_formats_asks_for_a_pattern(tmp_path):
    write_rows(tmp_path / "a.csv", QUERIES)
    write_rows(tmp_path / "a.jsonl", QUERIES)
    with pytest.raises(ValueError, match=r"expected files of one format, found .csv and .jsonl; name files by a path"):
        data_files(tmp_path)
    assert [path.name for path in data_files(tmp_path / "*.csv")] == ["a.csv"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.CSV", ".csv"), ("a.b.jsonl.GZ", ".jsonl"), ("a.gz", ""), ("a.parquet.gz", ""), ("a", ""), ("csv", "")],
)
def test_formats(tmp_path, name, expected):
    assert file_format(tmp_path / name) == expected


def test_folders_that_are_no_tables_are_left_alone(tmp_path):
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "notes.md").write_text("x")
    assert table_files(tmp_path, ("users",)) == {}


def _folder(tmp_path, queries, choices):
    write_rows(tmp_path / "queries.csv", queries)
    write_rows(tmp_path / "llms.csv", [{"llm": name} for name in "ab"])
    write_rows(tmp_path / "choices.csv", choices)
    return tmp_path


def test_ids_that_pandas_wrote_as_floats_are_those_of_the_other_tables(tmp_path):
    """A column of ids with a gap is float in pandas, and 7 becomes 7.0 in CSV."""
    queries = [{"query_id": number, "query": f"What is {number}?"} for number in (7, 8, "9.0")]
    choices = [{"user_id": "u", "query_id": query, "llm": "a"} for query in ("7.0", "8.0", "9.0")]
    data = read_tables(_folder(tmp_path, queries, choices))
    assert data.queries.ids[data.decisions.query].tolist() == ["7", "8", "9.0"]
    choices.append({"user_id": "u", "query_id": "7.1", "llm": "a"})
    with pytest.raises(ValueError, match=r"column query_id, row 3: expected a query_id of queries.csv, found '7.1'"):
        read_tables(_folder(tmp_path, queries, choices))


def test_a_json_object_in_place_of_a_table_is_named(tmp_path):
    folder = _folder(tmp_path, [{"query_id": "q", "query": "What?"}], [{"user_id": "u", "query_id": "q", "llm": "a"}])
    (folder / "llms.csv").unlink()
    (folder / "llms.json").write_text('{"a": {"input_price": 1}, "b": {}}')
    with pytest.raises(ValueError, match=r"found llms\.json with an object, in place of an array of them"):
        read_tables(folder)


def test_a_column_without_a_name_is_said_so(tmp_path, capsys):
    queries = [{"": 0, "query_id": "q", "query": "What?"}]
    read_tables(_folder(tmp_path, queries, [{"user_id": "u", "query_id": "q", "llm": "a"}]))
    assert "unknown columns are not read: a column without a name" in capsys.readouterr().err
