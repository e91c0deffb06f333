"""A command line that is wrong is answered by one line: the flag, what was expected, what was found."""

import pathlib
import sys

import processes
import pytest

ROOT = pathlib.Path(__file__).parents[2]
TRAIN = ("train", "--config=embedded", "--workdir=none")
WRONG = [
    (TRAIN[:2], "flag --workdir: expected a value (Folder of the run), found none"),
    ((*TRAIN[:2], "--workdir"), "flag --workdir: expected a value (Folder of the run), found none"),
    ((*TRAIN[:2], "--workdir="), "flag --workdir: expected a value, found none"),
    ((*TRAIN, "--config.model.factor_dim=a: b"), "flag --config.model.factor_dim: expected a whole number, found 'a'"),
    ((*TRAIN, "--config.train.text_noise=x"), "flag --config.train.text_noise: expected a number, found 'x'"),
    ((*TRAIN, "--config.model.style=x"), "flag --config.model.style: expected true or false, found 'x'"),
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
