"""Measures the figures of docs/speed.md and writes its table.

prouter bench --data=../shared/data [--only=WORK] [--runs=5]
prouter bench --document=docs/speed.md

A figure is the median of several runs, with the lowest and the highest. Each work is measured in a process of its own,
so that its peak memory is its own. --json keeps the newest figures; --document (--readme is an older name of the flag)
writes them between the markers <!-- speed --> and <!-- /speed --> and measures nothing.
"""

import importlib
import os
import pathlib
import subprocess

from absl import flags

from . import entry
from .benchmarks import WORKS

_DATA = flags.DEFINE_string("data", "../shared/data", "Folder of the data sets.")
_RUNS = flags.DEFINE_integer("runs", 5, "Number of timed runs of each work.", lower_bound=1)
_ONLY = flags.DEFINE_enum("only", None, list(WORKS), "Measure only this.")
_JSON = flags.DEFINE_string("json", "runs/bench.json", "File of the newest figures.")
_DOCUMENT = flags.DEFINE_string("document", None, "Markdown document to write the speed table to; measures nothing.")
flags.DEFINE_alias("readme", "document")


def main() -> None:
    if _DOCUMENT.value is not None:
        from .benchmarks.figures import write_speed

        write_speed(_DOCUMENT.value, pathlib.Path(_JSON.value))
        print(f"speed: {_DOCUMENT.value}")
    elif _ONLY.value is not None:
        _measure(_ONLY.value)
    else:
        for work in WORKS:
            options = [f"--data={_DATA.value}", f"--runs={_RUNS.value}", f"--json={_JSON.value}"]
            subprocess.run([*entry.module_command("bench"), f"--only={work}", *options], check=True)


def _measure(work: str) -> None:
    if work == "live":
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as prouter serve does, before NumPy
    from .benchmarks.figures import Setting, keep, line

    kept, setting = pathlib.Path(_JSON.value), Setting(pathlib.Path(_DATA.value), _RUNS.value)
    module = importlib.import_module(f".benchmarks.{WORKS[work]}", __package__)
    for figure in getattr(module, f"measure_{work}")(setting):
        keep(figure, kept)
        print(line(figure.entry()), flush=True)


if __name__ == "__main__":
    entry.start(main)
