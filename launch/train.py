"""Trains an experiment and writes its report.

python -m launch.train --config=experiments/embedded.py --workdir=runs/embedded [--config.seeds=10 ...]
"""

import sys

from absl import flags
from ml_collections import config_flags

from launch import cluster, entry

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment file; fields by --config.section.field=value.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where everything is written; given again, a run goes on.", required=True
)

PREEMPTED = 128 + 15  # what a shell tells of a process that SIGTERM ended


def main() -> None:
    from prouter_jax import config

    if _CONFIG.value is None:
        raise ValueError("flag --config=None: Flag --config must have a value other than None.")
    config.validate(_CONFIG.value)
    cluster.join()
    from prouter_jax.experiment import REPORT, run_experiment
    from prouter_jax.processes import Preempted
    from prouter_jax.report.words import headline

    try:
        report = run_experiment(_CONFIG.value, _WORKDIR.value)
    except Preempted as stopped:
        print(f"train: {stopped}", file=sys.stderr)
        sys.exit(PREEMPTED)
    if report is None:  # another process tells
        return
    print("\n".join(headline(report)))
    print(f"report: {_WORKDIR.value}/{REPORT}/report.html")


if __name__ == "__main__":
    entry.start(main)
