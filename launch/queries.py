"""Converts a query set with references to the table that collect and grade read.

prouter queries --format=gsm8k --input=train.jsonl --out=queries.parquet [--most=600 --seed=0]
prouter queries --format=columns --input=mine.csv --columns=query=prompt,reference=answer --out=queries.parquet

Formats: alpaca, gsm8k, squad, multi_news, llmrouter (its query files, and RouteProfile's), and columns for any CSV,
JSONL or Parquet file with query and optionally query_id, task_id, reference, metric and choices, or with other names
that --columns lists. Metrics, references and choices are checked here, before any LLM is paid.
"""

from absl import flags

from prouter_jax.config import QUERY_SETS
from prouter_jax.io.display import on_progress

from . import entry

_FORMAT = flags.DEFINE_enum("format", None, QUERY_SETS, "Format of the input.", required=True)
_INPUT = flags.DEFINE_string("input", None, "The file.", required=True)
_OUT = flags.DEFINE_string("out", None, "Parquet file for the queries.", required=True)
_COLUMNS = flags.DEFINE_list("columns", None, "OURS=THEIRS: names of columns in a file of format columns.")
_MOST = flags.DEFINE_integer("most", 0, "Number of queries to keep, drawn at random; 0 for all.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of that draw.", lower_bound=0)


def main() -> None:
    from prouter_jax.data.public.query_sets import write_query_set
    from prouter_jax.llm.gradable import check_metric

    columns = dict(_named(text) for text in _COLUMNS.value or [])
    if columns and _FORMAT.value != "columns":
        raise ValueError(f"flag --columns: expected none with --format={_FORMAT.value}")
    progress = on_progress("records", 2.0)
    done = write_query_set(
        _FORMAT.value, _INPUT.value, _OUT.value, _MOST.value, _SEED.value, columns, progress, check_metric
    )
    for what, times in done["dropped"].items():
        print(f"dropped: {times:,} {what}")
    for reason, times in done["ungraded"].items():
        print(f"answers to {times:,} queries will stay ungraded: {reason}")
    print(f"written: {done['written']:,} queries of {done['records']:,} records; {_OUT.value}")


def _named(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not (ours and equals and theirs):
        raise ValueError(f"flag --columns: expected OURS=THEIRS, found {text!r}")
    return ours, theirs


if __name__ == "__main__":
    entry.start(main)
