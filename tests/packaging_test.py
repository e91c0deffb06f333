"""An installation: one top-level package and the command prouter, hidden by no folder of the current directory."""

import json
import os
import pathlib
import shutil
import sys
import sysconfig
import zipfile

import processes
import pytest

from launch.cli import COMMANDS

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = ("prouter_jax", "launch", "experiments", "pyproject.toml", "setup.py", "README.md", "LICENSE")
TINY = (
    *("--config.data.encoder=hash", "--config.data.embedded.num_queries=60", "--config.data.embedded.num_users=6"),
    *("--config.train.num_train_steps=4", "--config.train.eval_every_steps=4", "--config.model.warmup_rounds=2"),
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what an installation is built from, so that no build folder is left in the checkout."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(sources))
    return next(folder.glob("*.whl"))


def _pip(*arguments):
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--no-index", "--disable-pip-version-check"]
    done = processes.run(command, env=_environment())
    assert done.returncode == 0, done.stderr


def _environment():
    """Without the checkout on the path of Python, and with one device in a process."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XLA_FLAGS")}


def _install(folder, *what):
    """The folder bin of a fresh environment that has this one's packages, except for this project."""
    processes.run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    (site,) = folder.glob("lib/python*/site-packages")
    # a folder that a .pth file names gives its packages, but its own .pth files, such as ours, are not read
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    prefix = ("--python", str(folder / "bin" / "python"))
    _pip(*prefix, "install", "--no-deps", "--no-build-isolation", "--ignore-installed", *what)
    return folder / "bin"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    return _install(tmp_path_factory.mktemp("installed"), str(wheel))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A current directory with folders that are called as parts of this project are."""
    for name in ("launch", "experiments"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('a decoy')\n")
        (tmp_path / name / "train.py").write_text("raise ImportError('a decoy')\n")
    (tmp_path / "embedded").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(command, *arguments):
    return processes.run([str(command), *arguments], env=_environment())


def test_the_wheel_has_one_package_with_every_file(sources, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set()
    for path in sources.rglob("*"):
        top, *inner = path.relative_to(sources).parts
        if path.is_file() and inner and top in ("prouter_jax", "launch", "experiments"):
            expected.add("/".join([top, *inner] if top == "prouter_jax" else ["prouter_jax", top, *inner]))
    assert names == expected
    assert {f"prouter_jax/{name}" for name in ("experiments/pairs.jsonl", "launch/backends/Dockerfile")} < names


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_every_command_is_there(installed):
    done = _run(installed / "prouter", "--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
        done_one = _run(installed / "prouter", name, "--help")
        assert (done_one.returncode, done_one.stderr) == (0, "")
        assert f"prouter_jax/launch/{name}.py:" in done_one.stdout
    code = "import importlib.util, prouter_jax; print(prouter_jax.__file__, importlib.util.find_spec('launch'))"
    file, _, found = _run(installed / "python", "-P", "-c", code).stdout.strip().partition(" ")
    assert pathlib.Path(file).is_relative_to(installed.parent)
    assert found == "None"


@pytest.mark.slow
def test_commands_run_and_start_others(installed, elsewhere):
    """pod starts two processes of train, one of which becomes evaluate; a sweep starts trials of train."""
    train = ["--config=embedded", f"--workdir={elsewhere}/run", *TINY, "--config.mesh.data=2"]
    done = _run(installed / "prouter", "pod", "--backend=local", "--processes=2", "--restarts=0", "--", *train)
    logs = "\n".join(path.read_text() for path in (elsewhere / "run.logs").glob("log.*.txt"))
    assert done.returncode == 0, done.stderr + logs
    assert f"report: {elsewhere}/run/report/report.html" in logs
    score = ["--input=pairs", "--output=scored.jsonl", f"--workdir={elsewhere}/run"]
    done = _run(installed / "prouter", "score", *score)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (elsewhere / "scored.jsonl").read_text().splitlines()]
    assert len(rows) == len((ROOT / "experiments" / "pairs.jsonl").read_text().splitlines())
    assert rows[0]["llm"] in rows[0]["probabilities"]
    sweep = ["--config=embedded", f"--workdir={elsewhere}/sweep", "--sweep=model.factor_dim=2", *TINY]
    done = _run(installed / "prouter", "sweep", *sweep)
    assert done.returncode == 0, done.stderr
    assert f"best experiment: {elsewhere}/sweep/best.py" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_an_editable_installation_runs_the_checkout(sources, tmp_path):
    bin_ = _install(tmp_path / "environment", "--editable", str(sources))
    assert _run(bin_ / "prouter", "train", "--help").stdout.count(f"{sources}/launch/train.py:") == 1
    train = ("--config=embedded", "--workdir=run", "--config.mesh.data=2")
    done = _run(bin_ / "prouter", "pod", "--dry_run", "--processes=2", "--", *train)
    assert done.stdout.count(f" -P -m prouter_jax.launch.train {' '.join(train)}") == 2
    done = _run(bin_ / "python", "-P", "-m", "prouter_jax.launch.train", "--config=embedded")
    assert done.stderr.startswith("train: flag --workdir: expected a value")


def test_a_process_is_started_as_part_of_the_package_that_starts_it():
    from launch.entry import module_command

    assert module_command("benchmarks.stub_llms") == [sys.executable, "-m", "launch.benchmarks.stub_llms"]
