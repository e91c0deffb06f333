"""Trains an experiment and writes its report.

python -m launch.train --config=experiments/embedded.py --workdir=runs/embedded [--config.seeds=10 ...]
"""

import os
import sys
from typing import NoReturn

from absl import flags
from ml_collections import config_flags

from launch import cluster, entry
from launch.backends.job import PREEMPTED

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment file; fields by --config.section.field=value.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where everything is written; given again, a run goes on.", required=True
)
_PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP: writes a trace of these steps, counted from 0, into WORKDIR/profile."
)


def main() -> None:
    from prouter_jax import config

    if _CONFIG.value is None:
        raise ValueError("flag --config=None: Flag --config must have a value other than None.")
    config.validate(_CONFIG.value)
    several = cluster.join()
    from prouter_jax.experiment import REPORT, run_experiment, train_experiment
    from prouter_jax.report.text import headline
    from prouter_jax.training.multihost import Preempted, is_first, leave
    from prouter_jax.training.profiling import parse_steps

    traced = parse_steps(_PROFILE.value, _CONFIG.value.train.num_train_steps) if _PROFILE.value else None
    try:
        if several:
            train_experiment(_CONFIG.value, _WORKDIR.value, traced)
            first = is_first()
            leave()
            if first:
                _evaluate_alone()
            return
        report = run_experiment(_CONFIG.value, _WORKDIR.value, traced)
    except Preempted as stopped:
        print(f"train: {stopped}", file=sys.stderr)
        sys.exit(PREEMPTED)
    print("\n".join(headline(report)))
    print(f"report: {_WORKDIR.value}/{REPORT}/report.html")


def _evaluate_alone() -> NoReturn:
    """Goes on as launch.evaluate on the CPU of this host: an accelerator may be there for all processes or none."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "launch.evaluate", f"--workdir={_WORKDIR.value}"]
    os.execve(sys.executable, command, os.environ | {"JAX_PLATFORMS": "cpu"})


if __name__ == "__main__":
    entry.start(main)
