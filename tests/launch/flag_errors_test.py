"""A command line that is wrong is answered by one line: the flag, what was expected, what was found."""

import pathlib
import sys

import processes
import pytest

ROOT = pathlib.Path(__file__).parents[2]
TRAIN = ("train", "--config=embedded", "--workdir=none")


def _wrong_value(path, kind, example, found):
    return f"flag --config.{path}: expected {kind}, such as --config.{path}={example}, found {found}"


WRONG = [
    (TRAIN[:2], "flag --workdir: expected a value (Folder of the run), found none"),
    ((*TRAIN[:2], "--workdir"), "flag --workdir: expected a value (Folder of the run), found none"),
    ((*TRAIN[:2], "--workdir="), "flag --workdir: expected a value, found none"),
    (
        (*TRAIN, "--config.model.factor_dim=a: b"),
        _wrong_value("model.factor_dim", "a whole number", "9", "'a'"),
    ),
    (
        (*TRAIN, "--config.train.text_noise=x"),
        _wrong_value("train.text_noise", "a number", "5.0", "'x'"),
    ),
    (
        (*TRAIN, "--config.model.style=x"),
        _wrong_value("model.style", "true or false", "true", "'x'"),
    ),
    ((*TRAIN, "--config.mesh=2"), "flag --config.mesh: expected a field of this section (data, model), found '2'"),
    (("pod", "--backend=x"), "flag --backend: expected one of local, slurm, gke, tpu_vm, found 'x'"),
    (("pod", "--processes=0"), "flag --processes: expected a positive integer, found '0'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_wrong_flag_is_named_with_what_it_expects(arguments, message):
    done = processes.run([sys.executable, "-m", "launch", *arguments], cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{arguments[0]}: {message}\n")


def test_all_flags_that_are_missing_are_named():
    done = processes.run([sys.executable, "-m", "launch", "score", "--workdir=none"], cwd=ROOT)
    assert [part.split(":")[0] for part in done.stderr.removeprefix("score: ").split("; ")] == [
        "flag --input",
        "flag --output",
    ]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("return {}", "config: expected an ExperimentConfig, found {}"),
        ("c = ExperimentConfig(); c.train = 5; return c", "config.train: expected a section Train, found 5"),
    ],
)
def test_an_experiment_file_that_returns_something_else_is_named(tmp_path, body, found):
    path = tmp_path / "wrong.py"
    path.write_text(f"from prouter_jax import ExperimentConfig\ndef get_config(): {body}\n")
    for override in ((), ("--config.train.num_train_steps=3",)):
        command = [sys.executable, "-m", "launch", "train", f"--config={path}", f"--workdir={tmp_path}/run", *override]
        done = processes.run(command, cwd=ROOT)
        assert (done.returncode, done.stdout) == (1, "")
        assert found in done.stderr
        assert len(done.stderr.splitlines()) == 1


_STOPPED = """
import runpy, signal
import prouter_jax.experiment

prouter_jax.experiment.run_experiment = lambda *_: signal.raise_signal(signal.{})
runpy.run_module("launch.train", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stopped_training_says_in_one_line_what_is_saved(tmp_path, trained, name, code):
    arguments = [sys.executable, "-c", _STOPPED.format(name), "--config=embedded"]
    for workdir, saved in (
        (trained.workdir, f"step 12 of {trained.workdir} is saved"),
        (tmp_path, "nothing was"),
    ):
        done = processes.run([*arguments, f"--workdir={workdir}"], cwd=ROOT)
        assert (done.returncode, done.stdout) == (code, "")
        assert f"train: stopped by {name}; {saved}" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


_SIGNALLED = """
import runpy, signal, sys
from launch import entry

start = entry.start
entry.start = lambda main, **options: start(lambda: signal.raise_signal(signal.SIGTERM), **options)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
_SAVED = {
    ("evaluate", "--workdir=x"): "nothing was to be saved",
    ("score", "--workdir=x", "--input=x", "--output=x"): "nothing was to be saved",
    ("score", "--workdir=x", "--input=x", "--output=x", "--shard=0/2"): "complete parts are saved",
    ("collect", "--queries=x", "--llms=x", "--out=x"): "every answer so far is saved; the same command goes on",
    ("update", "--workdir=x", "--feedback=x"): "an update that is complete counts; the same command goes on",
}


@pytest.mark.parametrize("command", _SAVED, ids=" ".join)
def test_a_command_that_gets_sigterm_says_in_one_line_what_is_saved(command):
    done = processes.run([sys.executable, "-c", _SIGNALLED, f"launch.{command[0]}", *command[1:]], cwd=ROOT)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr == f"{command[0]}: stopped by SIGTERM; {_SAVED[command]}\n"


_FAILING = """
from launch import entry

def main():
    raise {}

entry.start(main)
"""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        ("MemoryError", 1, "expected more memory, found too little (MemoryError"),
        (
            "RuntimeError('RESOURCE_EXHAUSTED: x')",
            1,
            "expected more memory, found too little (RuntimeError",
        ),
        ('RuntimeError("can\'t start new thread")', 1, "expected more memory, found too little (RuntimeError"),
        ("KeyboardInterrupt", 130, "stopped by SIGINT; nothing was to be saved"),
    ],
)
def test_too_little_memory_and_an_interrupt_are_one_line(error, code, line):
    done = processes.run([sys.executable, "-c", _FAILING.format(error)], cwd=ROOT)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (code, "", 1)
    assert f": {line}" in done.stderr
