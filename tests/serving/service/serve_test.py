"""The command over a trained router: the examples of docs/serving.md by curl, a restart, SIGTERM, bad flags."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest
from processes import HANG, ROOT, run
from serve_cases import key_lines

DOCUMENT = (ROOT / "docs" / "serving.md").read_text()
EXAMPLES = [
    (command, json.loads(answer) if answer else None)
    for command, answer in re.findall(r"```bash\n(curl .*?)```\n(?:\n```json\n(.*?)```)?", DOCUMENT, re.S)
]


def _start(workdir, *flags, keys=None):
    environment = os.environ | ({"PROUTER_KEYS": keys.replace("\n", ",")} if keys else {})
    command = [sys.executable, "-m", "launch.serve", f"--workdir={workdir}", "--port=0", *flags]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line, "expected a service that listens"
    return process, json.loads(line)["port"]


def _stop(process) -> list[dict]:
    """Ends a service; returns what it logged."""
    process.send_signal(signal.SIGTERM)
    with process.stdout:
        lines = process.stdout.read().splitlines()
    assert process.wait(HANG) == 0
    return [json.loads(line) for line in lines]


def _curl(command, port, decision):
    done = run(
        ["bash", "-c", command.replace("localhost:8080", f"127.0.0.1:{port}")], env=os.environ | {"DECISION": decision}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def workdir(experiment_workdir, tmp_path):
    return shutil.copytree(experiment_workdir, tmp_path / "run")


def test_the_examples_of_the_document_run(workdir, tmp_path):
    (make_keys,) = re.findall(r"^echo .* > keys.txt$", DOCUMENT, re.M)
    run(["bash", "-c", make_keys], cwd=tmp_path)
    process, port = _start(workdir, f"--keys={tmp_path}/keys.txt")
    decision, answers = "", []
    for command, documented in EXAMPLES:
        answer = _curl(command, port, decision)
        assert "error" not in answer, answer
        if documented is not None:
            assert answer.keys() == documented.keys()
            for name, value in documented.items():
                assert type(answer[name]) is type(value), name
        decision = answer.get("decision_id", decision)
        answers.append(answer)
    assert len(answers) == 7
    assert answers[0]["basis"] == "cold_start"
    assert (answers[4]["basis"], answers[4]["feedback"]) == ("history", 2)
    assert answers[6]["deleted"] == {"decisions": 1, "feedback": 2, "served": 1, "users": 1}
    events = _stop(process)
    assert [event["event"] for event in events][-1] == "stopped"
    assert not any("ann" in str(event) for event in events)


def test_a_restart_and_an_export_have_what_was_said(workdir, tmp_path):
    key = {"Authorization": "Bearer ann's key", "Content-Type": "application/json"}
    headers = " ".join(f'-H "{name}: {value}"' for name, value in key.items())

    def post(port, path, body):
        return _curl(f"curl -s {headers} localhost:8080/v1/{path} -d '{json.dumps(body)}'", port, "")

    process, port = _start(workdir, "--store_prompts", keys=key_lines())
    cold = post(port, "route", {"query": "A new question?"})
    for number in range(3):
        worst = {"query": f"Question {number}?", "model": cold["models"][-1]["model"], "thumb": "up"}
        assert post(port, "feedback", worst)["duplicate"] is False
    told = post(port, "route", {"query": "A new question?"})
    assert (told["basis"], told["models"] != cold["models"]) == ("history", True)
    _stop(process)
    process, port = _start(workdir, "--store_prompts", keys=key_lines())
    again = post(port, "route", {"query": "A new question?"})
    assert [one["model"] for one in again["models"]] == [one["model"] for one in told["models"]]
    shares = [[one["probability"] for one in answer["models"]] for answer in (again, told)]
    assert shares[0] == pytest.approx(shares[1], abs=1e-5)
    command = [sys.executable, "-m", "launch.serve", f"--workdir={workdir}", f"--export={tmp_path}/out"]
    done = run(command, cwd=ROOT)  # while the service runs
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "new feedback: 3 thumbs"), done.stderr
    _stop(process)
    _check_an_update_counts_the_same(workdir, tmp_path / "out" / "thumbs.jsonl", shares[0])


def _check_an_update_counts_the_same(workdir: pathlib.Path, feedback: pathlib.Path, expected: list[float]) -> None:
    """After an update with the export, the router alone ranks as the service did, and the service does as well."""
    from prouter_jax.serving.router import Router
    from prouter_jax.serving.service import sqlite, store
    from prouter_jax.serving.service.replay import replay
    from prouter_jax.serving.updates import update

    update(workdir, feedback)
    live = Router.load(workdir).live
    assert live.route("ann", "A new question?").probabilities == pytest.approx(expected, abs=1e-5)
    database = sqlite.connect(workdir / "serve.sqlite")
    assert replay(live, store.feedback_of(database)) == 0
    database.close()
    assert live.route("ann", "A new question?").probabilities == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--workdir=nowhere", "--trust_body"), "nowhere"),
        (("--workdir=nowhere",), "expected --keys, --user_header or --trust_body"),
        (("--workdir=nowhere", "--export=out"), "serve.sqlite: expected a file"),
    ],
)
def test_bad_flags_are_told_in_a_line(tmp_path, flags, words):
    done = run([sys.executable, "-m", "launch.serve", *flags], cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "nowhere").exists()
