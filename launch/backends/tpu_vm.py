"""Jobs on TPU VMs, by gcloud: the job is one command that runs on every worker."""

import shlex
import shutil
import subprocess

from launch.backends.job import Job
from launch.backends.remote import Started, check_workdir, tpu_name

_RUNTIMES = {"v5e": "v2-alpha-tpuv5-lite", "v5p": "v2-alpha-tpuv5"}


class TpuVmBackend:
    """A TPU slice that is asked for as a queued resource, if it is not there yet, under the job's name.

    Args:
      topology: such as v5p:4x4x4.
      options: of gcloud, such as --zone=ZONE, --project=PROJECT.
    """

    def __init__(self, topology: str, options: tuple[str, ...]):
        self._kind, self._options = tpu_name(topology), options
        self._runtime = _RUNTIMES[topology.partition(":")[0]]

    def start(self, job: Job) -> Started:
        """Asks for the slice, then runs the command on all of its workers; gcloud shows what they say."""
        if shutil.which("gcloud") is None:
            raise ValueError("--backend=tpu_vm: expected gcloud on this machine, found none")
        code = 0
        for command in self.commands(job):
            code = code or subprocess.run(command).returncode
        return Started(code)

    def plan(self, job: Job) -> str:
        """The commands."""
        return "\n".join(shlex.join(command) for command in self.commands(job))

    def commands(self, job: Job) -> list[list[str]]:
        """Of gcloud: the slice, the checkout, the run."""
        check_workdir(job)
        variables = [f"{name}={shlex.quote(value)}" for name, value in job.environment.items()]
        inner = " ".join([*variables, "exec", "python3", shlex.join([*job.command[1:], "--distributed"])])
        ask = ["gcloud", "compute", "tpus", "queued-resources", "create", job.name, f"--node-id={job.name}"]
        ask += [f"--accelerator-type={self._kind}", f"--runtime-version={self._runtime}", *self._options]
        ssh = ["gcloud", "compute", "tpus", "tpu-vm", "ssh", job.name, "--worker=all", *self._options]
        copy = ["gcloud", "compute", "tpus", "tpu-vm", "scp", "--recurse", "--worker=all", *self._options]
        install = "cd prouter_jax && pip install -c constraints.txt -e '.[gcs]' 'jax[tpu]'"
        return [
            ask,
            [*copy, ".", f"{job.name}:prouter_jax"],
            [*ssh, f"--command={install}"],
            [*ssh, f"--command=cd prouter_jax && {inner}"],
        ]
