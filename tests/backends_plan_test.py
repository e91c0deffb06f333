"""What each back end would run, as text; nothing is started and nothing written."""

import pathlib
import subprocess
import sys

import pytest

from launch.backends.gke import GkeBackend
from launch.backends.job import Job
from launch.backends.remote import tpu_name
from launch.backends.slurm import SlurmBackend
from launch.backends.tpu_vm import TpuVmBackend

ROOT = pathlib.Path(__file__).parents[1]


def _job(tmp_path, workdir="gs://b/run", processes=2):
    command = ("python", "-m", "launch.train", "--config=experiments/x.py", f"--workdir={workdir}")
    return Job("job", command, tmp_path / "logs", processes, {"A": "b c"})


def test_slurm_runs_python_itself_on_each_node_and_keeps_the_exit_code(tmp_path):
    plan = SlurmBackend(("--partition=tpu",)).plan(_job(tmp_path))
    for line in ("#SBATCH --nodes=2", "#SBATCH --ntasks-per-node=1", "#SBATCH --requeue", "#SBATCH --partition=tpu"):
        assert line in plan
    assert "export A='b c'" in plan
    run = next(line for line in plan.splitlines() if line.startswith("srun"))
    assert run.endswith("python -m launch.train --config=experiments/x.py --workdir=gs://b/run --distributed")
    assert not (tmp_path / "logs").exists()


def test_gke_and_tpu_vms_are_told_the_slice_and_the_command(tmp_path):
    job = _job(tmp_path)
    gke = GkeBackend("v5p:4x4x4", ("--cluster=c",), 3).command(job)
    inner = "python -m launch.train --config=experiments/x.py --workdir=gs://b/run --distributed"
    for part in ("--tpu-type=v5p-128", "--max-restarts=3", f"--command={inner}", "--cluster=c", "--env=A=b c"):
        assert part in gke
    ask, *_, run = TpuVmBackend("v5e:4x4", ("--zone=z",)).commands(job)
    assert {"queued-resources", "--accelerator-type=v5litepod-16", "--zone=z"} <= set(ask)
    assert "--worker=all" in run
    assert run[-1].endswith(
        "A='b c' exec python3 -m launch.train --config=experiments/x.py --workdir=gs://b/run --distributed"
    )


@pytest.mark.parametrize("backend", [GkeBackend("v5e:4x4", (), 0), TpuVmBackend("v5e:4x4", ())])
def test_a_workdir_on_a_worker_is_refused(backend, tmp_path):
    with pytest.raises(ValueError, match=r"--workdir: expected a bucket \(gs://...\) for TPU pods, found --workdir=/x"):
        backend.plan(_job(tmp_path, "/x"))


def test_names_of_slices():
    assert [tpu_name(one) for one in ("v5e:4x4", "v5p:2x2x2")] == ["v5litepod-16", "v5p-16"]
    for bad in ("v9:4x4", "v5e", "v5e:4xx", "v5e:0x4"):
        with pytest.raises(ValueError, match="--topology: expected a kind among"):
            tpu_name(bad)


def _pod(*arguments):
    command = [sys.executable, "-m", "launch.pod", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_dry_run_prints_the_commands_and_starts_nothing(tmp_path):
    train = ["--config=experiments/embedded.py", f"--workdir={tmp_path}/run", "--config.seed=3"]
    done = _pod("--processes=2", "--dry_run", "--", *train)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(" ".join(["-m launch.train", *train]) in line for line in lines)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--processes=2"], "pod: expected launch.train's flags after --, found none"),
        (["x", "--", "y"], "pod: expected flags only, found 'x'"),
        (["--name=A b", "--", "y"], "pod: --name: expected small letters"),
        (["--backend=gke", "--", "y"], "pod: --topology: expected a kind and a shape for gke, found none"),
    ],
)
def test_bad_flags_are_one_line(arguments, said):
    done = _pod(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
