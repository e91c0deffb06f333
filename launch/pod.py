"""Trains with several processes: on this machine, on Slurm, on TPU pods.

python -m launch.pod --backend=local --processes=2 -- --config=experiments/million.py --workdir=DIR
python -m launch.pod --backend=gke --topology=v5p:4x4x4 --dry_run -- --config=experiments/NAME.py --workdir=gs://B/D

What follows -- goes to launch.train as it is. A job that crashes is started again, all processes of it; it goes on from
its newest sound checkpoint.
"""

import pathlib
import re
import sys

from absl import flags

from launch import entry

_BACKEND = flags.DEFINE_enum("backend", "local", ["local", "slurm", "gke", "tpu_vm"], "Where the processes run.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "How many, on this machine or of Slurm's nodes.", lower_bound=1)
_PIN = flags.DEFINE_boolean("pin", False, "On this machine: a core for each process.")
_RESTARTS = flags.DEFINE_integer("restarts", 5, "How often a job that crashed is started again.", lower_bound=0)
_TOPOLOGY = flags.DEFINE_string("topology", None, "Of TPUs, such as v5p:4x4x4.")
_OPTION = flags.DEFINE_multi_string("option", [], "An option for sbatch, xpk or gcloud; may be given again.")
_NAME = flags.DEFINE_string("name", "prouter", "Of the job.")
_LOGS = flags.DEFINE_string("logs", None, "Folder of logs; WORKDIR.logs if the workdir is on this machine.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print the commands and files, and start nothing.")


def main() -> None:
    from launch.backends.job import Job
    from launch.backends.supervise import supervise

    arguments = entry.passed_on(sys.argv)
    if not arguments:
        raise ValueError("expected launch.train's flags after --, found none")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?", _NAME.value):
        raise ValueError(f"--name: expected small letters, digits and hyphens, found {_NAME.value!r}")
    command = (sys.executable, "-m", "launch.train", *arguments)
    job = Job(_NAME.value, command, _folder(arguments), _PROCESSES.value)
    backend = _make_backend()
    if _DRY_RUN.value:
        print(backend.plan(job))
        return
    code = supervise(backend, job, _RESTARTS.value)
    print(f"{job.name}: ended with exit code {code}; logs: {job.folder}", file=sys.stderr)
    sys.exit(code if code >= 0 else 128 - code)


def _folder(arguments: list[str]) -> pathlib.Path:
    workdir = next((one.partition("=")[2] for one in arguments if one.startswith("--workdir=")), "")
    if _LOGS.value is None and (not workdir or "://" in workdir):
        return pathlib.Path("runs") / _NAME.value
    return pathlib.Path(_LOGS.value or f"{workdir.rstrip('/')}.logs")


def _make_backend():
    from launch.backends.gke import GkeBackend
    from launch.backends.local import LocalBackend
    from launch.backends.slurm import SlurmBackend
    from launch.backends.tpu_vm import TpuVmBackend

    options = tuple(_OPTION.value)
    if _BACKEND.value == "local":
        return LocalBackend(_PIN.value)
    if _BACKEND.value == "slurm":
        return SlurmBackend(options)
    if _TOPOLOGY.value is None:
        raise ValueError(f"--topology: expected a kind and a shape for {_BACKEND.value}, found none")
    if _BACKEND.value == "gke":
        return GkeBackend(_TOPOLOGY.value, options, _RESTARTS.value)
    return TpuVmBackend(_TOPOLOGY.value, options)


if __name__ == "__main__":
    entry.start(main, passes_on=True)
