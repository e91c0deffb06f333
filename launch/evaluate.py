"""Evaluates what was trained, from its best checkpoints; never trains.

python -m launch.evaluate --workdir=runs/embedded
"""

from absl import flags

from launch import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of launch.train.", required=True)


def main() -> None:
    from prouter_jax.experiment import REPORT, evaluate_experiment
    from prouter_jax.report.text import headline

    report = evaluate_experiment(_WORKDIR.value)
    print("\n".join(headline(report)))
    print(f"report: {_WORKDIR.value}/{REPORT}/report.html")


if __name__ == "__main__":
    entry.start(main)
