"""Units: what is stored is not run again, not even after kill -9; what is damaged or of other arguments is refused."""

import dataclasses
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import processes
import pytest
from protocol_cases import constant, definition, measurement

from prouter_jax.evaluation.protocol.definition import Definition, MissingData, Unit
from prouter_jax.evaluation.protocol.runner import run_units
from prouter_jax.io.locks import Busy, lock
from prouter_jax.training.multihost import Preempted

ROOT = pathlib.Path(__file__).parents[3]


class Counted:
    """Measures constants and remembers of which seeds; fails at those it is told to."""

    def __init__(self, failing=()):
        self.seeds, self.failing = [], set(failing)

    def __call__(self, seed: int, router: float):
        self.seeds.append(seed)
        if seed in self.failing:
            raise RuntimeError(f"no\nseed {seed}")
        return constant(seed, router)


def _counted(function, **arguments) -> Definition:
    units = [Unit(f"seed{seed}", function, {"seed": seed, "router": 0.5} | arguments) for seed in range(3)]
    return dataclasses.replace(definition(), units=units)


def _run(function, workdir, small=False, **arguments):
    return run_units(_counted(function, **arguments), workdir, small)


def test_what_is_stored_is_not_run_again(tmp_path):
    function = Counted()
    first, again = _run(function, tmp_path), _run(function, tmp_path)
    assert function.seeds == [0, 1, 2]
    assert again.records == first.records
    assert [record["measurements"] for record in first.records] == [[constant(seed, 0.5)] for seed in range(3)]
    assert all(record["seconds"] >= 0 and record["provenance"]["commit"] for record in first.records)


def test_a_failed_unit_leaves_the_others_and_is_tried_again(tmp_path, capsys):
    function = Counted(failing=[1])
    work = _run(function, tmp_path)
    log = tmp_path / "failures" / "choices" / "seed1.txt"
    assert work.failures == {"seed1": f"table choices: seed1: RuntimeError: no seed 1 ({log})"}
    assert len(work.records) == 2
    assert "Traceback" in log.read_text()
    assert "choices: unit 2/3, seed1 failed" in capsys.readouterr().err.splitlines()
    function.failing.clear()
    assert not _run(function, tmp_path).failures
    assert function.seeds == [0, 1, 2, 1]
    assert not log.exists()


def test_missing_data_have_one_line_however_many_units_need_them(tmp_path):
    def measure(seed, router):
        raise MissingData("votes: not there")

    assert set(_run(measure, tmp_path).failures.values()) == {"table choices: votes: not there"}
    assert not (tmp_path / "failures").exists()


def test_a_unit_that_returns_no_measurement_fails(tmp_path):
    work = _run(lambda seed, router: {"accuracy": router}, tmp_path)
    assert "measurement, setting: expected str, found None" in work.failures["seed0"]
    assert not list(tmp_path.glob("units/**/*.json"))


def test_a_unit_may_return_several_measurements_and_unknown_numbers(tmp_path):
    def measure(seed, router):
        return [measurement(seed, k=k, router=router, ridge={"accuracy": float("nan")}) for k in (0, 3)]

    for _ in range(2):
        measured = _run(measure, tmp_path).records[2]["measurements"]
        assert [one["k"] for one in measured] == [0, 3]
        assert measured[0]["policies"]["ridge"] == {"accuracy": None}


@pytest.mark.parametrize(("small", "arguments"), [(True, {}), (False, {"router": 0.6})])
def test_results_of_other_arguments_are_refused_before_anything_runs(tmp_path, small, arguments):
    _run(Counted(), tmp_path)
    (tmp_path / "units" / "choices" / "seed0.json").unlink()
    function = Counted()
    with pytest.raises(ValueError, match=r"seed1.json: expected a result of the arguments of this unit, .* --workdir"):
        _run(function, tmp_path, small, **arguments)
    assert function.seeds == []


def test_a_damaged_result_is_one_line_that_names_it(tmp_path):
    _run(Counted(), tmp_path)
    path = tmp_path / "units" / "choices" / "seed1.json"
    sound = path.read_text()
    for damage in (sound[:-40], sound.replace("favourite", "favorite"), ""):
        assert damage != sound
        path.write_text(damage)
        with pytest.raises(ValueError, match=r"seed1.json: .*delete it to measure it again") as caught:
            _run(Counted(), tmp_path)
        assert str(caught.value).startswith(str(path.parent))
        assert "\n" not in str(caught.value)


def test_keys_differ(tmp_path):
    units = [Unit("same", constant, {"seed": seed, "router": 0.5}) for seed in (0, 1)]
    with pytest.raises(ValueError, match="table choices: expected units of different keys"):
        run_units(dataclasses.replace(definition(), units=units), tmp_path, False)


def test_progress_says_what_is_done_and_left(tmp_path, capsys):
    run_units(definition(seeds=2), tmp_path, False)
    run_units(definition(seeds=3), tmp_path, False)
    lines = capsys.readouterr().err.splitlines()
    assert re.match(r"choices: unit 2/2, seed1, \d+\.\d s, 0 s left", lines[1])
    assert lines[2] == "choices: 2 of 3 units have a stored result"
    assert lines[3].startswith("choices: unit 3/3, seed2")


_KILLED = """
import os, pathlib, signal, sys, time
sys.path.insert(0, "tests")
from protocol_cases import constant, definition
from prouter_jax.evaluation.protocol.runner import reproduce
import prouter_jax.evaluation.protocol.definition as d
import dataclasses

workdir, fatal, pause = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
def measure(seed, router):
    time.sleep(pause)
    with open(workdir / "calls", "a") as calls:
        calls.write(f"{seed}\\n")
    if str(seed) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return constant(seed, router)
asked = definition()
units = [dataclasses.replace(unit, function=measure) for unit in asked.units]
print(reproduce([dataclasses.replace(asked, units=units)], workdir, False))
"""


def _start(workdir, fatal="none", pause=0.0):
    command = [sys.executable, "-c", _KILLED, str(workdir), fatal, str(pause)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _in_a_process(workdir, fatal):
    process = _start(workdir, fatal)
    out, error = process.communicate(timeout=processes.HANG)
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def test_processes_share_the_work_and_each_has_the_whole_table(tmp_path):
    together = [_start(tmp_path, pause=1.5) for _ in range(2)]
    for process in together:
        out, error = process.communicate(timeout=processes.HANG)
        assert (process.returncode, out) == (0, "[]\n"), error
    assert sorted((tmp_path / "calls").read_text().split()) == ["0", "1", "2"]
    table = json.loads((tmp_path / "tables" / "choices.json").read_text())
    assert table["cells"][0]["seeds"] == [0, 1, 2]
    assert not list(tmp_path.glob("**/*.lock"))


def test_what_others_are_at_is_left_to_them(tmp_path):
    function = Counted()
    with lock(tmp_path / "units" / "choices" / "seed1.lock"):
        work = _run(function, tmp_path)
    assert function.seeds == [0, 2]
    assert (work.busy, work.failures, len(work.records)) == (["seed1"], {}, 2)
    assert _run(function, tmp_path).busy == []
    assert function.seeds == [0, 2, 1]


def test_a_unit_waits_for_what_another_process_prepares_for_it(tmp_path):
    def tuning_is_under_way(seed, router):
        raise Busy("tuned/choices.lock")

    work = _run(tuning_is_under_way, tmp_path)
    assert (len(work.busy), work.failures) == (3, {})
    assert len(_run(Counted(), tmp_path).records) == 3


def test_a_signal_to_stop_is_no_failure_of_a_unit(tmp_path):
    def stopped(seed, router):
        raise Preempted("runs/choices: stopped by SIGTERM")

    with pytest.raises(Preempted):
        _run(stopped, tmp_path)
    assert not (tmp_path / "failures").exists()
    assert len(_run(Counted(), tmp_path).records) == 3


def test_failures_of_earlier_are_not_tried_again(tmp_path):
    function = Counted()
    work = run_units(_counted(function), tmp_path, False, failed={"seed1": "table choices: no"})
    assert function.seeds == [0, 2]
    assert work.failures == {"seed1": "table choices: no"}


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    assert _in_a_process(tmp_path, "1").returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("units/**/*.json")] == ["seed0.json"]
    done = _in_a_process(tmp_path, "none")
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "1", "2"]
    table = json.loads((tmp_path / "tables" / "choices.json").read_text())
    assert table["cells"][0]["seeds"] == [0, 1, 2]


def test_when_time_is_up_nothing_is_begun_and_what_is_stored_counts(tmp_path):
    function = Counted(failing=[1])
    first = _run(function, tmp_path)
    work = run_units(_counted(function), tmp_path, False, until=time.monotonic())
    assert function.seeds == [0, 1, 2]
    assert work.records == first.records
    (line,) = work.failures.values()
    assert line == "table choices: time is up before all units were measured; the same command goes on"
