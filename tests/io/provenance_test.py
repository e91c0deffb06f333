"""Results say where they come from."""

import re
import subprocess

import prouter_jax
from prouter_jax.io import provenance


def test_versions_machine_date_and_commit_are_named():
    found = provenance.provenance()
    assert list(found) == ["versions", "machine", "date", "commit"]
    assert re.fullmatch(r"jax \d\S*, flax \d\S*, numpy \d\S*", found["versions"])
    assert re.fullmatch(r"\d+ cores, \S+, Python 3\.\S+", found["machine"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])


def test_without_git_the_commit_is_unknown(monkeypatch):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(subprocess, "run", fail)
    assert provenance.provenance()["commit"] == "unknown"


def test_an_installed_copy_names_its_version_not_the_repository_around_it(tmp_path, monkeypatch):
    monkeypatch.setattr(
        provenance, "__file__", str(tmp_path / "site-packages" / "prouter_jax" / "io" / "provenance.py")
    )
    assert provenance.provenance()["commit"] == f"prouter_jax {prouter_jax.__version__}"
