"""The commands: help at once, whatever is wrong in one line before anything starts, files in and files out."""

import csv
import json
import pathlib
import shutil
import subprocess
import sys

import processes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax import Router

ROOT = pathlib.Path(__file__).parents[2]


def _run(*arguments, cwd=ROOT):
    return processes.run([sys.executable, *arguments], cwd=cwd)


def _assert_one_line(done, found):
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert found in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name", ["train", "evaluate", "score", "explain", "update", "judge", "reproduce", "bench", "build_dataset"]
)
def test_help_comes_at_once(name):
    code = f"import sys, launch.{name}, prouter_jax.config; assert not {{'jax', 'numpy'}} & set(sys.modules)"
    assert _run("-c", code).returncode == 0
    said = processes.run_help(f"launch.{name}")
    assert f"prouter {name} --" in said
    if name not in ("bench", "build_dataset"):
        assert "--workdir:" in said


CONFIG = "--config=experiments/embedded.py"
WRONG = {
    "unknown key": ([CONFIG, "--config.model.nope=1"], "expected a field of config.model: preset, factor_dim"),
    "unknown section": ([CONFIG, "--config.nope.x=1"], "expected a field of config: name, seed"),
    "old name, wrong value": ([CONFIG, "--config.model.taste_dim=999"], "config.model.factor_dim: expected a value in"),
    "old section": ([CONFIG, "--config.model.near.noise=-1"], "config.model.query_kernel.noise: expected a value in"),
    "unknown flag": ([CONFIG, "--bogus=1"], "bogus"),
    "not a flag": ([CONFIG, "more"], "more"),
    "text for a number": ([CONFIG, "--config.model.factor_dim=abc"], "config.model.factor_dim"),
    "fraction for a whole number": ([CONFIG, "--config.model.factor_dim=1.5"], "config.model.factor_dim"),
    "negative rate": ([CONFIG, "--config.optimizer.learning_rate=-1"], "config.optimizer.learning_rate: expected"),
    "not a number": ([CONFIG, "--config.train.text_noise=nan"], "config.train.text_noise: expected"),
    "unknown split": ([CONFIG, "--config.data.split=by_moon"], "config.data.split: expected one of"),
    "no config": ([], "--config"),
    "no such config": (["--config=experiments/nope.py"], "experiments/nope.py"),
    "not a config": (["--config=pyproject.toml"], "train: "),
    "no path": (["--config=experiments/tables.py"], "config.data.path: expected a path"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_flags_is_one_line(tmp_path, name):
    arguments, found = WRONG[name]
    _assert_one_line(_run("-m", "launch.train", *arguments, f"--workdir={tmp_path}/run"), found)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workdir", [[], ["--workdir="]])
def test_a_workdir_is_needed(tmp_path, workdir):
    config = f"--config={ROOT}/experiments/embedded.py"
    _assert_one_line(_run("-m", "launch.train", config, *workdir, cwd=tmp_path), "--workdir")
    _assert_one_line(_run("-m", "launch.evaluate", *workdir, cwd=tmp_path), "--workdir")
    assert list(tmp_path.iterdir()) == []


def test_bad_data_is_one_line(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "queries.csv").write_text("query_id,query\nq1,Hello\nq1,Hello again\n")
    (folder / "llms.csv").write_text("llm\na\nb\n")
    (folder / "outcomes.csv").write_text("query_id,llm,effect\nq1,a,1\n")
    (folder / "choices.csv").write_text("user_id,query_id,llm\nu,q1,a\n")
    arguments = ["--config=experiments/tables.py", f"--config.data.path={folder}", f"--workdir={tmp_path}/run"]
    _assert_one_line(_run("-m", "launch.train", *arguments), "queries.csv, column query_id, row 1")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_workdir_without_a_router_is_one_line(tmp_path):
    pairs = _pairs(tmp_path / "in.jsonl")
    arguments = [f"--workdir={tmp_path}/none", f"--input={pairs}", f"--output={tmp_path}/out.jsonl"]
    _assert_one_line(_run("-m", "launch.score", *arguments), "config.json")
    done = _run("-m", "launch.evaluate", f"--workdir={tmp_path}/none")
    reading, failed = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert reading == f"evaluate: reading the experiment in {tmp_path}/none"
    assert "experiment.json" in failed
    assert list(tmp_path.iterdir()) == [pairs]


def test_evaluate_writes_the_report_again(experiment_workdir, tmp_path):
    workdir = shutil.copytree(experiment_workdir, tmp_path / "run")
    before = json.loads((workdir / "report" / "report.json").read_text())["policies"]
    shutil.rmtree(workdir / "report")
    done = _run("-m", "launch.evaluate", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"report: {workdir}/report/report.html"
    assert done.stderr == f"evaluate: reading the experiment in {workdir}\n"
    after = json.loads((workdir / "report" / "report.json").read_text())["policies"]
    assert {name: row["reward"] for name, row in after.items()} == {name: row["reward"] for name, row in before.items()}


# ---- launch.score: its `main` again and again in one process, which loads JAX once.

_SCORE = """
import json, sys
from absl import flags
from launch import entry, score
for arguments in json.loads(sys.argv[1]):
    flags.FLAGS.unparse_flags()
    sys.argv = ["score.py", *arguments]
    try:
        entry.start(score.main)
    except SystemExit as stop:
        print("exit", stop.code or 0, flush=True)
"""
TEXT = "What is the tallest mountain?"


def _pairs(path):
    rows = [
        {"user_id": "u00", "query": TEXT, "note": "first"},
        {"user_id": "newcomer", "query": TEXT, "note": "second"},
        {"user_id": "u01", "query": "", "note": "third"},
        {"user_id": "u02", "query": "And the deepest sea?", "note": "fourth"},
    ]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def _rows(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        return [row | {"probabilities": row["probabilities"] and dict(row["probabilities"])} for row in rows]
    with open(path, newline="") as file:
        rows = [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(file)]
    return [row | {"probabilities": row["probabilities"] and json.loads(row["probabilities"])} for row in rows]


@pytest.fixture(scope="module")
def scored(experiment_workdir, tmp_path_factory):
    """(folder of outputs, exit codes, stderr): everything that launch.score is asked here."""
    folder = tmp_path_factory.mktemp("score")
    for name in ("in.jsonl", "in.csv", "in.parquet"):
        _pairs(folder / name)
    llms = Router.load(experiment_workdir).llms
    history = [{"user_id": "newcomer", "query": f"Tell me of mountain {i}", "llm": llms[-1]} for i in range(12)]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    (folder / "llms").mkdir()
    (folder / "llms" / "llms.csv").write_text("llm,description\nnew-llm,just out\n")
    asked = {
        "plain.jsonl": ["--input=in.jsonl"],
        "plain.csv": ["--input=in.csv"],
        "plain.parquet": ["--input=in.parquet"],
        "strict.jsonl": ["--input=in.jsonl", "--strict"],
        "history.jsonl.out.jsonl": ["--input=in.jsonl", "--history=history.jsonl"],
        "llms.jsonl": ["--input=in.jsonl", "--llms=llms", "--history=history.jsonl"],
        "cost.jsonl": ["--input=in.jsonl", "--max_cost=1e-12"],
        "allow.jsonl": ["--input=in.jsonl", f"--allow={llms[1]},{llms[2]}"],
        "unknown.jsonl": ["--input=in.jsonl", "--allow=unknown"],
        "part.jsonl": ["--input=in.jsonl", "--shard=0/1"],
        "other.jsonl": ["--input=in.jsonl", "--shard=1/2"],
        "nopart.jsonl": ["--input=in.jsonl", "--shard=2/2"],
        "nofile.jsonl": ["--input=none.jsonl"],
        "badhistory.jsonl": ["--input=in.jsonl", "--history=in.jsonl"],
    }
    calls = [[f"--workdir={experiment_workdir}", f"--output={name}", *arguments] for name, arguments in asked.items()]
    done = _run("-c", _SCORE, json.dumps(calls), cwd=folder)
    assert done.returncode == 0, done.stderr
    codes = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("exit ")]
    return folder, dict(zip(asked, codes, strict=True)), done, llms


def test_formats_agree_and_bad_rows_are_told(scored):
    folder, codes, done, llms = scored
    lines = _rows(folder / "plain.jsonl")
    assert "4 rows scored, 1 with an error: plain.jsonl" in done.stdout.splitlines()
    assert [row["note"] for row in lines] == ["first", "second", "third", "fourth"]
    assert [row["basis"] for row in lines] == ["history", "cold_start", None, "history"]
    assert [row["error"] for row in lines] == [None, None, "query: expected a text or a query_id, found neither", None]
    assert list(lines[0]) == ["user_id", "query", "note", "llm", "probabilities", "basis", "error"]
    for name in ("plain.csv", "plain.parquet"):
        assert codes[name] == 0
        for row, line in zip(_rows(folder / name), lines, strict=True):
            assert (row["llm"], row["error"]) == (line["llm"], line["error"])
            assert row["probabilities"] == (line["probabilities"] and pytest.approx(line["probabilities"], abs=2e-6))
    assert set(lines[0]["probabilities"]) == set(llms)


def test_strict_stops_and_writes_nothing(scored):
    folder, codes, done, _ = scored
    assert codes["strict.jsonl"] == 1
    assert not (folder / "strict.jsonl").exists()
    assert "score: table in.jsonl, row 2: query: expected a text or a query_id, found neither\n" in done.stderr


def test_history_and_new_llms_count(scored):
    folder, _, _, llms = scored
    plain, history, added = (_rows(folder / name) for name in ("plain.jsonl", "history.jsonl.out.jsonl", "llms.jsonl"))
    assert [row["basis"] for row in history] == ["history", "history", None, "history"]
    assert history[1]["probabilities"][llms[-1]] > plain[1]["probabilities"][llms[-1]]
    assert [history[row]["probabilities"] for row in (0, 3)] == [plain[row]["probabilities"] for row in (0, 3)]
    assert set(added[0]["probabilities"]) == {*llms, "new-llm"}
    assert added[1]["basis"] == "history"


def test_constraints_hold(scored):
    folder, codes, done, llms = scored
    assert {row["error"] for row in _rows(folder / "cost.jsonl") if row["note"] != "third"} == {
        "no candidate is expected to cost at most 1e-12 USD"
    }
    for row in _rows(folder / "allow.jsonl"):
        assert row["error"] or set(row["probabilities"]) == {llms[1], llms[2]}
    assert codes["unknown.jsonl"] == codes["nofile.jsonl"] == codes["badhistory.jsonl"] == 1
    assert f"score: allow: expected LLMs among {', '.join(llms)}, found unknown\n" in done.stderr
    assert "none.jsonl: expected a file, found none\n" in done.stderr
    assert "score: table in.jsonl, column llm" in done.stderr
    assert "Traceback" not in done.stderr
    written = {path.name for path in folder.iterdir() if path.suffix in (".jsonl", ".csv", ".parquet")}
    assert not written & {"unknown.jsonl", "nofile.jsonl", "badhistory.jsonl"}
    assert not list(folder.glob(".*"))


def test_a_part_of_a_file_and_what_is_no_part(scored):
    folder, codes, done, _ = scored
    assert codes["part.jsonl"] == codes["other.jsonl"] == 0
    assert codes["nopart.jsonl"] == 1
    lines = done.stdout.splitlines()
    assert "part 0/1: 4 rows scored, 1 with an error" in lines
    assert "all parts are joined: part.jsonl" in lines
    assert "missing parts, before there is an output: 0/2" in lines
    assert (folder / "part.jsonl").read_bytes() == (folder / "plain.jsonl").read_bytes()
    assert not (folder / "other.jsonl").exists()
    assert "score: shard: expected I/N with I from 0 to N - 1, found '2/2'\n" in done.stderr


@pytest.mark.slow
def test_two_processes_at_once_make_the_file_of_one(experiment_workdir, tmp_path):
    """The same texts come again in every part, so that one process remembers what the other has to find; one of two
    is killed at work and started again."""
    rows = [
        {"user_id": f"u{row % 7:02}", "query": f"{TEXT} {row % 1999} {'and' * (row % 13)}"} for row in range(200_000)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=30_000)

    def start(output, *arguments):
        command = [sys.executable, "-m", "launch.score", f"--workdir={experiment_workdir}", *arguments]
        command += [f"--input={tmp_path}/in.parquet", f"--output={tmp_path}/{output}"]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    killed = start("many.parquet", "--shard=1/2")
    assert killed.stderr is not None
    assert "rows/s" in killed.stderr.readline()
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "many.parquet.parts" / "1-of-2.json").exists()
    both = [start("one.parquet"), *(start("many.parquet", f"--shard={index}/2") for index in range(2))]
    for process in both:
        errors = process.communicate(timeout=processes.HANG)[1]
        assert process.returncode == 0, errors
    assert (tmp_path / "many.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()
    assert not (tmp_path / "many.parquet.parts").exists()
