"""Trains an experiment, writes its report, and trains the router to be served.

prouter train --config=embedded --workdir=runs/embedded [--config.seeds=10 ...]

--config is the name of a shipped experiment or an experiment file, which is Python and runs as such. The same command
resumes an interrupted run.
"""

import os
import sys
from typing import Any, NoReturn

from absl import flags

from prouter_jax.io.display import waiting

from . import entry
from .backends.job import PREEMPTED
from .config_flag import define_config, read_config

_CONFIG = define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; the same again resumes it.", required=True)
_PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP: writes a trace of these steps, from 0, to WORKDIR/profile."
)
# On Slurm, GKE and TPU VMs --distributed is enough: JAX detects the processes. Elsewhere the next three describe them.
_DISTRIBUTED = flags.DEFINE_boolean(
    "distributed", False, "One of several processes that JAX detects by itself: Slurm, GKE, TPU VMs."
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, if JAX cannot detect it.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Index of this process, from 0.", lower_bound=0)
_HEARTBEAT = flags.DEFINE_integer("heartbeat", 30, "Seconds without a signal after which a process counts as dead.")
_NAMES = ("coordinator_address", "num_processes", "process_id")


def main() -> None:
    config = read_config(_CONFIG)
    several = _join()
    with waiting("loading"):
        from prouter_jax.experiment import REPORT, run_experiment, train_experiment
        from prouter_jax.report.text import headline
        from prouter_jax.training.multihost import Preempted, is_primary, shutdown
        from prouter_jax.training.profiling import parse_steps

    traced = parse_steps(_PROFILE.value, config.train.num_train_steps) if _PROFILE.value else None
    try:
        if several:
            train_experiment(config, _WORKDIR.value, traced)
            first = is_primary()
            shutdown()
            if first:
                _evaluate_alone()
            return
        report = run_experiment(config, _WORKDIR.value, traced)
    except Preempted as stopped:
        print(f"train: {stopped}", file=sys.stderr)
        sys.exit(PREEMPTED)
    print("\n".join(headline(report)))
    print(f"report: {_WORKDIR.value}/{REPORT}/report.html")


def _saved() -> str:
    """What of the run is on disk."""
    from prouter_jax.experiment import saved_steps

    steps = saved_steps(_WORKDIR.value)
    found = ", ".join(f"step {step} of {folder} is saved" for folder, step in steps) or "nothing was to be saved yet"
    return f"{found}; the same command goes on"


def _join() -> bool:
    """Initialises jax.distributed if the flags describe several processes, before any device is touched.

    Returns:
      whether they do.

    Raises:
      ValueError: if the flags contradict each other, or the other processes cannot be reached.
    """
    values = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    given = [value for value in values if value is not None]
    if not given and not _DISTRIBUTED.value:
        return False
    if len(given) not in (0, 3) or bool(given) == bool(_DISTRIBUTED.value):
        raise ValueError("--coordinator, --num_processes, --process_id: expected all three, or --distributed alone")
    number, index = _NUM_PROCESSES.value or 0, _PROCESS_ID.value or 0
    if given and index >= number:
        raise ValueError(f"--process_id: expected less than {number}, found {index}")
    import jax

    arguments: dict[str, Any] = dict(zip(_NAMES, values, strict=True)) if given else {}
    try:
        jax.distributed.initialize(**arguments, heartbeat_timeout_seconds=_HEARTBEAT.value)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"--distributed: the other processes were not found: {error}") from error
    return True


def _evaluate_alone() -> NoReturn:
    """Becomes the command evaluate on this host's CPU: an accelerator may serve all processes of a run or none."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [*entry.module_command("evaluate"), f"--workdir={_WORKDIR.value}"]
    os.execve(sys.executable, command, os.environ | {"JAX_PLATFORMS": "cpu"})


if __name__ == "__main__":
    entry.start(main, saved=_saved)
