"""The back end of TPU VMs, by gcloud: the command runs on every worker."""

import pathlib
import shlex
import shutil

from .job import Job
from .remote import Started, check, tpu_name

_RUNTIMES = {"v5e": "v2-alpha-tpuv5-lite", "v5p": "v2-alpha-tpuv5"}
_RESOURCES = ("gcloud", "compute", "tpus", "queued-resources")
_VM = ("gcloud", "compute", "tpus", "tpu-vm")
# a slice takes minutes or days to come; a lost one stays so until its queued resource is deleted
_WAIT = """\
until state=$({state}); [ "$state" = ACTIVE ]; do
  case $state in FAILED | SUSPEND* | DELETING) echo "{name}: the slice is $state" >&2; exit 1 ;; esac
  sleep 30
done"""


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
        if not pathlib.Path("constraints.txt").exists():
            raise ValueError("--backend=tpu_vm: expected a checkout as the current folder, to copy it to the workers")
        return Started(["bash", "-ec", self.plan(job)])

    def plan(self, job: Job) -> str:
        """The commands, as a script of bash."""
        state = shlex.join(self.state(job))
        ask = f"{state} || {shlex.join(self.ask(job))}"
        return "\n".join([ask, _WAIT.format(state=state, name=job.name), *map(shlex.join, self.commands(job))])

    def state(self, job: Job) -> list[str]:
        """The command that prints the state of the slice and fails without one."""
        return [*_RESOURCES, "describe", job.name, "--format=value(state.state)", *self._options]

    def ask(self, job: Job) -> list[str]:
        """The command that requests the slice."""
        slice_ = [f"--node-id={job.name}", f"--accelerator-type={self._kind}", f"--runtime-version={self._runtime}"]
        return [*_RESOURCES, "create", job.name, *slice_, *self._options]

    def commands(self, job: Job) -> list[list[str]]:
        """Commands on the slice: copy the checkout, install it, run the job."""
        check(job)
        variables = [f"{name}={shlex.quote(value)}" for name, value in job.environment.items()]
        inner = " ".join(["exec", "env", *variables, "python3", shlex.join([*job.command[1:], "--distributed"])])
        ssh = [*_VM, "ssh", job.name, "--worker=all", *self._options]
        copy = [*_VM, "scp", "--recurse", "--worker=all", *self._options, ".", f"{job.name}:prouter_jax"]
        install = "cd prouter_jax && pip install -c constraints.txt -e '.[gcs]' 'jax[tpu]'"
        return [copy, [*ssh, f"--command={install}"], [*ssh, f"--command=cd prouter_jax && {inner}"]]
