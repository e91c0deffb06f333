"""Results say where they come from."""

import re
import subprocess

from prouter_jax.io import provenance


def test_versions_machine_date_and_commit_are_named():
    found = provenance.provenance()
    assert list(found) == ["versions", "machine", "date", "commit"]
    assert re.fullmatch(r"jax \d\S*, flax \d\S*, numpy \d\S*", found["versions"])
    assert re.fullmatch(r"\d+ cores, \S+, Python 3\.\S+", found["machine"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])


def test_outside_a_checkout_the_commit_is_unknown(monkeypatch):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(subprocess, "run", fail)
    assert provenance.provenance()["commit"] == "unknown"
