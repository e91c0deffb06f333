"""launch.logs: from a log to tables by one command, or one line."""

import os
import pathlib
import sys

import processes
import pytest
from log_files import ROW, made_up_rows, write_log

from prouter_jax.data.tables.read_write import read_tables

ROOT = pathlib.Path(__file__).parents[2]


def _run(*arguments, **environment):
    command = [sys.executable, "-m", "launch.logs", *map(str, arguments)]
    return processes.run(command, cwd=ROOT, env=os.environ | environment)


def test_help_comes_at_once():
    assert "--hash_key_variable" in processes.run_help("launch.logs")


def test_a_log_becomes_tables(tmp_path):
    first = write_log(tmp_path / "first.jsonl", [{**row, "who": row.pop("user_id")} for row in made_up_rows(60)])
    second = write_log(tmp_path / "second.jsonl", [{**ROW, "who": "w", "rating": 3}, {**ROW, "who": "w", "cost": -1}])
    arguments = [f"--input={first},{second}", f"--out={tmp_path}/out", "--columns=user=who", "--rating_range=1:5"]
    done = _run(*arguments, "--hash_key_variable=LOG_KEY", LOG_KEY="a key that nobody may see")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = done.stdout.splitlines()
    assert said[0].startswith("62 rows read, 61 kept, of ")
    assert said[1] == "61 with a thumb or rating, 60 with a propensity"
    assert said[3].endswith(" down; column thumb: up is up, down is down")
    assert said[4:6] == [
        "ratings: 1; 1 is 0, 5 is 1",
        "cost: 1.11 USD in 60 rows; tokens: none in, none out, in 0 rows",
    ]
    assert f"dropped, cost below 0: 1 (first: {second}, line 2)" in said
    assert said[-1] == f"users: hashed; tables: {tmp_path}/out"
    data = read_tables(tmp_path / "out")
    assert len(data.decisions.ids) == 61
    assert sorted(set(data.feedback.value.tolist())) == [0, 0.5, 1]
    assert all(len(name) == 32 for name in data.users.ids)
    assert "nobody may see" not in done.stdout + "".join(
        str(path.read_bytes()) for path in (tmp_path / "out").iterdir()
    )


def test_a_dry_run_shows_the_columns_and_writes_nothing(tmp_path):
    rows = [{**row, "user_id": f"ann{row['user_id']}@example.org"} for row in made_up_rows(5)]
    log = write_log(tmp_path / "log.jsonl", rows)
    done = _run(f"--input={log}", "--dry_run", "--mask")
    assert done.returncode == 0, done.stderr
    assert "| thumb | thumb | " in done.stdout
    assert "5 rows read, 5 kept" in done.stdout
    assert "example.org" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    done = _run(f"--input={log}")
    assert (done.returncode, done.stderr.splitlines()[-1][:8]) == (1, "logs: --")


WRONG = {
    "no such file": (["--input=none.jsonl"], "none.jsonl"),
    "a field that is none": (["--columns=x=y"], "columns: expected FIELD=COLUMN"),
    "a range that is none": (["--rating_range=5"], "rating_range: expected LOW:HIGH"),
    "no key": (["--hash_key_variable=NO_SUCH_KEY"], "environment variable NO_SUCH_KEY"),
    "not near": (["--merge_near=2"], "merge_near"),
    "no such preset": (["--preset=none"], "preset: expected one of litellm, langfuse, "),
    "no coding": (["--thumbs=1"], "thumbs: expected UP:DOWN"),
    "no such column": (["--columns=thumb=thum"], "columns, thumb=thum: expected this column in the log, found"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line(tmp_path, name):
    arguments, found = WRONG[name]
    path = write_log(tmp_path / "log.jsonl", [ROW])
    done = _run(f"--input={path}", f"--out={tmp_path}/out", *arguments)
    assert done.returncode == 1
    assert found in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("out/*"))
