"""A checkpoint says on what machine it was saved, and a run that goes on elsewhere says so."""

import os
import shutil

import pytest

from prouter_jax.io import files
from prouter_jax.training import checkpoint
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.loop import train
from prouter_jax.training.machine import compare_machines, describe_machine


def test_what_decides_the_bits_is_described():
    found = describe_machine()
    assert found["cores"] == str(len(os.sched_getaffinity(0)))
    assert found["devices"] == "8 cpu"  # of conftest
    assert found["XLA_FLAGS"] == os.environ["XLA_FLAGS"]
    assert all(found[name][0].isdigit() for name in ("jax", "jaxlib", "flax", "numpy", "optax", "Python"))
    assert "threads" in found["BLAS"]
    assert found == describe_machine()


def test_differences_are_named():
    before = {"cores": "4", "jax": "0.10.1", "BLAS": "x", "gone": "1", "XLA_FLAGS": "--a"}
    now = {"cores": "2", "jax": "0.10.2", "BLAS": "x", "new": "2", "XLA_FLAGS": ""}
    assert compare_machines(before, now) == [
        "cores 4, now 2",
        "jax 0.10.1, now 0.10.2",
        "gone 1, now unknown",
        "XLA_FLAGS --a, now none",
        "new unknown, now 2",
    ]


def test_a_run_that_goes_on_elsewhere_says_so_in_a_line(trained, tmp_path, monkeypatch, capfd):
    workdir = shutil.copytree(trained.workdir, tmp_path / "run")
    step = Checkpoints(workdir / "checkpoints").newest_step()
    assert files.read_manifest(workdir / "checkpoints" / str(step))["machine"] == describe_machine()
    train(trained.config, trained.dataset, workdir)
    assert "undisturbed" not in capfd.readouterr().err
    monkeypatch.setattr(checkpoint, "describe_machine", lambda: describe_machine() | {"cores": "64", "jaxlib": "9"})
    train(trained.config, trained.dataset, workdir)
    cores, jaxlib = (describe_machine()[name] for name in ("cores", "jaxlib"))
    lines = [line for line in capfd.readouterr().err.splitlines() if "undisturbed" in line]
    expected = f"saved with cores {cores}, now 64; jaxlib {jaxlib}, now 9"
    assert lines == [f"router: not to the last bit as an undisturbed run: {expected}"]


def test_a_checkpoint_of_before_says_nothing(tmp_path, monkeypatch):
    import numpy as np

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "describe_machine", lambda: None)
        Checkpoints(tmp_path).save(0, {"x": np.zeros(2)}, 0.0)
    assert Checkpoints(tmp_path).changes_since(0) == []
    with pytest.raises(ValueError, match=r"manifest\.json: missing"):
        Checkpoints(tmp_path).changes_since(1)
