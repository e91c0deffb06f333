"""Trains an experiment and writes its report.

prouter train --config=embedded --workdir=runs/embedded [--config.seeds=10 ...]

--config is the name of a shipped experiment or an experiment file. The same command resumes an interrupted run.
"""

import os
import sys
from typing import NoReturn

from absl import flags

from prouter_jax.io.display import waiting

from . import cluster, entry
from .backends.job import PREEMPTED
from .config_flag import define_config, read_config

_CONFIG = define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; the same again resumes it.", required=True)
_PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP: writes a trace of these steps, from 0, to WORKDIR/profile."
)

flags.adopt_module_key_flags(cluster)  # --help lists them


def main() -> None:
    config = read_config(_CONFIG)
    several = cluster.join()
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


def _evaluate_alone() -> NoReturn:
    """Becomes the command evaluate on this host's CPU: an accelerator may serve all processes of a run or none."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [*entry.module_command("evaluate"), f"--workdir={_WORKDIR.value}"]
    os.execve(sys.executable, command, os.environ | {"JAX_PLATFORMS": "cpu"})


if __name__ == "__main__":
    entry.start(main)
