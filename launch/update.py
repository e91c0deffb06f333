"""Adds new feedback to a trained router without training, and reports the drift.

prouter update --workdir=runs/embedded --feedback=choices.jsonl [--llms=FOLDER] [--strict] [--dry_run] [--full]
"""

import pathlib

from absl import flags

from prouter_jax.io.display import log_line, waiting

from . import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a trained router, of one seed or several.", required=True)
_FEEDBACK = flags.DEFINE_string(
    "feedback",
    None,
    "Choices, votes, ratings or thumbs, as for score --history: .parquet, .csv, .jsonl or .json.",
    required=True,
)
_LLMS = flags.DEFINE_string("llms", None, "Folder with new LLMs, or new prices, that the feedback may refer to.")
_STRICT = flags.DEFINE_boolean("strict", False, "Stop at the first row of --feedback that cannot be used.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print the drift and write nothing.")
_FULL = flags.DEFINE_boolean("full", False, "Print the whole drift report in place of a summary.")


def main() -> None:
    log_line(f"update: reading {_FEEDBACK.value} and the router in {_WORKDIR.value}")
    with waiting("measuring the drift"):
        from prouter_jax.serving.updates import update

        results = update(_WORKDIR.value, _FEEDBACK.value, _LLMS.value, _DRY_RUN.value, _STRICT.value)
    for updated in results:
        if updated.drift is None:
            print(f"{updated.workdir}: the same feedback was added before, in {updated.folder}: nothing to do")
        else:
            _report(updated.workdir, updated.folder, updated.drift)


def _report(workdir: pathlib.Path, folder: pathlib.Path | None, drift) -> None:
    from prouter_jax.serving.drift_report import to_markdown, to_text

    if _FULL.value:
        print(to_markdown(drift, f"{workdir}: drift since training"))
    else:
        print("\n".join(f"{workdir}: {line}" for line in to_text(drift)))
    if folder is None:
        print("nothing was written" + ("" if _FULL.value else "; --full prints the whole drift report"))
    else:
        print(f"appended: {folder}; drift report: {folder / 'drift.md'}")


if __name__ == "__main__":
    entry.start(main, saved=lambda: "an update that is complete counts; the same command goes on")
