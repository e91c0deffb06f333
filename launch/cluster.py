"""How a training program finds the other processes of its run: flags, and jax.distributed before any device is touched.

On Slurm, GKE and TPU VMs `--distributed` is enough; elsewhere three flags say who is who. Alone, none is needed.
"""

from typing import Any

from absl import flags

_DISTRIBUTED = flags.DEFINE_boolean(
    "distributed", False, "One of several processes, where JAX finds the others by itself: Slurm, GKE, TPU VMs."
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where JAX cannot find out.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes there are.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.", lower_bound=0)
_HEARTBEAT = flags.DEFINE_integer("heartbeat", 30, "Seconds after which a silent process is taken for dead.")


def join() -> bool:
    """Joins the processes of the run, if there are several; returns whether there are.

    Raises:
      ValueError: if the flags do not fit together, or the others cannot be found.
    """
    told: dict[str, Any] = dict(zip(_NAMES, (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value), strict=True))
    given = [value for value in told.values() if value is not None]
    if not given and not _DISTRIBUTED.value:
        return False
    if len(given) not in (0, 3) or bool(given) == bool(_DISTRIBUTED.value):
        raise ValueError("--coordinator, --num_processes, --process_id: expected all three, or --distributed alone")
    number, index = _NUM_PROCESSES.value or 0, _PROCESS_ID.value or 0
    if given and index >= number:
        raise ValueError(f"--process_id: expected less than {number}, found {index}")
    import jax

    arguments = told if given else {}
    try:
        jax.distributed.initialize(**arguments, heartbeat_timeout_seconds=_HEARTBEAT.value)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"--distributed: the other processes were not found: {error}") from error
    return True


_NAMES = ("coordinator_address", "num_processes", "process_id")
