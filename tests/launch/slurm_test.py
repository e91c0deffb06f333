"""A real Slurm of two nodes on this machine: processes on both, requeueing, and a sweep."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import processes
import pytest

from launch.backends.job import Job
from launch.backends.slurm import SlurmBackend

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "launch" / "backends" / "local_slurm.sh"
NEEDED = ("sbatch", "munged", "slurmctld", "slurmd")
MISSING = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
TINY = [
    *("--config=experiments/embedded.py", "--config.data.encoder=hash", "--config.data.embedded.num_queries=120"),
    *("--config.data.embedded.num_users=48", "--config.data.embedded.decisions_per_user=25"),
    *("--config.model.factor_dim=2", "--config.train.num_train_steps=6", "--config.train.eval_every_steps=3"),
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no Slurm here: {', '.join(MISSING)} missing (slurm-wlm, munge)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the Slurm of this test is started as root"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The environment in which Slurm's commands find it."""
    folder = tmp_path_factory.mktemp("slurm")
    folder.parent.chmod(0o755)
    subprocess.run(["bash", SCRIPT, "start", folder], check=True)
    # the nodes' names do not resolve, so JAX is told where process 0 is
    told = {"SLURM_CONF": f"{folder}/slurm.conf", "JAX_COORDINATOR_ADDRESS": "127.0.0.1:29871"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        yield folder
    subprocess.run(["bash", SCRIPT, "stop", folder], check=True)


def _run(module, *arguments):
    command = [sys.executable, "-m", f"launch.{module}", *arguments]
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
    environment = os.environ | {"XLA_FLAGS": flags}
    done = processes.run(command, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_nodes_train_together(slurm, tmp_path):
    workdir = tmp_path / "run"
    several = ("--config.mesh.data=2", "--config.train.users_per_step=16")
    _run("pod", "--backend=slurm", "--processes=2", "--", *TINY, *several, f"--workdir={workdir}")
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]
    assert (workdir / "report" / "report.html").exists()


def test_a_sweep_runs_its_trials_as_jobs(slurm, tmp_path):
    flags = ["--sweep=model.warmup_rounds=1,2", "--backend=slurm", "--concurrency=2", f"--workdir={tmp_path}/sweep"]
    _run("sweep", *TINY, *flags)
    assert (tmp_path / "sweep" / "best.py").exists()
    assert all((tmp_path / "sweep" / "trials" / name / "job.sh").exists() for name in ("000", "001"))
    assert "#SBATCH --array=0-1" in (tmp_path / "sweep" / "trials" / "000" / "array.sh").read_text()


def test_tasks_of_an_array_end_each_with_its_own_code_and_can_be_stopped(slurm, tmp_path):
    codes = ["import sys; sys.exit(0)", "import sys; sys.exit(3)", "import time; time.sleep(1000)"]
    jobs = [
        Job(f"task-{number}", [sys.executable, "-c", code], tmp_path / str(number)) for number, code in enumerate(codes)
    ]
    running = SlurmBackend().start_all(jobs)
    assert len({one.number.partition("_")[0] for one in running}) == 1
    processes.wait_for(lambda: None not in [one.poll() for one in running[:2]])
    assert [one.poll() for one in running] == [0, 3, None]
    running[2].stop()
    processes.wait_for(lambda: running[2].poll() is not None)
    assert running[2].poll() != 0


_REQUEUED = """
import pathlib, signal, sys, time
runs = pathlib.Path(sys.argv[1])
with runs.open("a") as file:
    file.write("run\\n")
def stop(*_):
    runs.with_name("saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
time.sleep(1000 if runs.read_text().count("run") == 1 else 0)
"""


def test_a_requeued_job_is_told_to_save_and_comes_again(slurm, tmp_path):
    runs = tmp_path / "runs"
    running = SlurmBackend().start(Job("job", [sys.executable, "-c", _REQUEUED, str(runs)], tmp_path / "logs"))
    processes.wait_for(runs.exists)
    subprocess.run(["scontrol", "requeue", running.number], check=True)
    processes.wait_for((tmp_path / "saved").exists)
    assert running.poll() is None

    def again():  # Slurm itself would wait for two minutes
        subprocess.run(["scontrol", "update", f"JobId={running.number}", "StartTime=now"], capture_output=True)
        return runs.read_text().count("run") == 2

    processes.wait_for(again)
    processes.wait_for(lambda: running.poll() is not None)
    assert running.poll() == 0
