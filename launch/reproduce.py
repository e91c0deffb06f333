"""Measures the tables of the protocol: several seeds, against tuned baselines.

prouter reproduce --table=NAME --workdir=DIR [--data=../shared/data] [--small]

--table=all measures all of them. The same command resumes an interrupted run; two processes with the same workdir share
the work. It writes DIR/tables/NAME.json and NAME.md and, with all tables so far, DIR/report/report.html.
--document=docs/results.md (with or without --table; --readme is an older name of the flag) writes the results between
the markers <!-- results --> and <!-- /results -->. --minutes=60 starts no new measurement after an hour.
"""

import math
import pathlib
import sys
import time

from absl import flags

from . import entry
from .backends.job import PREEMPTED

_TABLE = flags.DEFINE_string("table", None, "Name of a table, or all.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of all results; the same again resumes a run.", required=True)
_DATA = flags.DEFINE_string("data", "../shared/data", "Folder of the data sets.")
_SMALL = flags.DEFINE_boolean("small", False, "A small variant for a first look; needs a workdir of its own.")
_MINUTES = flags.DEFINE_float("minutes", None, "Start no measurement after so many minutes; 0: only stored ones.")
_DOCUMENT = flags.DEFINE_string("document", None, "Markdown document whose results section is written.")
flags.DEFINE_alias("readme", "document")


def main() -> None:
    if _TABLE.value is None and _DOCUMENT.value is None:
        raise ValueError("flag --table: expected the name of a table or all, found none")
    from prouter_jax.io.paths import local_path
    from prouter_jax.training.multihost import Preempted

    workdir = local_path(_WORKDIR.value, "what several processes share")
    try:
        problems = _reproduce(workdir) if _TABLE.value is not None else []
    except Preempted:
        print("reproduce: stopped by SIGTERM; the same command goes on", file=sys.stderr)
        sys.exit(PREEMPTED)
    if _DOCUMENT.value is not None:
        from prouter_jax.evaluation.protocol.report import write_results

        write_results(_DOCUMENT.value, workdir)
        print(f"results: {_DOCUMENT.value}")
    for line in problems:
        print(f"reproduce: {line}", file=sys.stderr)
    if problems:
        sys.exit(1)


def _reproduce(workdir: pathlib.Path) -> list[str]:
    from prouter_jax.evaluation.protocol.definition import Size
    from prouter_jax.evaluation.protocol.runner import REPORT, reproduce
    from prouter_jax.evaluation.protocol.tables import definitions
    from prouter_jax.io.paths import make_path

    known = {one.name: one for one in definitions(Size(_SMALL.value, make_path(_DATA.value), workdir / "tuned"))}
    if _TABLE.value not in (*known, "all"):
        raise ValueError(f"flag --table: expected one of {', '.join(known)}, all; found {_TABLE.value!r}")
    chosen = known.values() if _TABLE.value == "all" else [known[_TABLE.value]]
    until = math.inf if _MINUTES.value is None else time.monotonic() + 60 * _MINUTES.value
    problems = reproduce(chosen, workdir, _SMALL.value, until)
    if (workdir / REPORT).exists():
        print(f"report: {workdir / REPORT}")
    return problems


if __name__ == "__main__":
    entry.start(main, saved=lambda: "what is measured is saved; the same command goes on")
