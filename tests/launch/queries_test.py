"""launch.queries: a published query set in, one table of queries out."""

import sys

import processes
import pyarrow.parquet as pq
import pytest
from public_files import GSM8K
from table_files import write_rows


def _run(*arguments):
    return processes.run([sys.executable, "-m", "launch.queries", *arguments])


def test_a_published_file_becomes_a_table(tmp_path):
    path = write_rows(tmp_path / "train.jsonl", GSM8K)
    done = _run("--format=gsm8k", f"--input={path}", f"--out={tmp_path}/queries.parquet", "--most=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "dropped: 1 questions without an answer after ####",
        f"written: 1 queries of 3 records; {tmp_path}/queries.parquet",
    ]
    assert pq.read_table(tmp_path / "queries.parquet").num_rows == 1


def test_columns_have_names(tmp_path):
    path = write_rows(tmp_path / "mine.csv", [{"prompt": "1+1?", "answer": "2"}])
    columns = "--columns=query=prompt,reference=answer"
    done = _run("--format=columns", f"--input={path}", f"--out={tmp_path}/queries.parquet", columns)
    assert done.returncode == 0, done.stderr
    expected = {"query_id": "mine-0", "query": "1+1?", "task_id": "", "reference": "2", "metric": "", "choices": ""}
    assert pq.read_table(tmp_path / "queries.parquet").to_pylist() == [expected]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--format=gsm8k", "--columns=query=a"], "flag --columns: expected none with --format=gsm8k"),
        (["--format=columns", "--columns=query"], "flag --columns: expected OURS=THEIRS, found 'query'"),
        (
            ["--format=columns", "--columns=query=x"],
            "table mine.csv, column x: expected this column, found prompt, answer",
        ),
        (["--format=gsm8k", "--most=-1"], "most"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, arguments, complaint):
    path = write_rows(tmp_path / "mine.csv", [{"prompt": "1+1?", "answer": "2"}])
    done = _run(f"--input={path}", f"--out={tmp_path}/queries.parquet", *arguments)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [found.name for found in tmp_path.iterdir()] == ["mine.csv"]
