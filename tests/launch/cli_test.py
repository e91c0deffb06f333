"""The command prouter: all commands under their names, help at once, experiments by name or file."""

import pathlib
import re
import sys

import processes
import pytest

from launch import cli
from launch.config_flag import find_experiment, load_experiment

ROOT = pathlib.Path(__file__).parents[2]


def _prouter(*arguments):
    return processes.run([sys.executable, "-m", "launch", *arguments], cwd=ROOT)


def test_every_command_of_launch_is_listed_with_a_line():
    commands = {path.stem for path in (ROOT / "launch").glob("*.py") if "\n    entry.start(main" in path.read_text()}
    assert commands == set(cli.COMMANDS)
    done = _prouter("--help")
    assert done.returncode == 0
    listed = dict(re.findall(r"^  (\w+) +(\S.*\.)$", done.stdout, re.M))
    assert list(listed) == list(cli.COMMANDS)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    assert _prouter().stdout == done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_comes_at_once(name):
    text = processes.run_help(f"launch.{name}")
    assert f"prouter {name} --" in text
    assert f"{name}.py:" in text
    assert "--[no]compilation_cache:" in text
    done = _prouter(name, "--help")
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")


def test_hyphens_and_underscores_are_the_same():
    assert _prouter("off-policy", "--help").stdout == _prouter("off_policy", "--help").stdout
    assert find_experiment("alpaca-route") == find_experiment("alpaca_route")


def test_the_version_is_that_of_the_package():
    import prouter_jax

    assert _prouter("--version").stdout == f"prouter {prouter_jax.__version__}\n"


@pytest.mark.parametrize(("given", "hint"), [("trian", "; did you mean train?"), ("--bogus", ""), ("entry", "")])
def test_what_is_no_command_is_one_line(given, hint):
    done = _prouter(given)
    assert done.returncode == 1
    assert done.stderr == f"prouter: expected a command that `prouter --help` lists, found {given!r}{hint}\n"


def test_a_command_gets_its_arguments_and_names_itself():
    done = _prouter("train", "--config=tables", "--workdir=nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("train: config.data.path: expected a path")


def test_experiments_are_found_by_name_and_by_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("embedded").mkdir()  # hides nothing
    assert find_experiment("embedded") == ROOT / "experiments" / "embedded.py"
    pathlib.Path("own.py").touch()
    assert find_experiment("own.py") == pathlib.Path("own.py")
    with pytest.raises(ValueError, match=r"expected a file or one of alpaca_choices, .*, tables, .*; found 'own'"):
        find_experiment("own")


def test_an_experiment_may_build_on_the_file_beside_it(tmp_path):
    assert load_experiment("mmlupro_route").data.feedback == load_experiment("mmlu_route").data.feedback == "rating"
    (tmp_path / "base.py").write_text((ROOT / "experiments" / "embedded.py").read_text())
    lines = ["from . import base", "def get_config():", "    return base.get_config()"]
    (tmp_path / "derived.py").write_text("\n".join(lines))
    assert load_experiment(f"{tmp_path}/derived.py").name == load_experiment("embedded").name
