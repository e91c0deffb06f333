"""What an installation takes from elsewhere: each package in one version with hashes, an image by its digest."""

import importlib.util
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LOCKS = ("make", "pod", "serve", "extras")
IMAGES = ("launch/backends/Dockerfile", "launch/backends/serve.Dockerfile")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def _load_check():
    spec = importlib.util.spec_from_file_location("check", ROOT / "requirements" / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECK = _load_check()
TEXTS = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in (*LOCKS, "uv")}
PINS = {name: CHECK.read_pins([text]) for name, text in TEXTS.items()}


def _names(requirements):
    return {re.match(r"[\w.-]+", one)[0].lower().replace("_", "-") for one in requirements}


@pytest.mark.parametrize("name", TEXTS)
def test_every_package_of_a_list_is_pinned_with_hashes(name):
    entries = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", TEXTS[name], flags=re.M).strip())
    assert len(entries) >= len(PINS[name]) > 0
    for entry in entries:
        assert re.match(r"[A-Za-z0-9][\w.-]*(\[[\w,-]+\])?==\S+( ; [^\\]+)? \\\n", entry), entry
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("make", {"test", "check", "baselines", "judge", "grading", "mask", "tfds"}),
        ("pod", {"gcs", "tpu", "ahead"}),
        ("serve", {"serve", "postgres"}),
    ],
)
def test_the_lists_have_every_extra(name, extras):
    direct = _names(PROJECT["dependencies"]) | _names(one for extra in extras for one in EXTRAS[extra])
    assert direct <= set(PINS[name])
    assert "setuptools" in PINS[name]  # without build isolation


def test_all_extras_are_in_a_list():
    pinned = {name for lock in LOCKS for name in PINS[lock]}
    assert _names(one for extra in EXTRAS.values() for one in extra) <= pinned


def test_lists_agree():
    for name in {name for lock in LOCKS for name in PINS[lock]}:
        assert len({frozenset(PINS[lock][name]) for lock in LOCKS if name in PINS[lock]}) == 1, name


def test_what_is_not_pinned_is_named():
    pins = CHECK.read_pins(["jax==1.0 \\\n    --hash=sha256:0\nA.b_c[x]==2 ; python_version < '3' \\\n", "jax==1.1\n"])
    assert pins == {"jax": {"1.0", "1.1"}, "a-b-c": {"2"}}
    assert CHECK.find_unpinned({"Jax": "1.0", "a_b.c": "2", "pip": "9", "prouter_jax": "0.1"}, pins) == []
    wrong = CHECK.find_unpinned({"jax": "1.2", "evil": "6"}, pins)
    assert wrong == ["evil: expected none, found 6", "jax: expected 1.0 or 1.1, found 1.2"]


def test_the_check_ends_with_1_if_something_is_not_pinned():
    command = [sys.executable, str(ROOT / "requirements" / "check.py"), str(ROOT / "requirements" / "uv.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"^jax: expected none, found ", done.stderr, re.M)


@pytest.mark.parametrize("path", ["Makefile", ".ci/run", *IMAGES, "launch/backends/cloud.py"])
def test_installations_are_of_lists_with_hashes(path):
    text = (ROOT / path).read_text().replace("\\\n", " ")
    installed = re.findall(r"pip install (?!xpk)([^\n|&]*)", text)
    assert installed
    for arguments in installed:
        assert "--require-hashes" in arguments or ("--no-deps" in arguments and "-r" not in arguments.split()), (
            arguments
        )
        for name in re.findall(r"-r (\S+)", arguments):
            assert (ROOT / name).is_file()


@pytest.mark.parametrize("path", IMAGES)
def test_the_image_is_fixed_small_and_not_run_by_root(path):
    lines = (ROOT / path).read_text().splitlines()
    (base,) = [line for line in lines if line.startswith("FROM ")]
    assert re.fullmatch(r"FROM python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    ignored = set((ROOT / ".dockerignore").read_text().split("\n"))
    assert {".git", ".venv", "runs"} <= ignored
    copied = {
        "prouter_jax",
        "launch",
        "experiments",
        "requirements",
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
    }
    assert not copied & ignored
