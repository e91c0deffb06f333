"""Adds new feedback to a trained router without training, and reports the drift.

prouter update --workdir=runs/embedded --feedback=choices.jsonl [--llms=FOLDER] [--dry_run]
"""

from absl import flags

from . import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a trained router, of one seed or several.", required=True)
_FEEDBACK = flags.DEFINE_string(
    "feedback",
    None,
    "Choices, votes, ratings or thumbs, as for score --history: .parquet, .csv or .jsonl.",
    required=True,
)
_LLMS = flags.DEFINE_string("llms", None, "Folder with new LLMs, or new prices, that the feedback may refer to.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print the drift and write nothing.")


def main() -> None:
    from prouter_jax.serving.drift_report import to_markdown
    from prouter_jax.serving.updates import update

    for updated in update(_WORKDIR.value, _FEEDBACK.value, _LLMS.value, _DRY_RUN.value):
        if updated.drift is None:
            print(f"{updated.workdir}: the same feedback was added before, in {updated.folder}: nothing to do")
            continue
        print(to_markdown(updated.drift, f"{updated.workdir}: drift since training"))
        print(f"appended: {updated.folder}" if updated.folder else "nothing was written")


if __name__ == "__main__":
    entry.start(main)
