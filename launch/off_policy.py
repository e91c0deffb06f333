"""Estimates the value of a trained router from logged decisions of another policy.

prouter off_policy --workdir=runs/mine --log=FOLDER

FOLDER is the output of `prouter logs`: only the outcome of the served LLM is known. Decisions in the router's training
data are left out; where these are most of the log, the router of the report is evaluated. The table is printed, and
written to --out (default WORKDIR/off_policy) as off_policy.md and off_policy.json. A log whose policy is deterministic
given the context is refused: it cannot say anything of LLMs that were not picked.
"""

import json
import sys
import time
from collections.abc import Callable

from absl import flags

from . import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a trained router (of one seed).", required=True)
_LOG = flags.DEFINE_string("log", None, "Output folder of `prouter logs`.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder of the result; WORKDIR/off_policy by default.")

_SECONDS_IN_SILENCE = 3.0


def main() -> None:
    from prouter_jax.data.logs.tables import read_logged
    from prouter_jax.data.tables.read_write import read_tables
    from prouter_jax.evaluation.off_policy.evaluate import evaluate_router, load_router, to_json, to_markdown
    from prouter_jax.io import files
    from prouter_jax.io.paths import make_path

    data = read_tables(_LOG.value)
    router = load_router(_WORKDIR.value, data)
    evaluation = evaluate_router(router, data, read_logged(_LOG.value, data), _progress())
    out = make_path(_OUT.value) if _OUT.value else make_path(_WORKDIR.value) / "off_policy"
    out.mkdir(parents=True, exist_ok=True)
    files.write_whole(out / "off_policy.json", json.dumps(to_json(evaluation), indent=2) + "\n")
    files.write_whole(out / "off_policy.md", to_markdown(evaluation))
    print(to_markdown(evaluation))
    print(f"written: {out}")


def _progress() -> Callable[[float], None]:
    begun = time.monotonic()

    def log_line(share: float) -> None:
        seconds = time.monotonic() - begun
        if seconds > _SECONDS_IN_SILENCE:
            left = f"{seconds / share - seconds:.0f} s left" if share < 1 else "now the estimates"
            print(f"off_policy: {share:.0%} of the decisions scored, {left}", file=sys.stderr)

    return log_line


if __name__ == "__main__":
    entry.start(main)
