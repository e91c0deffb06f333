"""Two real processes save one state: the same bits on any other topology, and the first one alone keeps the books."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
import two_processes
from bucket_server import Bucket
from processes import HANG

from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.multihost import ask_primary

ROOT = pathlib.Path(__file__).parents[2]


def _run(folder, what, ends=(0, 0), **variables):
    """Runs both processes to their ends; returns what each says, None for nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "two_processes.py")]
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | devices | variables | {"PYTHONPATH": paths}
    both = [
        subprocess.Popen(
            [*command, str(index), port, str(folder), what],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    feedback = [process.communicate(timeout=HANG) for process in both]
    assert [process.returncode for process in both] == list(ends), feedback
    return [_said(out) for out, _ in feedback]


def _said(out):
    lines = [line for line in out.splitlines() if line.startswith("said ")]  # Gloo speaks too
    return json.loads(lines[-1].removeprefix("said ")) if lines else None


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Steps 1 (the best) and 2, saved twice, by two processes with two devices each, and what each wrote in Python."""
    folder = tmp_path_factory.mktemp("processes") / "checkpoints"
    return folder, _run(folder, "save")


def test_alone_it_just_asks():
    assert ask_primary(lambda: (1, "a")) == (1, "a")


@pytest.mark.slow
@pytest.mark.parametrize(("data", "model"), [(2, 2), (1, 4), (4, 1), (1, 1)])
def test_one_process_restores_what_two_saved(saved, data, model):
    folder, _ = saved
    mesh = jax.sharding.Mesh(np.array(jax.devices()[: data * model]).reshape(data, model), ("data", "model"))
    target = {
        name: jax.ShapeDtypeStruct(
            shape, np.float32, sharding=jax.sharding.NamedSharding(mesh, two_processes.SPECS[name])
        )
        for name, shape in two_processes.SHAPES.items()
    }
    state, step, rejected = Checkpoints(folder).restore_newest(target)
    assert (step, rejected) == (2, [])
    two_processes.check(state, target, 22)
    assert sorted(os.listdir(folder)) == ["1", "2", "best.json"]


@pytest.mark.slow
def test_the_second_process_writes_its_parts_alone(saved):
    folder, (first, second) = saved
    assert {"1/.manifest.json", "best.json"} & {name.rpartition(".")[0].rpartition(".")[0] for name in first}
    assert second
    assert not [name for name in second if "process_1" not in name]
    parts = {path.name for path in (folder / "1" / "state").glob("ocdbt.process_*")}
    assert parts == {"ocdbt.process_0", "ocdbt.process_1"}
    sizes = [
        sum(path.stat().st_size for path in (folder / "1" / "state" / part).rglob("*") if path.is_file())
        for part in sorted(parts)
    ]
    assert min(sizes) > 2**20


@pytest.mark.slow
def test_both_processes_walk_back_over_the_same_damage(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "checkpoints")
    part = max((folder / "2" / "state" / "ocdbt.process_1").rglob("*"), key=lambda path: path.stat().st_size)
    part.write_bytes(part.read_bytes()[:-1])
    first, second = _run(folder, "restore")
    assert first == second
    assert [line.partition(": ")[0] for line in first] == ["step 2"]


@pytest.mark.slow
def test_where_the_first_process_fails_both_do(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "checkpoints")
    first, second = _run(folder, "fail")
    assert first == second
    assert first.startswith(f"step 9: expected to save it in {folder}, found")
    assert "No space left on device" in first
    target = two_processes.make_target(8, 1)
    assert Checkpoints(folder).restore_newest(target)[1:] == (2, ["step 9: manifest.json: missing"])


@pytest.mark.slow
def test_where_the_second_process_fails_alone_the_first_does_not_wait_for_ever(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "checkpoints")
    first, second = _run(folder, "cut", ends=(-signal.SIGABRT, 1))
    assert first is None
    assert second.startswith(f"step 9: expected to save it in {folder}, found")
    assert "File too large" in second
    target = two_processes.make_target(8, 1)
    assert Checkpoints(folder).restore_newest(target)[1:] == (2, [])


@pytest.mark.slow
def test_two_processes_save_to_a_bucket_through_googles_client(bucket):
    """All of it but Google: gcsfs and TensorStore speak HTTP with the bucket of this process."""
    pytest.importorskip("gcsfs", reason="needs the extra: pip install 'prouter-jax[gcs]'")
    url = os.environ["TENSORSTORE_GCS_HTTP_URL"]
    folder = f"{bucket}/run/checkpoints"
    _run(folder, "save", STORAGE_EMULATOR_HOST=url, GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT="false")
    target = two_processes.make_target(4, 2)
    state, step, rejected = Checkpoints(folder).restore_newest(target)
    assert (step, rejected) == (2, [])
    two_processes.check(state, target, 22)
    assert {name.split("/")[4] for name in Bucket.store} == {"1", "2", "best.json"}
    assert {name.split("/")[6] for name in Bucket.store if "ocdbt.process" in name} == {
        "ocdbt.process_0",
        "ocdbt.process_1",
    }
