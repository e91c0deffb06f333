"""The back end of Google Kubernetes Engine: TPU pods, by xpk (pip install xpk, in an environment of its own)."""

import pathlib
import shlex
import shutil

from .job import Job
from .remote import Started, check, tpu_name

_IMAGE = pathlib.Path(__file__).parent / "Dockerfile"


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
        image = f"docker build -f {shlex.quote(str(_IMAGE))} -t IMAGE . && docker push IMAGE"
        return f"# the image, in a checkout: {image}\n{shlex.join(self.command(job))}"

    def command(self, job: Job) -> list[str]:
        """Of xpk."""
        check(job)
        # exec: the shell that xpk starts would not forward SIGTERM
        inner = shlex.join(["exec", *_python(job.command), "--distributed"])
        variables = [f"--env={name}={value}" for name, value in job.environment.items()]
        return [
            *("xpk", "workload", "create", f"--workload={job.name}", f"--tpu-type={self._kind}"),
            *("--num-slices=1", f"--max-restarts={self._restarts}", f"--command={inner}", *variables, *self._options),
        ]


def _python(command) -> list[str]:
    """The command with the image's Python in place of this machine's."""
    return ["python", *command[1:]]
