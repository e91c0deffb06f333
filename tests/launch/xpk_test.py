"""xpk's own dry run takes the command of the GKE back end; it has an environment of its own: its pins are not ours."""

import os
import shutil
import subprocess
import sys

import processes
import pytest

from launch.backends.cloud import GkeBackend
from launch.backends.job import Job

_XPK = "xpk==1.16.0"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="xpk needs gcloud, and there is none here"),
]


@pytest.fixture(scope="module")
def xpk(tmp_path_factory):
    """The program xpk."""
    folder = tmp_path_factory.mktemp("xpk")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", _XPK]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{_XPK} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin" / "xpk"


def _dry_run(xpk, tmp_path, topology, *more):
    inner = ("python", "-m", "launch.train", "--config=experiments/x.py", "--workdir=gs://b/run")
    options = ("--cluster=c", "--project=p", "--zone=us-east5-a", "--docker-image=gcr.io/p/image", "--dry-run", *more)
    command = GkeBackend(topology, options, 3).command(Job("job", inner, tmp_path, 1, {"A": "b c"}))
    environment = os.environ | {"HOME": str(tmp_path)}  # where xpk and gcloud keep what they know
    return processes.run([xpk, *command[1:]], cwd=tmp_path, env=environment)


@pytest.mark.parametrize(("topology", "name"), [("v5p:4x4x4", "v5p-128"), ("v5e:4x4", "v5litepod-16")])
def test_a_dry_run_of_xpk_takes_the_command(xpk, tmp_path, topology, name):
    done = _dry_run(xpk, tmp_path, topology)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "launch.train" in done.stdout + done.stderr


def test_the_dry_run_would_have_found_a_flag_that_xpk_does_not_know(xpk, tmp_path):
    assert _dry_run(xpk, tmp_path, "v5p:4x4x4", "--no-such-flag=1").returncode != 0
