"""`python -m launch.collect` and `launch.grade`: estimate, answers, grades and the tables."""

import json
import pathlib
import signal
import subprocess
import sys
import threading

import processes
import pytest
from judge_server import Act, JudgeServer

from prouter_jax.data.tables.read_write import read_tables

ROOT = pathlib.Path(__file__).parents[2]
QUERIES = [
    {"query": "One and one?", "task_id": "sums", "reference": "#### 2", "metric": "number_at_end"},
    {"query": "Two and two?", "task_id": "sums", "reference": "#### 4", "metric": "number_at_end"},
    {"query": "A joke, please.", "metric": "judge"},
    {"query": "One and one?", "task_id": "sums", "reference": "#### 2", "metric": "number_at_end"},
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("KEY_A", "sk-very-secret")
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, QUERIES)))

    def launch(name, *arguments):
        command = [sys.executable, "-m", f"launch.{name}", *arguments]
        return processes.run(command, cwd=ROOT)

    return launch


def _decide(messages, number):
    return Act('{"grade": 9}') if "You grade" in messages[0]["content"] else Act("Surely 2")


def _collect(tmp_path, *arguments):
    flags = [f"--queries={tmp_path}/queries.jsonl", f"--llms={tmp_path}/llms.json", f"--out={tmp_path}/out"]
    return "collect", *flags, *arguments


@pytest.mark.parametrize("name", ["collect", "grade"])
def test_help_loads_nothing_heavy(name):
    assert f"prouter {name}" in processes.run_help(f"launch.{name}")


def test_from_queries_to_graded_answers(run, tmp_path):
    with JudgeServer(_decide) as server:
        llm = {"model": "m", "base_url": server.url, "input_price": 10, "output_price": 100}
        pool = {"a": llm | {"key_variable": "KEY_A", "max_output_tokens": 50}, "b": llm | {"model": "n"}}
        (tmp_path / "llms.json").write_text(json.dumps(pool))
        (tmp_path / "judge.json").write_text(json.dumps({"j": llm}))
        dry = run(*_collect(tmp_path, "--dry_run"))
        assert (dry.returncode, server.requests, (tmp_path / "out").exists()) == (0, [], False)
        assert dry.stdout.splitlines()[0] == "queries: 1 rows that repeat another are left out"
        assert dry.stdout.splitlines()[1].startswith(
            "a: 3 answers; about 10 tokens in and 150 out, 0.0151 USD, at most "
        )
        assert dry.stdout.splitlines()[3].startswith("estimate: 6 requests, about ")
        done = run(*_collect(tmp_path))
        assert done.stderr.splitlines()[-1] == "collect: 6/6 answers, 0.0090 USD spent, 00:00 left"
        assert done.stdout.splitlines()[1:] == [
            f"answers: 6 of 6, 0.0090 USD: {tmp_path}/out",
            f"not graded yet: prouter grade --answers={tmp_path}/out",
        ]
        again = run(*_collect(tmp_path))
        assert (again.stdout, again.stderr, len(server.requests)) == (done.stdout, "", 6)
        lost = run("grade", f"--answers={tmp_path}/out")
        assert (lost.returncode, lost.stdout) == (1, "")
        assert lost.stderr == "grade: metric judge: expected an LLM that grades 2 answers, found none\n"
        graded = run("grade", f"--answers={tmp_path}/out", f"--judge={tmp_path}/judge.json")
    assert graded.stdout.splitlines()[0].startswith("estimate: 2 grades; about ")
    assert graded.stdout.splitlines()[1:] == [
        "number_at_end: 4 answers graded, 0.5000 on average",
        "judge: 2 answers graded, 0.9000 on average",
        "nothing is left ungraded",
    ]
    data = read_tables(tmp_path / "out")
    assert data.outcomes.effect.tolist() == [1.0, 0.0, 0.9, 1.0, 0.0, 0.9]
    assert data.tasks.ids.tolist() == ["sums"]
    told = [
        done.stdout,
        done.stderr,
        dry.stdout,
        *(path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*.*")),
    ]
    assert not [text for text in told if "sk-very-secret" in text]


def test_names_do_not_steer_the_terminal(run, tmp_path):
    llm = {"model": "m", "base_url": "http://127.0.0.1:9", "input_price": 1, "output_price": 1}
    (tmp_path / "llms.json").write_text(json.dumps({"a\x1b]0;owned\x07": llm}))
    assert run(*_collect(tmp_path, "--dry_run")).stdout.splitlines()[1].startswith(r"a\x1b]0;owned\x07: 3 answers")
    (tmp_path / "llms.json").write_text(json.dumps({"a\x1b[2J\x9b": llm | {"\x1b[8m": 1}}))
    assert "\x1b" not in (said := run(*_collect(tmp_path)).stderr)
    assert r"\x1b[8m" in said


def test_an_error_is_one_line_and_exit_code_1(run, tmp_path):
    (tmp_path / "llms.json").write_text('{"a": {"model": "m"}}')
    done = run(*_collect(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "collect: llms.json, llm 'a', field input_price: expected it, found none\n"


def test_a_server_that_refuses_everything_ends_with_exit_code_1(run, tmp_path):
    with JudgeServer(lambda *_: Act(status=404, body=b'{"error": {"message": "no such model"}}')) as server:
        llm = {"model": "m", "base_url": server.url, "input_price": 0, "output_price": 0}
        (tmp_path / "llms.json").write_text(json.dumps({"a": llm}))
        done = run(*_collect(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("collect: a: the server refuses every request: HTTP 404")
    assert f"answers: 0 of 3, 0.0000 USD: {tmp_path}/out" in done.stdout


def test_after_a_kill_it_is_told_what_may_be_paid_twice(run, tmp_path):
    told = threading.Event()

    def decide(*_):
        told.wait(processes.HANG)
        return Act("Surely 2")

    with JudgeServer(decide) as server:
        llm = {"model": "m", "base_url": server.url, "input_price": 1, "output_price": 1}
        (tmp_path / "llms.json").write_text(json.dumps({"a": llm}))
        command = [sys.executable, "-m", *_collect(tmp_path, "--concurrency=2")]
        command[2] = f"launch.{command[2]}"
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        processes.wait_for(lambda: len(server.requests) == 2, process)
        process.kill()
        process.wait()
        told.set()
        done = run(*_collect(tmp_path))
        assert done.returncode == 0
        assert done.stderr.splitlines()[0].startswith(
            "collect: 2 requests were under way when an earlier run was killed"
        )
        assert len(server.requests) == 5
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "out").iterdir()} == {0}


def test_ctrl_c_waits_for_running_requests(run, tmp_path):
    told = threading.Event()

    def decide(*_):
        told.wait(processes.HANG)
        return Act("Surely 2")

    with JudgeServer(decide) as server:
        llm = {"model": "m", "base_url": server.url, "input_price": 0, "output_price": 0}
        (tmp_path / "llms.json").write_text(json.dumps({"a": llm}))
        command = [sys.executable, "-m", *_collect(tmp_path, "--concurrency=2")]
        command[2] = f"launch.{command[2]}"
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.wait_for(lambda: server.requests, process)
        process.send_signal(signal.SIGINT)
        processes.wait_for_signal(process, signal.SIGINT)
        told.set()
        out, err = process.communicate(timeout=processes.HANG)
        assert process.returncode == 1
        assert f"answers: {len(server.requests)} of 3" in out
        assert err.splitlines()[-1] == "collect: interrupted; the same command goes on"
        assert 1 <= len(server.requests) <= 2
        assert run(*_collect(tmp_path)).returncode == 0
        assert len(server.requests) == 3
