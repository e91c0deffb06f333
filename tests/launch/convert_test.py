"""launch.convert: public files in, a folder of tables out; and training straight from a public file."""

import json
import sys

import processes
import pytest
from public_facts import decision_facts
from public_files import PRISM, arena_vote, prism_answer
from table_files import write_rows

from prouter_jax.data.public.registry import read_public
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.io import display


def _run(*arguments):
    return processes.run([sys.executable, "-m", *arguments])


@pytest.mark.parametrize("name", ["convert", "queries"])
def test_help_loads_nothing_heavy(name):
    assert "--format" in processes.run_help(f"launch.{name}")


def test_tables_are_written_and_what_was_dropped_is_told(tmp_path):
    path = write_rows(tmp_path / "utterances.jsonl", PRISM)
    done = _run("launch.convert", "--format=prism", f"--input={path}", f"--out={tmp_path}/out")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "read: 10 records of 1 files"
    assert "dropped: 2 answers after the opening turn" in lines
    assert lines[-1].startswith("written: 2 users, 1 tasks, 2 queries, 3 LLMs, 5 outcomes, 2 decisions; ")
    assert decision_facts(read_tables(tmp_path / "out")) == decision_facts(read_public("prism", path).data)
    assert json.loads((tmp_path / "out" / "conversion.json").read_text())["format"] == "prism"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("prism", "a.pkl: expected a file, found none"),
        ("routerbench", 'python -c "import pandas; pandas.read_pickle('),
        ("nonsense", "flag --format: expected one of personaroute, prism, arena, "),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, name, complaint):
    if name == "routerbench":
        (tmp_path / "a.pkl").write_bytes(b"a pickle")
    done = _run("launch.convert", f"--format={name}", f"--input={tmp_path}/a.pkl", f"--out={tmp_path}/out")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"a.pkl"}


def test_progress_tells_the_time_left(monkeypatch, capsys):
    now = iter([100.0, 101.0, 110.0, 111.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(now))
    log_line = display.on_progress("records", 2.0)
    log_line(500, 0.05)
    log_line(5000, 0.25)
    log_line(6000, 0.3)
    assert capsys.readouterr().err == "5000 records, 500 records/s, 30 s left\n"


@pytest.mark.slow
@pytest.mark.parametrize("source", ["prism", "arena"])
def test_a_public_file_trains(tmp_path, source):
    if source == "prism":
        answers = [
            prism_answer(f"u{n % 8}", n, 0, k, f"llm{k}", 10 + (n * k) % 90) for n in range(80) for k in range(3)
        ]
        path = write_rows(tmp_path / "utterances.jsonl", answers)
    else:
        votes = [arena_vote(n, "a", "b", ("model_a", "tie")[n % 2], f"judge{n % 8}") for n in range(80)]
        path = write_rows(tmp_path / "votes.parquet", votes)
    sizes = ["--config.train.num_train_steps=2", "--config.model.factor_dim=2"]
    data = [f"--config.data.source={source}", f"--config.data.path={path}"]
    done = _run("launch.train", "--config=experiments/tables.py", f"--workdir={tmp_path}/run", *data, *sizes)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report" / "report.html").exists()
