"""Appends new feedback to a trained router, without training, and tells how far it has drifted since training.

python -m launch.update --workdir=runs/embedded --feedback=choices.jsonl [--llms=FOLDER] [--dry_run]
"""

from absl import flags

from launch import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of launch.train, of one seed or of several.", required=True)
_FEEDBACK = flags.DEFINE_string(
    "feedback",
    None,
    "Choices, votes, ratings or thumbs, as of launch.score --history: .parquet, .csv or .jsonl.",
    required=True,
)
_LLMS = flags.DEFINE_string("llms", None, "Folder with new LLMs, or new prices, that the feedback may be about.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Tell the drift and write nothing.")


def main() -> None:
    from prouter_jax.serving.drift_report import to_markdown
    from prouter_jax.serving.updates import update

    for updated in update(_WORKDIR.value, _FEEDBACK.value, _LLMS.value, _DRY_RUN.value):
        if updated.drift is None:
            print(f"{updated.workdir}: this very feedback was appended before, in {updated.folder}: nothing to do")
            continue
        print(to_markdown(updated.drift, f"{updated.workdir}: drift since training"))
        print(f"appended: {updated.folder}" if updated.folder else "nothing was written")


if __name__ == "__main__":
    entry.start(main)
