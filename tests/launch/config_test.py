"""The command config lists the fields of an experiment."""

import pathlib
import sys

import processes

ROOT = pathlib.Path(__file__).parents[2]


def _run(*arguments):
    return processes.run([sys.executable, "-m", "launch", *arguments], cwd=ROOT)


def test_fields_have_type_range_value_and_meaning():
    done = _run("config", "--experiment=embedded", "--find=seeds")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "--config.seeds=0  (whole number, 0 to 1,000)"
    assert lines[1].startswith("    n trains seeds 0 .. n-1")
    named = _run("config", "--experiment=embedded", "--find=title").stdout
    assert named.startswith("--config.name=Embedded benchmark: 40 users, 8 LLMs*  (text)")


def test_what_is_not_found_is_one_line():
    done = _run("config", "--experiment=embedded", "--find=zzz")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "config: flag --find: expected a text of some field, found 'zzz' in none\n"
    assert "config: expected a file or one of" in _run("config", "--experiment=none").stderr


def test_an_unknown_field_names_the_nearest_with_an_example():
    done = _run("train", "--config=embedded", "--workdir=none", "--config.train.steps=3")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "found 'steps'; did you mean --config.train.num_train_steps=16, " in done.stderr
    assert done.stderr.startswith("train: --config.train.steps: expected a field of config.train: ")
