"""Measures the figures of docs/speed.md: `make bench`, or python -m launch.bench --data=../shared/data.

Every figure is the median of several runs with the lowest and the highest; each work is measured in a process of
its own, so that its peak memory is its own. The figures are kept in --json, --only=WORK measures one work anew, and
--document=docs/speed.md (--readme is an older name of the flag) puts what is kept between the markers <!-- speed -->
and <!-- /speed -->.
"""

import importlib
import pathlib
import subprocess
import sys

from absl import flags

from launch import entry
from launch.benchmarks import WORKS

_DATA = flags.DEFINE_string("data", "../shared/data", "Folder that holds alpaca_route.")
_RUNS = flags.DEFINE_integer("runs", 5, "How often each work is timed.", lower_bound=1)
_ONLY = flags.DEFINE_enum("only", None, WORKS, "Measure only this.")
_JSON = flags.DEFINE_string("json", "runs/bench.json", "File that keeps the newest of each figure.")
_DOCUMENT = flags.DEFINE_string(
    "document", None, "Markdown document whose speed table is written; nothing is measured."
)
flags.DEFINE_alias("readme", "document")


def main() -> None:
    if _DOCUMENT.value is not None:
        from launch.benchmarks.table import write_speed

        write_speed(_DOCUMENT.value, pathlib.Path(_JSON.value))
        print(f"speed: {_DOCUMENT.value}")
    elif _ONLY.value is not None:
        _measure(_ONLY.value)
    else:
        for work in WORKS:
            options = [f"--data={_DATA.value}", f"--runs={_RUNS.value}", f"--json={_JSON.value}"]
            subprocess.run([sys.executable, "-m", "launch.bench", f"--only={work}", *options], check=True)


def _measure(work: str) -> None:
    from launch.benchmarks.figures import Setting, keep, line

    kept, setting = pathlib.Path(_JSON.value), Setting(pathlib.Path(_DATA.value), _RUNS.value)
    for figure in importlib.import_module(f"launch.benchmarks.{work}").measure(setting):
        keep(figure, kept)
        print(line(figure.entry()), flush=True)


if __name__ == "__main__":
    entry.start(main)
