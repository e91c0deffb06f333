"""The back ends of Google Cloud: GKE by xpk (pip install xpk, in an environment of its own), and TPU VMs by gcloud."""

import math
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence

from .job import Job, is_secret

# how a slice's name begins, and how many it counts for each chip: cores for some kinds
_NAMES = {"v5e": ("v5litepod", 1), "v5p": ("v5p", 2), "v6e": ("v6e", 1)}

_IMAGE = pathlib.Path(__file__).parent / "Dockerfile"
_BUILD = f"docker build -f {shlex.quote(str(_IMAGE))} -t IMAGE . && docker push IMAGE"

_RUNTIMES = {"v5e": "v2-alpha-tpuv5-lite", "v5p": "v2-alpha-tpuv5"}
_RESOURCES = ("gcloud", "compute", "tpus", "queued-resources")
_VM = ("gcloud", "compute", "tpus", "tpu-vm")
# a slice takes minutes or days to come; a lost one stays so until its queued resource is deleted
_WAIT = """\
until state=$({state}); [ "$state" = ACTIVE ]; do
  case $state in FAILED | SUSPEND* | DELETING) echo "{name}: the slice is $state" >&2; exit 1 ;; esac
  sleep 30
done"""
# the checkout without its environment, caches, results and history
_PACK = """\
folder=$(mktemp -d)
tar -czf "$folder/prouter_jax.tar.gz" --exclude-vcs --exclude=./.venv --exclude='./.*_cache' \
--exclude=./runs --exclude=./build ."""
# the images have Python 3.10, older than pyproject.toml allows: uv brings one, checked by a hash that is in uv
_INSTALL = """\
mkdir -p prouter_jax && tar -xzf prouter_jax.tar.gz -C prouter_jax && cd prouter_jax \
&& python3 -m pip install --user --require-hashes -r requirements/uv.txt \
&& python3 -m uv venv --python 3.11 .venv \
&& python3 -m uv pip install --require-hashes -r requirements/pod.txt \
&& python3 -m uv pip install --no-deps --no-build-isolation . \
&& .venv/bin/python requirements/check.py requirements/pod.txt"""


class Started:
    """A running command-line tool (xpk, gcloud) that runs the job elsewhere."""

    def __init__(self, command: Sequence[str]):
        self._tool = subprocess.Popen(command, start_new_session=True)

    def poll(self) -> int | None:
        """The tool's exit code, None while it runs."""
        return self._tool.poll()

    def stop(self) -> None:
        """Sends SIGTERM to the tool and its child processes."""
        if self._tool.poll() is None:
            os.killpg(self._tool.pid, signal.SIGTERM)


def tpu_name(topology: str) -> str:
    """Google's name of a slice, v5p-128 for v5p:4x4x4.

    Raises:
      ValueError: if it is no known kind and shape.
    """
    kind, _, shape = topology.partition(":")
    sizes = shape.split("x")
    if kind not in _NAMES or not all(size.isdigit() and int(size) for size in sizes):
        raise ValueError(f"--topology: expected a kind among {', '.join(_NAMES)} and a shape, found {topology!r}")
    name, cores = _NAMES[kind]
    return f"{name}-{math.prod(map(int, sizes)) * cores}"


def check(job: Job) -> None:
    """Checks that a job can run on other machines.

    Raises:
      ValueError: if the workdir is not in a bucket, for nothing on a worker's disk outlives it; or if a variable is a
        secret, which all who may list processes or workloads would read.
    """
    found = [argument for argument in job.command if argument.startswith("--workdir=")]
    if not found or not found[0].startswith("--workdir=gs://"):
        raise ValueError(f"--workdir: expected a bucket (gs://...) for TPU pods, found {' '.join(found) or 'none'}")
    for name in filter(is_secret, job.environment):
        raise ValueError(f"environment: expected no secrets for TPU pods, found {name}")


class GkeBackend:
    """A GKE cluster.

    Args:
      topology: such as v5p:4x4x4.
      options: of xpk, such as --cluster=NAME, --zone=ZONE, --project=PROJECT, --docker-image=IMAGE.
    """

    def __init__(self, topology: str, options: tuple[str, ...], restarts: int):
        self._kind = tpu_name(topology)
        self._options, self._restarts = options, restarts

    def start(self, job: Job) -> Started:
        """Creates a workload; its processes find each other by themselves.

        GKE restarts them, except after exit code 1; a preemption counts as a restart there.
        """
        if shutil.which("xpk") is None:
            raise ValueError(
                "--backend=gke: expected xpk on this machine, found none; pip install xpk, apart from this"
            )
        return Started(self.command(job))

    def plan(self, job: Job) -> str:
        """The command, and the image it needs."""
        return f"# the image, in a checkout: {_BUILD}\n{shlex.join(self.command(job))}"

    def command(self, job: Job) -> list[str]:
        """Of xpk.

        Raises:
          ValueError: if the options name no image.
        """
        check(job)
        if not any(re.match(r"--(base-)?docker-image=.", option) for option in self._options):
            raise ValueError(
                "--option: expected --docker-image=IMAGE for gke, found none; IMAGE is built in a checkout: " + _BUILD
            )
        # exec: the shell that xpk starts would not forward SIGTERM
        inner = shlex.join(["exec", *_python(job.command), "--distributed"])
        variables = [f"--env={name}={value}" for name, value in job.environment.items()]
        return [
            *("xpk", "workload", "create", f"--workload={job.name}", f"--tpu-type={self._kind}"),
            *("--num-slices=1", f"--max-restarts={self._restarts}", f"--command={inner}", *variables, *self._options),
        ]


class TpuVmBackend:
    """A TPU slice under the job's name, requested as a queued resource if it does not exist.

    Args:
      topology: such as v5p:4x4x4.
      options: of gcloud, such as --zone=ZONE, --project=PROJECT.
    """

    def __init__(self, topology: str, options: tuple[str, ...]):
        self._kind, self._options = tpu_name(topology), options
        self._runtime = _RUNTIMES[topology.partition(":")[0]]

    def start(self, job: Job) -> Started:
        """Asks for the slice and waits for it, then runs the command on all workers; gcloud shows their output."""
        if shutil.which("gcloud") is None:
            raise ValueError("--backend=tpu_vm: expected gcloud on this machine, found none")
        if not pathlib.Path("requirements/pod.txt").exists():
            raise ValueError("--backend=tpu_vm: expected a checkout as the current folder, to copy it to the workers")
        return Started(["bash", "-ec", self.plan(job)])

    def plan(self, job: Job) -> str:
        """The commands, as a script of bash."""
        state = shlex.join(self.state(job))
        ask = f"{state} || {shlex.join(self.ask(job))}"
        archive = f"{job.name}:prouter_jax.tar.gz"
        copy = [*_VM, "scp", "--worker=all", *self._options, "$folder/prouter_jax.tar.gz", archive]
        copied = shlex.join(copy).replace("'$folder/prouter_jax.tar.gz'", '"$folder/prouter_jax.tar.gz"')
        wait = _WAIT.format(state=state, name=job.name)
        return "\n".join([ask, wait, _PACK, copied, *map(shlex.join, self.commands(job))])

    def state(self, job: Job) -> list[str]:
        """The command that prints the state of the slice and fails without one."""
        return [*_RESOURCES, "describe", job.name, "--format=value(state.state)", *self._options]

    def ask(self, job: Job) -> list[str]:
        """The command that requests the slice."""
        slice_ = [f"--node-id={job.name}", f"--accelerator-type={self._kind}", f"--runtime-version={self._runtime}"]
        return [*_RESOURCES, "create", job.name, *slice_, *self._options]

    def commands(self, job: Job) -> list[list[str]]:
        """Commands on the slice: unpack the checkout and install it, run the job."""
        check(job)
        variables = [f"{name}={shlex.quote(value)}" for name, value in job.environment.items()]
        run = shlex.join([*job.command[1:], "--distributed"])
        inner = " ".join(["exec", "env", *variables, ".venv/bin/python", run])
        ssh = [*_VM, "ssh", job.name, "--worker=all", *self._options]
        return [[*ssh, f"--command={_INSTALL}"], [*ssh, f"--command=cd prouter_jax && {inner}"]]


def _python(command) -> list[str]:
    """The command with the image's Python in place of this machine's."""
    return ["python", *command[1:]]
