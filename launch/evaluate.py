"""Evaluates a trained experiment from its best checkpoints; never trains.

prouter evaluate --workdir=runs/embedded
"""

from absl import flags

from prouter_jax.io.display import log_line, waiting

from . import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of train.", required=True)


def main() -> None:
    log_line(f"evaluate: reading the experiment in {_WORKDIR.value}")
    with waiting("loading"):
        from prouter_jax.experiment import REPORT, evaluate_experiment
        from prouter_jax.report.text import headline

    report = evaluate_experiment(_WORKDIR.value)
    print("\n".join(headline(report)))
    print(f"report: {_WORKDIR.value}/{REPORT}/report.html")


if __name__ == "__main__":
    entry.start(main)
