"""Collects the answers of a pool of LLMs to a file of queries, as a folder of tables.

prouter collect --queries=queries.jsonl --llms=llms.json --out=runs/answers [--budget=5] [--dry_run]

Queries: .parquet, .csv or .jsonl with query and optionally query_id, task_id, reference, metric, choices. LLMs:
{"name": {"model": ..., "base_url": ..., "key_variable": ..., "input_price": ..., "output_price": ...}, ...}, each on an
OpenAI-compatible server; prouter_jax/llm/pool.py lists all fields. A local server needs no key. OUT/answers.jsonl
stores every answer as it arrives, and the same command resumes an interrupted run. `prouter grade` adds the effects.
"""

import os

from absl import flags

from . import entry

_QUERIES = flags.DEFINE_string("queries", None, "File of queries: .parquet, .csv or .jsonl.", required=True)
_LLMS = flags.DEFINE_string("llms", None, "JSON file of the LLMs to ask.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder of answers and tables; the same again resumes a run.", required=True)
_BUDGET = flags.DEFINE_float(
    "budget", 0.0, "Limit of the cost of all answers in --out in USD; 0 for none.", lower_bound=0
)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 64, "Maximum number of concurrent requests.", lower_bound=1)
_KEEP_RAW = flags.DEFINE_boolean(
    "keep_raw", False, "Also write what each LLM wrote with its thoughts: outcomes, column raw_response."
)
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print the cost, and stop.")


def main() -> None:
    os.umask(0o077)  # answers may hold anything: no other user may read them
    from prouter_jax.llm.answers import read_queries
    from prouter_jax.llm.collect import collect, estimate_costs
    from prouter_jax.llm.gradable import check_queries
    from prouter_jax.llm.pool import read_llms

    queries, llms = read_queries(_QUERIES.value), read_llms(_LLMS.value)
    if queries.duplicates:
        print(f"queries: {queries.duplicates:,} rows that repeat another are left out")
    for reason, times in check_queries(queries, _QUERIES.value).most_common():
        print(f"queries: answers to {times:,} will stay ungraded: {reason}")
    if _DRY_RUN.value:
        estimates = estimate_costs(queries, llms, _OUT.value)
        for llm, estimate in estimates.items():
            print(f"{llm}: {estimate.format('answers')}")
        cost = sum(estimate.cost for estimate in estimates.values())
        most = sum(estimate.max_cost for estimate in estimates.values())
        requests = sum(estimate.total - estimate.stored for estimate in estimates.values())
        print(f"estimate: {requests:,} requests, about {cost:.4f} USD, at most {most:.4f} USD if none is repeated")
        return
    summary = collect(queries, llms, _OUT.value, _BUDGET.value, _CONCURRENCY.value, _KEEP_RAW.value)
    _report(summary)
    summary.raise_errors()


def _report(summary) -> None:
    for reason, times in summary.failures.most_common(5):
        print(f"no answer, {times:,} times: {reason}")
    for llm, error in summary.stopped.items():
        print(f"{llm} was not asked to the end: {error}")
    notes = [f"{summary.cut_off:,} cut off at max_output_tokens"] if summary.cut_off else []
    notes += [f"{summary.estimated_tokens:,} with guessed tokens"] if summary.estimated_tokens else []
    notes += [f"{summary.thoughts:,} without the thoughts before them"] if summary.thoughts else []
    noted = f" ({', '.join(notes)})" if notes else ""
    print(f"answers: {summary.answers:,} of {summary.wanted:,}{noted}, {summary.spent:.4f} USD: {_OUT.value}")
    if summary.answers < summary.wanted:
        print("the same command again asks for what is missing")
    if summary.answers:
        print(f"not graded yet: prouter grade --answers={_OUT.value}")


if __name__ == "__main__":
    entry.start(main, saved=lambda: "every answer so far is saved; the same command goes on")
