"""Converts a gateway's request logs to a folder of tables for train and off_policy.

prouter logs --input=day1.jsonl,day2.jsonl --out=FOLDER [--hash_key_variable=LOG_KEY --mask --merge_near=0.97]

A row is a request: user, prompt or messages, model (the one served), and optionally candidates, input_tokens,
output_tokens, cost, latency, thumb (up, down) or rating, time, propensity (the probability with which that model was
picked) and task. --columns=user=customer_id,served=deployment renames columns. Dropped rows are counted by reason.
"""

import sys

from absl import flags

from prouter_jax.io.display import on_progress

from . import entry

_INPUT = flags.DEFINE_list("input", None, "Log files, .jsonl or .parquet.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder of the tables.", required=True)
_COLUMNS = flags.DEFINE_string("columns", None, "FIELD=COLUMN,... where a column has another name than usual.")
_RATING_RANGE = flags.DEFINE_string("rating_range", None, "LOW:HIGH of the ratings, which become 0 and 1.")
_HASH = flags.DEFINE_string("hash_key_variable", None, "Environment variable with the key that users are hashed with.")
_MASK = flags.DEFINE_boolean(
    "mask", False, "Mask secrets and e-mail addresses in all texts, see docs/logs.md (pip install 'prouter-jax[mask]')."
)
_MERGE_NEAR = flags.DEFINE_float(
    "merge_near", None, "Cosine of text vectors from which on two queries are one.", lower_bound=0.5, upper_bound=1.0
)

_SECONDS_ON_TERMINAL, _SECONDS_IN_LOG = 1.0, 30.0


def main() -> None:
    from prouter_jax.data.logs.convert import Options, convert_log
    from prouter_jax.data.logs.privacy import read_key
    from prouter_jax.data.logs.requests import parse_columns, parse_range

    options = Options(
        columns=parse_columns(_COLUMNS.value or ""),
        rating_range=parse_range(_RATING_RANGE.value) if _RATING_RANGE.value else None,
        hash_key=read_key(_HASH.value) if _HASH.value else None,
        mask=_MASK.value,
        merge_near=_MERGE_NEAR.value,
    )
    pause = _SECONDS_ON_TERMINAL if sys.stderr.isatty() else _SECONDS_IN_LOG
    counts = convert_log(_INPUT.value, _OUT.value, options, on_progress("rows", pause))
    print(f"{counts.rows:,} rows read, {counts.kept:,} kept, of {counts.queries:,} queries and {counts.llms} LLMs")
    print(f"{counts.judged:,} with a thumb or rating, {counts.told:,} with a propensity")
    for reason, number in counts.dropped.most_common():
        print(f"dropped, {reason}: {number:,}")
    for field, number in (counts.masked or {}).items():
        if number:
            print(f"masked, {field}: {number:,}")
    users = "hashed" if options.hash_key else "as they are in the log"
    users += ", addresses under a key that is gone" if options.mask and not options.hash_key else ""
    print(f"users: {users}; tables: {_OUT.value}")


if __name__ == "__main__":
    entry.start(main)
