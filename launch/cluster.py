"""Flags of multi-process training; initialises jax.distributed before any device is touched.

On Slurm, GKE and TPU VMs `--distributed` is enough: JAX detects the processes. Elsewhere --coordinator, --num_processes
and --process_id describe them. A single process needs none of these.
"""

from typing import Any

from absl import flags

_DISTRIBUTED = flags.DEFINE_boolean(
    "distributed", False, "One of several processes that JAX detects by itself: Slurm, GKE, TPU VMs."
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, if JAX cannot detect it.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Index of this process, from 0.", lower_bound=0)
_HEARTBEAT = flags.DEFINE_integer("heartbeat", 30, "Seconds without a signal after which a process counts as dead.")


def join() -> bool:
    """Initialises jax.distributed if the flags describe several processes; returns whether they do.

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


_NAMES = ("coordinator_address", "num_processes", "process_id")
