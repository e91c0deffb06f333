"""`python -m launch.judge`: the estimate, then the choices; a second run pays nothing."""

import pathlib
import sys

import processes
import pyarrow.parquet as pq
import pytest
from judge_server import longest, serving

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    (path / "queries.csv").write_text("query_id,query\nq1,What is one?\nq2,What is two?\nq3,What is three?\n")
    (path / "llms.csv").write_text("llm\na\nb\n")
    answers = ["q1,a,1,One is the first", "q1,b,0,Two", "q2,a,0,2", "q2,b,1,Two is the next", "q3,a,1,Three"]
    (path / "outcomes.csv").write_text("query_id,llm,effect,response\n" + "\n".join(answers) + "\n")
    return path


def _judge(folder, workdir, *arguments):
    command = [sys.executable, "-m", "launch.judge", "--config=experiments/tables.py", f"--workdir={workdir}"]
    command += [f"--config.data.path={folder}", "--config.data.users=llm_as_judge", "--config.data.num_users=2"]
    return processes.run([*command, *arguments], cwd=ROOT)


LLM = ("--config.data.judge.name=llm", "--config.data.judge.model=m", "--config.data.judge.input_price=1.0")


def test_help_loads_nothing_heavy():
    assert "prouter judge" in processes.run_help("launch.judge")


def test_rules_choose_without_a_server(folder, tmp_path):
    done = _judge(folder, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "estimate: 4 verdicts; nothing to pay",
        f"choices: 4 of 2 people, {tmp_path}/run/choices.parquet",
    ]
    assert pq.read_table(tmp_path / "run" / "choices.parquet").num_rows == 4


def test_verdicts_are_estimated_and_requested_once(folder, tmp_path, monkeypatch):
    with serving(monkeypatch, longest) as server:
        dry = _judge(folder, tmp_path / "run", *LLM, "--dry_run")
        assert dry.stdout.startswith("estimate: 4 verdicts; about ")
        assert (server.requests, list(tmp_path.iterdir())) == ([], [])
        done = _judge(folder, tmp_path / "run", *LLM)
        assert len(server.requests) == 4
        assert done.stderr.splitlines()[-1] == "judge: 4/4 verdicts, 0.0004 USD spent, 00:00 left"
        again = _judge(folder, tmp_path / "run", *LLM)
        assert len(server.requests) == 4
    rows = pq.read_table(tmp_path / "run" / "choices.parquet").to_pylist()
    assert {(row["query_id"], row["llm"]) for row in rows} == {("q1", "a"), ("q2", "b")}
    assert again.stdout.startswith("estimate: 4 verdicts, 4 of them stored; nothing to pay\n")
    assert "sk-very-secret" not in done.stdout + done.stderr + dry.stderr + again.stderr


def test_other_users_need_no_judge(folder, tmp_path):
    done = _judge(folder, tmp_path / "run", "--config.data.users=recorded")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "judge: config.data.users: expected 'llm_as_judge', found 'recorded'\n"
