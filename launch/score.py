"""Picks an LLM for every (user, query) in a file.

python -m launch.score --workdir=runs/embedded --input=pairs.jsonl --output=scored.jsonl
"""

import sys
import time

from absl import flags

from launch import entry

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of launch.train (of one seed).", required=True)
_INPUT = flags.DEFINE_string(
    "input", None, "Pairs: .parquet, .csv or .jsonl with user_id and query or query_id.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Where the input's rows go with llm, probabilities, basis and error.", required=True
)
_HISTORY = flags.DEFINE_string("history", None, "Choices or ratings of users that training never saw.")
_LLMS = flags.DEFINE_string("llms", None, "Folder with new LLMs, or new prices, and their outcomes and feedback.")
_MAX_COST = flags.DEFINE_float("max_cost", None, "Highest expected cost of an answer in USD.")
_ALLOW = flags.DEFINE_list("allow", None, "The only LLMs to choose from.")
_STRICT = flags.DEFINE_boolean("strict", False, "Stop at the first row that cannot be scored.")


def main() -> None:
    from prouter_jax.offline.score import score_file
    from prouter_jax.router import Router

    router = Router.load(_WORKDIR.value)
    if _LLMS.value:
        router = router.with_llms(_LLMS.value)
    if _HISTORY.value:
        router = router.with_history(_HISTORY.value)
    constraints = router.constraints(_MAX_COST.value, _ALLOW.value)
    begun = time.monotonic()

    def progress(rows: int, share: float | None) -> None:
        seconds = time.monotonic() - begun
        left = f", {seconds / share - seconds:.0f} s left" if share else ""
        print(f"{rows} rows, {rows / max(seconds, 1e-9):.0f} rows/s{left}", file=sys.stderr)

    counts = score_file(
        lambda columns: router.score_columns(columns, constraints),
        _INPUT.value,
        _OUTPUT.value,
        strict=_STRICT.value,
        on_progress=progress,
    )
    print(f"{counts.rows} rows scored, {counts.errors} with an error: {_OUTPUT.value}")


if __name__ == "__main__":
    entry.start(main)
