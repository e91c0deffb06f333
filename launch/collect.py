"""Collects the answers of a pool of LLMs to a file of queries, as a folder of tables.

python -m launch.collect --queries=queries.jsonl --llms=llms.json --out=runs/answers [--budget=5] [--dry_run]

Queries: .parquet, .csv or .jsonl with query and optionally query_id, task_id, reference, metric, choices. LLMs:
{"name": {"model": ..., "base_url": ..., "key_variable": ..., "input_price": ..., "output_price": ...}, ...}, at
OpenAI-compatible servers; see collect/llms.py for all fields. A server of one's own needs no key. Given again, a run
goes on: OUT/answers.jsonl has each answer from the moment it came. Then launch.grade fills in the effects.
"""

from absl import flags

from launch import entry

_QUERIES = flags.DEFINE_string("queries", None, "File of queries: .parquet, .csv or .jsonl.", required=True)
_LLMS = flags.DEFINE_string("llms", None, "JSON file of the LLMs to ask.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder of answers and tables; given again, a run goes on.", required=True)
_BUDGET = flags.DEFINE_float("budget", 0.0, "USD that all answers in --out may cost; 0 for no limit.", lower_bound=0)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 64, "Requests under way at a time.", lower_bound=1)
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Say what it would cost, and stop.")


def main() -> None:
    from prouter_jax.collect.collect import collect, estimate
    from prouter_jax.collect.llms import read_llms
    from prouter_jax.collect.queries import read_queries

    queries, llms = read_queries(_QUERIES.value), read_llms(_LLMS.value)
    if queries.repeated:
        print(f"queries: {queries.repeated:,} rows that repeat another are left out")
    if _DRY_RUN.value:
        lanes = estimate(queries, llms, _OUT.value)
        for lane in lanes:
            print(lane.line())
        cost, most = sum(lane.about.cost for lane in lanes), sum(lane.most for lane in lanes)
        requests = sum(lane.about.asked - lane.about.stored for lane in lanes)
        print(f"estimate: {requests:,} requests, about {cost:.4f} USD, at most {most:.4f} USD if none is repeated")
        return
    found = collect(queries, llms, _OUT.value, _BUDGET.value, _CONCURRENCY.value)
    _say(found)
    found.raise_if_broken_off()


def _say(found) -> None:
    for reason, times in found.failures.most_common(5):
        print(f"no answer, {times:,} times: {reason}")
    for llm, error in found.stopped.items():
        print(f"{llm} was not asked to the end: {error}")
    notes = [f"{found.cut_off:,} cut off at max_output_tokens"] if found.cut_off else []
    notes += [f"{found.guessed:,} with guessed tokens"] if found.guessed else []
    noted = f" ({', '.join(notes)})" if notes else ""
    print(f"answers: {found.answers:,} of {found.wanted:,}{noted}, {found.spent:.4f} USD: {_OUT.value}")
    if found.answers < found.wanted:
        print("the same command again asks for what is missing")
    if found.answers:
        print(f"not graded yet: python -m launch.grade --answers={_OUT.value}")


if __name__ == "__main__":
    entry.start(main)
