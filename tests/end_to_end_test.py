"""From training in one process to answers in another, and through a kill at any moment."""

import json
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest
from processes import wait_for

from prouter_jax import Router
from prouter_jax import config as configuration
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.run import initial_state, make_run

TEXTS = ["Where does the Danube end?", "Please add 17 and 25 for me.", "Write a short poem about rain."]


def test_another_process_gives_the_same_answers(experiment_workdir, tmp_path):
    router = Router.load(experiment_workdir)
    ids = router.world.interactions.queries.ids
    rows = [{"user_id": f"u{i % 13:02}", "query": TEXTS[i % 3]} for i in range(30)]
    rows += [{"user_id": f"u{i % 13:02}", "query_id": ids[i]} for i in range(30)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = [f"--workdir={experiment_workdir}", f"--input={tmp_path}/in.jsonl", f"--output={tmp_path}/out.parquet"]
    subprocess.run([sys.executable, "-m", "launch.score", *arguments], check=True, capture_output=True)
    there = pq.read_table(tmp_path / "out.parquet").to_pylist()
    here = router.score(
        [row["user_id"] for row in rows],
        [row.get("query") for row in rows],
        query_ids=[row.get("query_id") for row in rows],
    )
    assert [row["llm"] for row in there] == here.llm
    assert [row["basis"] for row in there] == here.basis
    assert {"history", "cold_start"} == set(here.basis)
    for row, shares in zip(there, here.probabilities, strict=True):
        assert dict(row["probabilities"]) == pytest.approx(shares, abs=1e-7)


# ---- Killed with -9 at any moment, and started again with the same command.


def _newest(config, workdir):
    """The newest state of a run and its step."""
    run = make_run(config, prepare_dataset(read_source(config.data), config.data, config.seed))
    state, step, rejected = Checkpoints(workdir / "checkpoints").restore_newest(initial_state(run, 0))
    assert rejected == []
    return jax.device_get(state), step


def _command(folder, config, workdir):
    """launch.train with everything in `config` that differs from the defaults as overrides."""
    (folder / "tiny.py").write_text(
        "from prouter_jax.config import from_json\n\n\ndef get_config():\n"
        f"    return from_json({configuration.to_json(config)!r})\n"
    )
    return [sys.executable, "-m", "launch.train", f"--config={folder}/tiny.py", f"--workdir={workdir}"]


def _lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _has_state(workdir):
    """Whether a run that starts now finds a state: a kill may come before the first one is whole."""
    return any((workdir / "checkpoints").glob("*/manifest.json"))


def _killed(command, workdir, lines, delay):
    """Starts a run and kills it a moment after it has written so many lines of metrics."""
    found, watched = _has_state(workdir), workdir / "metrics.jsonl"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: _lines(watched) >= lines, process)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL
    assert ("router: resumed from step" in said) == found


@pytest.mark.slow
def test_a_killed_run_ends_bitwise_like_an_undisturbed_one(experiment, tmp_path):
    config = configuration.from_json(configuration.to_json(experiment))
    config.train.num_train_steps, config.train.eval_every_steps, config.train.patience = 60, 2, 1000
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(_command(tmp_path, config, whole), check=True, capture_output=True)
    command, chance = _command(tmp_path, config, broken), random.Random()
    kills = sorted(chance.sample(range(1, 28), 3))
    print("killed after lines of metrics:", [0, *kills])  # shown if the test fails
    for lines in (0, *kills):
        _killed(command, broken, lines, chance.uniform(0, 0.05))
    assert _has_state(broken)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "router: resumed from step" in done.stderr
    (expected, last), (found, step) = (_newest(config, folder) for folder in (whole, broken))
    assert (step, last) == (60, 60)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    steps = [json.loads(line)["step"] for line in (broken / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(2, 61, 2))
    reports = [json.loads((folder / "report" / "report.json").read_text()) for folder in (whole, broken)]
    assert reports[0]["policies"] == reports[1]["policies"]
    assert not [path for path in broken.rglob("*") if path.name.startswith(".writing")]
