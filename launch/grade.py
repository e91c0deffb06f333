"""Grades collected answers: fills the column effect of the outcomes from what the queries say is right.

python -m launch.grade --answers=runs/answers [--metric=token_f1] [--judge=judge.json] [--dry_run]

Metrics: token_f1, exact_match, multiple_choice, number_at_end, rouge_l, judge. Each query's own, in its column metric,
or --metric for all. --metric alone may also be MODULE:FUNCTION, a function of one's own (answer, reference) -> [0, 1]:
a table never names code that runs. A judge is an LLM
in a file as launch.collect has it (--llms), with one LLM in it; its grades are kept in ANSWERS/grades.jsonl.
"""

from absl import flags

from launch import entry

_ANSWERS = flags.DEFINE_string("answers", None, "Folder that launch.collect wrote.", required=True)
_METRIC = flags.DEFINE_string("metric", None, "Metric for all queries; default: each query's own.")
_JUDGE = flags.DEFINE_string("judge", None, "JSON file with the LLM that grades.")
_BUDGET = flags.DEFINE_float("budget", 0.0, "USD that all grades may cost; 0 for no limit.", lower_bound=0)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 16, "Requests for grades under way at a time.", lower_bound=1)
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Say what would be graded and what it would cost, and stop.")


def main() -> None:
    from prouter_jax.grading.grade import Outcomes

    outcomes, grader = Outcomes(_ANSWERS.value, _METRIC.value or ""), _grader()
    if grader is not None:
        print(f"estimate: {outcomes.estimate(grader).line('grades')}", flush=True)
    if _DRY_RUN.value:
        for name, rows in outcomes.rows.items():
            print(f"{name}: {len(rows):,} answers to grade")
        _say_ungraded(outcomes.ungraded)
        return
    graded = outcomes.grade(grader)
    for name, effects in graded.effects.items():
        mean = f", {sum(effects) / len(effects):.4f} on average" if effects else ""
        print(f"{name}: {len(effects):,} answers graded{mean}")
    _say_ungraded(graded.ungraded)


def _grader():
    from prouter_jax.collect.llms import read_llms
    from prouter_jax.grading.judge import Grader
    from prouter_jax.io.paths import make_path

    if _JUDGE.value is None:
        return None
    llms = read_llms(_JUDGE.value)
    if len(llms) != 1:
        raise ValueError(f"{_JUDGE.value}: expected one LLM, found {len(llms)}")
    return Grader(llms[0], make_path(_ANSWERS.value) / "grades.jsonl", _BUDGET.value, _CONCURRENCY.value)


def _say_ungraded(ungraded) -> None:
    if not ungraded:
        print("nothing is left ungraded")
    for reason, times in ungraded.most_common():
        print(f"left ungraded, {times:,}: {reason}")


if __name__ == "__main__":
    entry.start(main)
