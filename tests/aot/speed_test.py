"""A run's speed: sizes and operations as counted by hand, and facts that outlive a run."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.aot.speed import SPEED, Speed, count_speed, read_facts, speed_facts, write_speed
from prouter_jax.experiment import evaluate_experiment, run_experiment
from prouter_jax.training.loop import train
from prouter_jax.training.profiling import Pace

_SPEED = Speed(25_000, 100_000, 2048, 3e9, 2**30, 0, 0.5)
_NAMES = {"parameters", "a step"}


def _pace(function, *arguments, devices=1):
    text = jax.jit(function).lower(*arguments).compile().as_text()
    return Pace(10, 40, 0, text, 0.1, devices)


def test_operations_of_a_product_of_matrices_are_counted():
    left, right = jnp.ones((30, 50)), jnp.ones((50, 70))
    found = count_speed(_pace(jnp.matmul, left, right))
    assert found.flops == 2 * 30 * 50 * 70
    assert found.moved_bytes >= 4 * (30 * 50 + 50 * 70 + 30 * 70)


def test_a_loop_counts_as_often_as_it_goes_round():
    matrices, right = jnp.ones((9, 30, 50)), jnp.ones((50, 70))
    found = count_speed(_pace(lambda m, r: jax.lax.map(lambda one: one @ r, m), matrices, right))
    products = 9 * 2 * 30 * 50 * 70
    assert products <= found.flops < 1.01 * products
    assert found.uncounted == 0


def test_the_work_of_all_devices_is_counted():
    matrix = jnp.ones((30, 30))
    assert count_speed(_pace(jnp.matmul, matrix, matrix, devices=4)).flops == 4 * 2 * 30**3


def test_facts_of_a_report():
    assert speed_facts(_SPEED) == {
        "parameters": "25,000 (97.7 KiB; optimizer 2.00 KiB)",
        "a step": "3.00 Gflop, 1.00 GiB read and written, 500 ms (median)",
    }
    timeless = speed_facts(dataclasses.replace(_SPEED, seconds=None, uncounted=1))
    assert timeless.keys() == {"parameters", "a step"}
    assert timeless["a step"] == "at least 3.00 Gflop, 1.00 GiB read and written"


def test_what_was_written_is_read_and_damage_is_told(tmp_path):
    assert read_facts(tmp_path) == {}
    write_speed(_SPEED, tmp_path)
    assert read_facts(tmp_path) == speed_facts(_SPEED)
    text = (tmp_path / SPEED).read_text()
    (tmp_path / SPEED).write_text(text.replace("25000", "25001"))
    assert read_facts(tmp_path) == {"a step": f"unknown: {SPEED}: SHA-256 differs from the one it carries"}


def test_a_run_s_parameters_are_counted_and_its_step_is_compiled_once(trained, tmp_path):
    (tmp_path / "first").mkdir()
    train(trained.config, trained.dataset, tmp_path / "first")  # other tests may have had the step forgotten
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, _, **more: compiled.append(more.get("fun_name")) if "backend_compile" in name else None
    )
    pace = train(trained.config, trained.dataset, tmp_path)
    assert pace is not None
    sizes = [np.asarray(leaf).size for leaf in jax.tree.leaves(trained.params)]
    assert (pace.parameters, pace.parameter_bytes) == (sum(sizes), 4 * sum(sizes))
    assert pace.seconds is not None
    assert 0 < pace.seconds < 60
    assert not [name for name in compiled if name and "step" in name]


def _facts(workdir):
    return json.loads((workdir / "report" / "report.json").read_text())["facts"]


def test_a_report_has_the_speed_also_when_nothing_is_left_to_train(experiment, experiment_workdir, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(experiment_workdir, workdir)
    first = {name: _facts(workdir)[name] for name in _NAMES}
    written = (workdir / SPEED).read_bytes()
    run_experiment(experiment, workdir)
    assert (workdir / SPEED).read_bytes() == written
    assert {name: _facts(workdir)[name] for name in _NAMES} == first
    assert "flop" not in capsys.readouterr().err
    (workdir / SPEED).unlink()
    evaluate_experiment(workdir)
    assert not _NAMES & _facts(workdir).keys()
