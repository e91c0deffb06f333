"""What each back end would run, as text; nothing is started and nothing written."""

import os
import pathlib
import subprocess
import sys

import processes
import pytest

from launch.backends.cloud import GkeBackend, TpuVmBackend, tpu_name
from launch.backends.job import Job
from launch.backends.local import LocalBackend
from launch.backends.slurm import SlurmBackend

ROOT = pathlib.Path(__file__).parents[2]


def _job(tmp_path, workdir="gs://b/run", processes=2, **environment):
    command = ("python", "-m", "launch.train", "--config=experiments/x.py", f"--workdir={workdir}")
    return Job("job", command, tmp_path / "logs", processes, {"A": "b c"} | environment)


def test_slurm_runs_python_itself_on_each_node_and_keeps_the_exit_code(tmp_path):
    plan = SlurmBackend(("--partition=tpu",)).plan(_job(tmp_path))
    for line in ("#SBATCH --nodes=2", "#SBATCH --ntasks-per-node=1", "#SBATCH --requeue", "#SBATCH --partition=tpu"):
        assert line in plan
    assert plan.startswith("A='b c' sbatch --parsable ")
    run = next(line for line in plan.splitlines() if line.startswith("srun"))
    assert run.endswith("python -m launch.train --config=experiments/x.py --workdir=gs://b/run --distributed")
    assert not (tmp_path / "logs").exists()


def test_gke_and_tpu_vms_are_told_the_slice_and_the_command(tmp_path):
    job = _job(tmp_path)
    gke = GkeBackend("v5p:4x4x4", ("--cluster=c", "--docker-image=i"), 3).command(job)
    inner = "exec python -m launch.train --config=experiments/x.py --workdir=gs://b/run --distributed"
    for part in ("--tpu-type=v5p-128", "--max-restarts=3", f"--command={inner}", "--cluster=c", "--env=A=b c"):
        assert part in gke
    slices = TpuVmBackend("v5e:4x4", ("--zone=z",))
    assert {"queued-resources", "--accelerator-type=v5litepod-16", "--zone=z"} <= set(slices.ask(job))
    *_, run = slices.commands(job)
    assert "--worker=all" in run
    assert run[-1].endswith(
        "exec env A='b c' .venv/bin/python -m launch.train --config=experiments/x.py --workdir=gs://b/run --distributed"
    )


def test_gke_without_an_image_is_an_error(tmp_path):
    for options in ((), ("--cluster=c", "--docker-image=")):
        with pytest.raises(
            ValueError, match=r"--option: expected --docker-image=IMAGE for gke, found none; .*docker build"
        ):
            GkeBackend("v5p:4x4x4", options, 3).plan(_job(tmp_path))
    assert "--docker-image=i" in GkeBackend("v5p:4x4x4", ("--docker-image=i",), 3).plan(_job(tmp_path))


def test_tpu_vms_get_the_checkout_without_its_environment_and_a_python_that_the_project_allows(tmp_path, monkeypatch):
    plan = TpuVmBackend("v5e:4x4", ("--zone=z",)).plan(_job(tmp_path))
    (packed,) = [line for line in plan.splitlines() if line.startswith("tar ")]
    checkout, folder = tmp_path / "checkout", tmp_path / "packed"
    for name in ("launch/train.py", ".venv/bin/python", "runs/x/config.json", ".git/config", "docs/runs/y"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    folder.mkdir()
    subprocess.run(["bash", "-ec", packed], cwd=checkout, env=os.environ | {"folder": str(folder)}, check=True)
    found = subprocess.run(
        ["tar", "-tzf", str(folder / "prouter_jax.tar.gz")], capture_output=True, text=True, check=True
    )
    assert sorted(name for name in found.stdout.split() if not name.endswith("/")) == [
        "./docs/runs/y",
        "./launch/train.py",
    ]
    (copied,) = [line for line in plan.splitlines() if " scp " in line]
    assert '"$folder/prouter_jax.tar.gz" job:prouter_jax.tar.gz' in copied
    (install,) = [line for line in plan.splitlines() if "tar -xzf" in line]
    for part in ("uv venv --python 3.11 .venv", "--require-hashes -r requirements/pod.txt", "requirements/uv.txt"):
        assert part in install


CLOUD = [GkeBackend("v5e:4x4", ("--docker-image=i",), 0), TpuVmBackend("v5e:4x4", ())]


@pytest.mark.parametrize("backend", CLOUD)
def test_a_workdir_on_a_worker_is_refused(backend, tmp_path):
    with pytest.raises(ValueError, match=r"--workdir: expected a bucket \(gs://...\) for TPU pods, found --workdir=/x"):
        backend.plan(_job(tmp_path, "/x"))


@pytest.mark.parametrize("backend", CLOUD)
def test_secrets_do_not_go_to_other_machines(backend, tmp_path):
    with pytest.raises(ValueError, match="environment: expected no secrets for TPU pods, found MY_API_KEY"):
        backend.plan(_job(tmp_path, MY_API_KEY="hidden"))


@pytest.mark.parametrize("backend", [LocalBackend(), SlurmBackend()])
def test_secrets_are_not_in_a_plan(backend, tmp_path):
    plan = backend.plan(_job(tmp_path, MY_API_KEY="hidden", HF_TOKEN="hidden"))
    assert "MY_API_KEY=*** HF_TOKEN=***" in plan
    assert "hidden" not in plan


_GCLOUD = """#!/bin/sh
case "$*" in
  *describe*) cd "$STATES" && first=$(ls | head -n 1) && [ -n "$first" ] && cat "$first" && rm "$first" ;;
  *) echo "$*" >> "$CALLS" ;;
esac
"""


def _gcloud(tmp_path, monkeypatch, states):
    """What a gcloud is called with that tells of these states of a slice, one after the other."""
    for name in ("bin", "states"):
        (tmp_path / name).mkdir()
    for index, state in enumerate(states):
        if state:
            (tmp_path / "states" / str(index)).write_text(state)
    for name, text in (("gcloud", _GCLOUD), ("sleep", "#!/bin/sh\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("STATES", str(tmp_path / "states"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    running = TpuVmBackend("v5e:4x4", ()).start(_job(tmp_path))
    processes.wait_for(lambda: running.poll() is not None)
    calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    return running.poll(), [line.split()[3] for line in calls]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["ACTIVE", "WAITING_FOR_RESOURCES", "ACTIVE"], (0, ["scp", "ssh", "ssh"])),
        (["ACTIVE", "SUSPENDED"], (1, [])),
    ],
    ids=["it comes", "it is lost"],
)
def test_a_slice_is_waited_for(states, expected, tmp_path, monkeypatch):
    assert _gcloud(tmp_path, monkeypatch, states) == expected


def test_names_of_slices():
    assert [tpu_name(one) for one in ("v5e:4x4", "v5p:2x2x2")] == ["v5litepod-16", "v5p-16"]
    for bad in ("v9:4x4", "v5e", "v5e:4xx", "v5e:0x4"):
        with pytest.raises(ValueError, match="--topology: expected a kind among"):
            tpu_name(bad)


def _pod(*arguments):
    command = [sys.executable, "-m", "launch.pod", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_dry_run_prints_the_commands_and_starts_nothing(tmp_path):
    train = ["--config=experiments/embedded.py", f"--workdir={tmp_path}/run", "--config.mesh.data=2"]
    done = _pod("--processes=2", "--dry_run", "--", *train)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(" ".join(["-m launch.train", *train]) in line for line in lines)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--processes=2"], "pod: expected the flags of train after --, found none"),
        (
            ["--processes=3", "--", "--config=embedded", "--config.mesh.data=2"],
            "pod: flag --processes: expected at most 2 x 1, the devices of config.mesh, found 3; "
            "add --config.mesh.data=3 after --",
        ),
        (["x", "--", "y"], "pod: expected flags only, found 'x'"),
        (["--dry_run", "--", "--config=tables", "--workdir=x"], "pod: config.data.path: expected a path for source"),
        (
            ["--dry_run", "--", "--config=tables", "--workdir=x", "--config.data.path=/nowhere"],
            "pod: /nowhere: expected a folder of tables, found none",
        ),
        (
            ["--dry_run", "--", "--config=tables", "--workdir=x", "--config.data.path=/bin"],
            "pod: /bin: expected the table queries, found no table",
        ),
        (
            ["--dry_run", "--", "--config=embedded", "--workdir=x", "--config.train.steps=1"],
            "pod: --config.train.steps: expected a field of config.train",
        ),
        (["--dry_run", "--", "--config=embedded"], "pod: expected --workdir after --, found none"),
        (["--name=A b", "--", "y"], "pod: --name: expected small letters"),
        (["--backend=gke", "--", "y"], "pod: --topology: expected a kind and a shape for gke, found none"),
    ],
)
def test_bad_flags_are_one_line(arguments, said):
    done = _pod(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
