"""A user is taken out of table files; all other rows stay, in text files to the byte."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax.data.audit import IdSearch
from prouter_jax.data.tables.parquet import write_parquet
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.data.tables.removal import has_user, remove_user, remove_user_from_folder, tables_below
from prouter_jax.data.validation import validate

CSV = '\ufeffllm,user_id,query\r\na,anna,"first\nline, ""quoted"""\r\n\r\nb,"bert","x,y"\r\nc,anna,\r\nd,"annabel",last'


def _write(path, content):
    path.write_bytes(content.encode())
    return path


def test_rows_of_csv(tmp_path):
    path = _write(tmp_path / "choices.csv", CSV)
    assert has_user(path, "anna")
    assert remove_user(path, "anna") == 2
    assert path.read_bytes().decode() == '\ufeffllm,user_id,query\r\n\r\nb,"bert","x,y"\r\nd,"annabel",last'
    assert not has_user(path, "anna")
    assert remove_user(path, "anna") == 0


def test_rows_of_jsonl(tmp_path):
    lines = ['{"user_id": "an\\u006ea", "x": 1}', "", ' {"x": 2, "user_id":"7"} ', '{"user_id": 7}', '{"user_id": 71}']
    path = _write(tmp_path / "votes.jsonl", "\n".join(lines))
    assert remove_user(path, "anna") == 1
    assert path.read_text() == "\n".join(lines[1:])
    assert remove_user(path, "7") == 2
    assert path.read_text() == lines[4]


def test_rows_of_parquet_and_values_of_dictionaries(tmp_path):
    ids = pa.array(["anna", "bert", "anna", "carl"])
    table = pa.table({"user_id": ids.dictionary_encode(), "n": [1, 2, 3, 4], "x": [["p"], None, [], ["q", "r"]]})
    write_parquet(tmp_path / "choices.parquet", table)
    assert remove_user(tmp_path / "choices.parquet", "anna") == 2
    kept = pq.read_table(tmp_path / "choices.parquet")
    assert kept.to_pydict() == {"user_id": ["bert", "carl"], "n": [2, 4], "x": [None, ["q", "r"]]}
    assert IdSearch("anna").in_folder(tmp_path) == []


def test_ids_that_are_numbers_are_read_as_tables_read_them(tmp_path):
    """Of floats, too, as which pandas stores whole numbers with gaps."""
    write_parquet(tmp_path / "votes.parquet", pa.table({"user_id": [7.0, None, 71.0]}))
    jsonl = _write(tmp_path / "thumbs.jsonl", '{"user_id": 7.0}\n{"user_id": 70}\n')
    assert remove_user(tmp_path / "votes.parquet", "7") == remove_user(jsonl, "7") == 1
    assert pq.read_table(tmp_path / "votes.parquet")["user_id"].to_pylist() == [None, 71.0]
    assert jsonl.read_text() == '{"user_id": 70}\n'


def test_packed_files_and_json_arrays(tmp_path):
    packed = tmp_path / "choices.csv.gz"
    packed.write_bytes(gzip.compress(CSV.encode()))
    assert remove_user(packed, "anna") == 2
    expected = '\ufeffllm,user_id,query\r\n\r\nb,"bert","x,y"\r\nd,"annabel",last'
    assert gzip.decompress(packed.read_bytes()).decode() == expected
    rows = [{"user_id": "anna"}, {"user_id": "bert", "x": [1.5, None]}]
    array, other = (tmp_path / name for name in ("votes.json", "config.json"))
    array.write_text(json.dumps(rows, indent=1))
    other.write_text('{"user_id": "anna"}')
    assert tables_below(tmp_path) == [packed, array]
    assert remove_user(array, "anna") == 1
    assert json.loads(array.read_text()) == rows[1:]


def test_a_file_of_nobody_else_and_files_without_users(tmp_path):
    path = _write(tmp_path / "thumbs.jsonl", '{"user_id": "anna", "thumb": 1}\n')
    queries = _write(tmp_path / "queries.jsonl", '{"query": "anna"}\n')
    assert (remove_user(path, "anna"), path.exists()) == (1, False)
    assert (remove_user(queries, "anna"), queries.exists()) == (0, True)


def test_a_damaged_file_is_refused(tmp_path):
    path = _write(tmp_path / "choices.jsonl", '{"user_id": "anna"\n')
    with pytest.raises(ValueError, match=r"table choices\.jsonl, row 0: expected a JSON object"):
        remove_user(path, "anna")


def test_a_folder_of_the_long_form_is_read_as_if_the_user_had_not_been(two_users, tmp_path):
    """Feedback and candidate sets of the user's decisions alone go as well."""
    data = validate(two_users)
    write_tables(data, tmp_path)
    assert remove_user_from_folder(tmp_path, data.users.ids[0]) == 2  # the user's rows of users and of decisions
    found = read_tables(tmp_path)
    assert found.users.ids.tolist() == [data.users.ids[1]]
    assert found.decisions.ids.tolist() == [data.decisions.ids[1]]
    assert len(found.feedback.llm) == 2
    assert found.offers.tolist() == [data.offers[1].tolist()]
    assert len(found.queries.ids) == len(data.queries.ids)
    assert len(found.outcomes.llm) == len(data.outcomes.llm)


def test_queries_of_a_log_that_only_the_user_asked_go_as_well(tmp_path):
    rows = {
        "decisions": [{"decision_id": f"d{i}", "user_id": user, "query_id": query, "offer": "0"}
                      for i, (user, query) in enumerate([("anna", "q0"), ("anna", "q1"), ("bert", "q1")])],
        "queries": [{"query_id": "q0", "query": "private"}, {"query_id": "q1", "query": "shared"}],
        "outcomes": [{"query_id": "q0", "llm": "a", "cost": 1}, {"query_id": "q1", "llm": "a", "cost": 2}],
        "logged": [{"decision_id": f"d{i}", "llm": "a"} for i in range(3)],
    }  # fmt: skip
    for name, table in rows.items():
        _write(tmp_path / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in table))
    _write(tmp_path / "log.json", "{}")
    assert remove_user_from_folder(tmp_path, "anna") == 2
    left = {name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in rows}
    assert left == {name: table[-1:] for name, table in rows.items()}
