"""Picks an LLM for every (user, query) pair of a file.

prouter score --workdir=runs/embedded --input=pairs --output=scored.jsonl

--input=pairs is the example that comes with the embedded benchmark; otherwise a file. Several processes share a file
with --shard=0/3, --shard=1/3, --shard=2/3: each scores a part, and the last one joins the parts.
"""

from absl import flags

from prouter_jax.io.display import log_line, on_progress, waiting

from . import entry
from .config_flag import EXPERIMENTS

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a trained router (of one seed).", required=True)
_INPUT = flags.DEFINE_string(
    "input", None, "Pairs: .parquet, .csv or .jsonl with user_id and query or query_id; or: pairs.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "File for the input's rows with llm, probabilities, basis and error.", required=True
)
_HISTORY = flags.DEFINE_string("history", None, "Choices, votes, ratings or thumbs of users outside the training data.")
_LLMS = flags.DEFINE_string("llms", None, "Folder with new LLMs, or new prices, and their outcomes and feedback.")
_MAX_COST = flags.DEFINE_float("max_cost", None, "Highest expected cost of an answer in USD.")
_ALLOW = flags.DEFINE_list("allow", None, "LLMs to choose from; all by default.")
_STRICT = flags.DEFINE_boolean("strict", False, "Stop at the first row that cannot be scored, or used of --history.")
_KEEP_FORMULAS = flags.DEFINE_boolean(
    "keep_formulas", False, "Write CSV texts that begin with = + - or @ as they are; by default ' goes before them."
)
_SHARD = flags.DEFINE_string("shard", None, "I/N: score part I, from 0, of N; the last part joins them all.")


def main() -> None:
    with waiting("loading"):
        from prouter_jax.serving.batch.score import check_paths, score_file
        from prouter_jax.serving.batch.sharded import parse_shard, score_shard
        from prouter_jax.serving.batch.unknown import UnknownCounter
        from prouter_jax.serving.router import Router

    paths = (EXPERIMENTS / "pairs.jsonl" if _INPUT.value == "pairs" else _INPUT.value, _OUTPUT.value)
    shard = None if _SHARD.value is None else parse_shard(_SHARD.value)
    check_paths(*paths)
    with waiting("restoring the router"):
        router = Router.load(_WORKDIR.value)
    if _LLMS.value:
        with waiting("reading what the users say of the new LLMs"):
            router = router.with_llms(_LLMS.value)
    if _HISTORY.value:
        with waiting("reading the histories"):
            router = router.with_history(_HISTORY.value, _STRICT.value)
    constraints = router.constraints(_MAX_COST.value, _ALLOW.value)
    options = {"strict": _STRICT.value, "on_progress": on_progress("rows"), "keep_formulas": _KEEP_FORMULAS.value}

    data = router.interactions
    known = data.users.ids, data.queries.ids, data.queries.texts
    score = UnknownCounter(lambda columns: router.score_columns(columns, constraints), *known)
    if shard is None:
        counts = score_file(score, *paths, **options)
        print(f"{counts.rows} rows scored, {counts.errors} with an error: {_OUTPUT.value}")
        _tell_unknown(score)
        return
    done = score_shard(score, *paths, shard, f"{router.digest()} {_MAX_COST.value} {_ALLOW.value}", **options)
    how = "were scored before" if done.kept else "scored"
    print(f"part {_SHARD.value}: {done.part.rows} rows {how}, {done.part.errors} with an error")
    _tell_unknown(score)
    if done.missing:
        print(f"missing parts, before there is an output: {', '.join(f'{i}/{shard.number}' for i in done.missing)}")
    else:
        print(f"all parts are joined: {_OUTPUT.value}")


def _tell_unknown(score) -> None:
    for line in score.lines():
        print(line) if not line.startswith("warning") else log_line(f"score: {line}")


if __name__ == "__main__":
    entry.start(main, saved=lambda: "complete parts are saved" if _SHARD.value else "nothing was to be saved")
