"""What README and BUILD promise: the commands exist, the examples run, every experiment is valid."""

import dataclasses
import importlib
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from prouter_jax import Router
from prouter_jax.config import ExperimentConfig, validate

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = {name: (ROOT / name).read_text() for name in ("README.md", "BUILD.md")}
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("[a-z]*.py"))
LAUNCHERS = sorted(path.stem for path in (ROOT / "launch").glob("[a-z]*.py") if path.stem != "entry")


def _commands(text):
    """Lines of indented or fenced blocks that are not Python, continuation lines joined."""
    fenced = re.findall(r"```(?:bash|sh|console)?\n(.*?)```", text, re.S)
    without = re.sub(r"```.*?```", "", text, flags=re.S)
    lines = "\n".join([without.replace("\\\n", " "), *fenced]).splitlines()
    found = [line.strip() for line in lines if line.startswith("    ") or line in "\n".join(fenced).splitlines()]
    found = [line.split("#")[0].strip() for line in found]
    return [line for line in found if re.match(r"(\S*python\S* -m|make|bash|git)\b", line)]


COMMANDS = [command for text in DOCUMENTS.values() for command in _commands(text)]
COMMANDS += [
    re.sub(r"\[|\]|\.\.\.", "", line.strip()).removeprefix("Command:").strip()
    for path in [*(ROOT / "experiments").glob("*.py"), *(ROOT / "launch").glob("*.py")]
    for line in path.read_text().splitlines()
    if re.match(r"(Command:\s+)?python -m launch\.\w+ ", line)
]


@pytest.fixture(scope="module")
def known_flags():
    """Names of the flags of each launcher's own module."""
    code = (
        "import sys, json, importlib\nfrom absl import flags\nfound = {}\n"
        "for name in sys.argv[1:]:\n"
        "    before = set(flags.FLAGS)\n"
        "    importlib.import_module('launch.' + name)\n"
        "    found[name] = sorted(set(flags.FLAGS) - before)\n"
        "    for flag in list(set(flags.FLAGS) - before): delattr(flags.FLAGS, flag)\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code, *LAUNCHERS], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _is_field(path):
    section = ExperimentConfig()
    for name in path.split("."):
        if not dataclasses.is_dataclass(section) or not hasattr(section, name):
            return False
        section = getattr(section, name)
    return not dataclasses.is_dataclass(section)


def _check_flags(flags, known):
    for flag in flags:
        name = flag.lstrip("-").split("=")[0]
        if name.startswith("config."):
            assert _is_field(name.removeprefix("config.")), flag
        else:
            assert name in known, flag


def test_there_are_commands_to_check():
    assert "make run" in COMMANDS
    assert "make test" in COMMANDS
    assert sum("launch.train" in command for command in COMMANDS) >= 5
    assert any("launch.score" in command for command in COMMANDS)


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_exists(command, known_flags):
    program, *rest = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(rest) <= set(targets)
    elif program == "bash":
        assert (ROOT / rest[0]).is_file()
    elif rest[1].startswith("launch."):
        launcher, *arguments = rest[1:]
        assert all(argument.startswith("--") for argument in arguments)
        own = arguments.index("--") if "--" in arguments else len(arguments)
        _check_flags(arguments[:own], known_flags[launcher.removeprefix("launch.")])
        _check_flags(arguments[own + 1 :], known_flags["train"])  # what launch.pod passes on
        for argument in arguments:
            name, _, value = argument.partition("=")
            if name == "--config" and "NAME" not in value:
                assert (ROOT / value).is_file()
            if name in ("--input", "--history") and value.startswith("experiments/"):
                assert (ROOT / value).is_file()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_flag_target_and_file_in_the_text_exists(name, known_flags):
    text = re.sub(r"XLA_FLAGS=\S+", "", DOCUMENTS[name])
    everything = {flag for flags in known_flags.values() for flag in flags}
    _check_flags(re.findall(r"`(--[a-z_.]+)", text), everything)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= set(targets)
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link
    for module in re.findall(r"\b([a-z_]+\.py|readers/)(?=[,\s|])", text.replace("best.py", "")):
        places = [ROOT / "prouter_jax" / module, ROOT / "experiments" / module, ROOT / module]
        places += [ROOT / "prouter_jax" / "bayes" / module]
        assert any(place.exists() for place in places), module


@pytest.fixture
def as_after_make_run(experiment_workdir, tmp_path, monkeypatch):
    """A folder with a trained router where `make run` leaves one."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "embedded").symlink_to(experiment_workdir)
    (tmp_path / "experiments").mkdir()
    shutil.copy(ROOT / "experiments" / "pairs.jsonl", tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("as_after_make_run")
def test_the_python_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENTS["README.md"], re.S)
    assert len(example.splitlines()) <= 12
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["history", "history", "cold_start"]
    assert all(re.fullmatch(r"\S+ \S+ [01]\.\d\d", line) for line in lines)


def test_the_score_command_runs(as_after_make_run):
    (command,) = [command for command in COMMANDS if "launch.score" in command and "pairs.jsonl" in command][:1]
    done = subprocess.run([sys.executable, *shlex.split(command)[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [name for name in done.stderr.splitlines() if "rows/s" not in name]
    rows = [json.loads(line) for line in (as_after_make_run / "scored.jsonl").read_text().splitlines()]
    known = set(Router.load("runs/embedded").world.interactions.queries.ids)
    for row in rows:
        bad = row.get("query") == "" or ("query" not in row and row["query_id"] not in known)
        assert (row["error"] is not None) == bad, row
    assert {row["basis"] for row in rows} == {"history", "cold_start", None}
    assert len({row["llm"] for row in rows if row["llm"]}) > 1


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_valid_and_says_how_to_run_it(name):
    module = importlib.import_module(f"experiments.{name}")
    config = module.get_config()
    if name == "tables":
        config.data.path = "somewhere"
    assert validate(config).name != ExperimentConfig().name
    assert module.get_config() is not module.get_config()
    assert f"Command:  python -m launch.train --config=experiments/{name}.py --workdir=" in module.__doc__


def test_make_run_is_what_readme_says():
    recipe = (ROOT / "Makefile").read_text()
    assert "launch.train --config=experiments/embedded.py --workdir=runs/embedded" in recipe
    assert "launch.score --workdir=runs/embedded --input=experiments/pairs.jsonl" in recipe
    assert "runs/embedded/report/report.html" in recipe
