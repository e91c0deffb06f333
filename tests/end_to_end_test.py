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

from prouter_jax import Router
from prouter_jax import config as configuration
from prouter_jax.checkpoint import Checkpoints
from prouter_jax.prepare import prepare, read_source
from prouter_jax.train import initial_state, make_run

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
    run = make_run(config, prepare(read_source(config.data), config.data, config.seed))
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


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_killed_run_ends_bitwise_like_an_undisturbed_one(experiment, tmp_path, seed):
    config = configuration.from_json(configuration.to_json(experiment))
    config.train.num_train_steps, config.train.eval_every_steps, config.train.patience = 120, 5, 1000
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    begun = time.monotonic()
    subprocess.run(_command(tmp_path, config, whole), check=True, capture_output=True)
    subprocess.run(_command(tmp_path, config, tmp_path / "again"), check=True, capture_output=True)
    seconds = (time.monotonic() - begun) / 2
    chance, kills, resumed = random.Random(seed), 0, 0
    for _ in range(6):
        process = subprocess.Popen(_command(tmp_path, config, broken), stderr=subprocess.PIPE, text=True)
        try:
            _, said = process.communicate(timeout=chance.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            _, said = process.communicate()
            kills += 1
        resumed += "resumed from step" in said
    assert kills
    done = subprocess.run(_command(tmp_path, config, broken), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert resumed or "resumed from step" in done.stderr
    for part in ("", "user_blind"):
        (expected, last), (found, step) = (_newest(config, folder / part) for folder in (whole, broken))
        assert step == last == 120
        jax.tree.map(np.testing.assert_array_equal, found, expected)
        steps = [json.loads(line)["step"] for line in (broken / part / "metrics.jsonl").read_text().splitlines()]
        assert len(steps) == len(set(steps))
        assert steps == sorted(steps)
    reports = [json.loads((folder / "report" / "report.json").read_text()) for folder in (whole, broken)]
    assert reports[0]["policies"] == reports[1]["policies"]
    assert not [path for path in broken.rglob("*") if path.name.startswith(".writing")]
