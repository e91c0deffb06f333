"""launch.off_policy: a trained router judged by a log, by one command; and the figures it stands for."""

import json
import pathlib
import sys

import numpy as np
import processes
import pytest
from log_files import made_up_rows, write_log

from launch.benchmarks.off_policy import LOGS, study
from prouter_jax.config import ExperimentConfig
from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.data.logs.tables import read_logged
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.evaluation.off_policy.evaluate import evaluate_router, held_out, load_router, select_llms
from prouter_jax.experiment import run_experiment
from prouter_jax.serving.router import Router

ROOT = pathlib.Path(__file__).parents[2]


def _run(*arguments):
    command = [sys.executable, "-m", "launch.off_policy", *map(str, arguments)]
    return processes.run(command, cwd=ROOT)


def test_help_comes_at_once():
    assert "--workdir" in processes.run_help("launch.off_policy")


def test_a_router_is_judged_and_a_log_without_chance_is_refused(experiment_workdir, tmp_path):
    names = dict(zip("abc", Router.load(experiment_workdir).llms, strict=False))
    rows = [
        row | {"model": names[row["model"]], "candidates": list(names.values())} for row in made_up_rows(300, users=30)
    ]
    sure = [row | {"propensity": 1.0} for row in rows]
    for name, some in (("chance", rows), ("sure", sure)):
        convert_log([write_log(tmp_path / f"{name}.jsonl", some)], tmp_path / name, Options())
    done = _run(f"--workdir={experiment_workdir}", f"--log={tmp_path}/chance", f"--out={tmp_path}/found")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "found" / "off_policy.md").read_text() in done.stdout
    found = json.loads((tmp_path / "found" / "off_policy.json").read_text())
    assert found["decisions"] == 300
    assert {line["policy"] for line in found["lines"]} >= {"router", "best single LLM", "logging policy"}
    refused = _run(f"--workdir={experiment_workdir}", f"--log={tmp_path}/sure", f"--out={tmp_path}/none")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("off_policy: log: expected a stochastic logging policy")
    assert not (tmp_path / "none").exists()


def test_intervals_of_few_simulated_logs_are_of_the_right_size():
    covers, widths = study(30, first_seed=0)
    for name, held in covers.items():
        assert held.mean() > 0.8, name
        assert 0.05 < np.median(widths[name]) < 0.2, name


@pytest.mark.slow
def test_intervals_of_a_thousand_simulated_logs_hold_the_truth_as_often_as_they_say():
    covers, widths = study(LOGS)
    for name, held in covers.items():
        assert 0.935 <= held.mean() <= 0.97, f"{name}: {held.mean()}"
    for name in ("ips", "snips", "dr"):
        assert np.median(widths[f"{name}, fitted"] / widths[f"{name}, known"]) <= 1.5


@pytest.mark.slow
def test_a_router_trained_on_a_log_is_found_to_be_worth_what_it_is_worth(tmp_path):
    """Each user likes one of three LLMs; thumbs on what was served by chance are all that anybody sees."""
    rng, rows = np.random.default_rng(0), made_up_rows(6000, users=60)
    liked = {f"user{number}": "abc"[number % 3] for number in range(60)}
    for row in rows:
        row["model"], row["propensity"] = str(rng.choice(list("abc"))), 1 / 3
        row["thumb"] = "up" if rng.random() < (0.85 if row["model"] == liked[row["user_id"]] else 0.35) else "down"
    convert_log([write_log(tmp_path / "log.jsonl", rows)], tmp_path / "log", Options())
    config = ExperimentConfig(name="log")
    config.data.source, config.data.path, config.data.split = "tables", str(tmp_path / "log"), "time"
    config.data.encoder = "hash"
    config.train.num_train_steps = 8
    run_experiment(config, tmp_path / "run")
    data = read_tables(tmp_path / "log")
    router = load_router(tmp_path / "run", data)
    evaluation = evaluate_router(router, data, read_logged(tmp_path / "log", data))
    rows = np.flatnonzero(held_out(router, data))
    picked = data.llms.ids[select_llms(router, data, rows, lambda share: None)]
    right = picked == np.array([liked[user] for user in data.users.ids[data.decisions.user[rows]]])
    lines = {(line.policy, line.estimator): line.interval for line in evaluation.comparison.lines}
    worth = 0.35 + 0.5 * right.mean()
    assert right.mean() > 0.8
    assert lines["router", "dr"].low < worth < lines["router", "dr"].high
    assert lines["router - best single LLM", "dr"].low > 0.1
