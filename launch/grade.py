"""Grades collected answers by the references of their queries: the column effect.

prouter grade --answers=runs/answers [--metric=token_f1] [--judge=judge.json] [--dry_run]

Metrics: token_f1, exact_match, contains, multiple_choice, number_at_end, math_boxed, rouge_l, judge, and their names in
published sets (f1_score, em, cem, em_mc, GSM8K, MATH). The column metric of the queries names one for each query;
--metric replaces it for all. What a model thinks aloud before its answer is not graded. Only --metric may be
MODULE:FUNCTION, a Python function (answer, reference) -> [0, 1]: a table never names code that runs. --judge is a file
as for --llms of `prouter collect`, with one LLM in it; its grades are stored in ANSWERS/grades.jsonl.
"""

import os

from absl import flags

from . import entry

_ANSWERS = flags.DEFINE_string("answers", None, "Output folder of `prouter collect`.", required=True)
_METRIC = flags.DEFINE_string("metric", None, "Metric for all queries; default: each query's own.")
_JUDGE = flags.DEFINE_string("judge", None, "JSON file with the LLM that grades.")
_BUDGET = flags.DEFINE_float("budget", 0.0, "Limit of the cost of all grades in USD; 0 for none.", lower_bound=0)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 16, "Maximum number of concurrent requests.", lower_bound=1)
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print what would be graded and its cost, and stop.")


def main() -> None:
    os.umask(0o077)  # answers may hold anything: no other user may read them
    from prouter_jax.llm.grading import CollectedOutcomes

    outcomes, grader = CollectedOutcomes(_ANSWERS.value, _METRIC.value or ""), _make_grader()
    if outcomes.thoughts:
        print(f"{outcomes.thoughts:,} answers are graded without what the model thought aloud")
    if grader is not None:
        print(f"estimate: {outcomes.estimate_cost(grader).format('grades')}", flush=True)
    if _DRY_RUN.value:
        for name, rows in outcomes.rows.items():
            print(f"{name}: {len(rows):,} answers to grade")
        _report_ungraded(outcomes.ungraded)
        return
    summary = outcomes.grade(grader)
    for name, grades in summary.grades.items():
        mean = f", {sum(grades) / len(grades):.4f} on average" if grades else ""
        print(f"{name}: {len(grades):,} answers graded{mean}")
    _report_ungraded(summary.ungraded)


def _make_grader():
    from prouter_jax.io.paths import make_path
    from prouter_jax.llm.grading import LlmGrader
    from prouter_jax.llm.pool import read_llms

    if _JUDGE.value is None:
        return None
    llms = read_llms(_JUDGE.value)
    if len(llms) != 1:
        raise ValueError(f"{_JUDGE.value}: expected one LLM, found {len(llms)}")
    return LlmGrader(llms[0], make_path(_ANSWERS.value) / "grades.jsonl", _BUDGET.value, _CONCURRENCY.value)


def _report_ungraded(ungraded) -> None:
    if not ungraded:
        print("nothing is left ungraded")
    for reason, times in ungraded.most_common():
        print(f"left ungraded, {times:,}: {reason}")


if __name__ == "__main__":
    entry.start(main, saved=lambda: "every grade of an LLM so far is saved; the same command goes on")
