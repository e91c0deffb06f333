"""A report in sentences, table cells and Markdown, for readers who know neither the code nor statistics.

Policies have their names in words, numbers three digits. A difference whose 95 % interval holds 0 is called level.
Unknown numbers are shown as a dash.
"""

import math
from collections.abc import Callable

from prouter_jax.io.display import dollars, escape_markdown, markdown_table, number, percent
from prouter_jax.report.log_text import log_headline, log_markdown
from prouter_jax.report.names import named, relation, sample_text, title_of
from prouter_jax.report.types import MATCHED, POLICY_DESCRIPTIONS, ROUTER, PairedDifference, Report, SeedStatistics

_COMPARED = ("best_per_user", "user_blind")
_NO_BASELINE = (ROUTER, "user_blind", "oracle")
_MATCHED_MEANS = (
    "A choice is matched if the router picks the LLM that the user chose among the candidates. It is not the share of "
    "right answers."
)
_REWARD_MEANS = "The reward of a pick is its quality and its cost, weighed by the user's own preference."
_TESTED_ON = {  # by the split
    "cold query": " Tested on queries that the training did not have.",
    "warm query": " Tested on queries that other users have asked, new to the user.",
    "warm user": " Tested on users that the training did not have.",
    "cold user": " Tested on users and queries that the training did not have.",
    "cold llm": " Tested with LLMs that the training did not have.",
    "cold user llm": " Tested on users and with LLMs that the training did not have.",
    "time": " Tested on the latest decisions.",
}
STYLE_NOTE = (
    "What these users weigh is not known: they may choose by style. Quality and cost are shown, but they are not the "
    "measure: a router that matches more choices may well pick weaker or dearer LLMs."
)
"""Where users choose as they like, and the answers' quality or cost is on the page as well."""


def to_markdown(report: Report) -> str:
    """report.md: the main results, policies by reward and facts."""
    sentences = headline(report)
    if report.log is not None:
        return log_markdown(report, report.log, sentences)
    rows = [[*row, POLICY_DESCRIPTIONS.get(name, "")] for name, row in policy_rows(report)]
    parts = [
        f"# {escape_markdown(report.title)}",
        "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences),
        *map(escape_markdown, notes(report)),
        "## All policies",
        markdown_table([*policy_columns(report), "description"], rows),
        "## Facts",
        markdown_table(["fact", "value"], report.facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def headline(report: Report) -> list[str]:
    """The main results in sentences, the most important first."""
    if report.log is not None:
        return log_headline(report.log)
    sentences, router = verdicts(report), report.policies.get(ROUTER)
    if router is not None and math.isfinite(router.gap_closed.mean):
        gap = percent(abs(router.gap_closed.mean))
        closes = f"It closes {gap} of" if router.gap_closed.mean >= 0 else f"It widens by {gap}"
        sentences.append(f"{closes} the gap between the best single LLM and perfect choices.")
    return sentences


def verdicts(report: Report) -> list[str]:
    """The router against the strongest baseline and others, each difference with its interval and what it means."""
    router = report.policies.get(ROUTER)
    if router is None:
        return ["This report has no results of the personal router, only of other policies."]
    value = value_text(report, router.reward.mean)
    if report.reward_name == MATCHED:
        first = f"The personal router picks the LLM that the user chose in {value} of the test decisions"
    else:
        first = f"The personal router reaches a mean {report.reward_name} of {value}"
    rows = main_differences(report)
    if not rows:
        return [first + "."]
    main = sample_text(rows[0][1])
    against = [
        f"{relation(row)} {name} ({difference_text(report, row, place == 0 or sample_text(row) != main)})"
        for place, (name, row) in enumerate(rows)
    ]
    return [f"{first}: {against[0]}.", *(f"It is {words}." for words in against[1:])]


def notes(report: Report) -> list[str]:
    """What the measure means and was taken on, and where quality and cost are not the measure."""
    router = report.policies.get(ROUTER)
    if router is None:
        return []
    tested = _TESTED_ON.get(report.facts.get("split", "").partition(",")[0], "")
    means = f"{_MATCHED_MEANS if report.reward_name == MATCHED else _REWARD_MEANS}{tested}"
    measured = math.isfinite(router.effect.mean) or math.isfinite(router.cost.mean)
    return [means, *([STYLE_NOTE] if measured and report.reward_name == MATCHED else [])]


def main_differences(report: Report) -> list[tuple[str, PairedDifference]]:
    """The router's differences to the strongest baseline, the users' own best LLMs and the user-blind router.

    Returns:
      pairs of the other policy in words and the difference; those that were not measured are left out.
    """
    names = {name: named(name) for name in _COMPARED}
    baselines = [name for name in by_reward(report) if name not in _NO_BASELINE]
    if baselines:
        names = {baselines[0]: f"the strongest simple rule, {named(baselines[0])}"} | {
            name: words for name, words in names.items() if name != baselines[0]
        }
    rows = ((words, widest_difference(report, against)) for against, words in names.items())
    return [(words, row) for words, row in rows if row is not None]


def widest_difference(report: Report, against: str) -> PairedDifference | None:
    """The router's difference to a policy; of several, the one with the widest interval, to claim no more than that."""
    rows = [row for row in report.paired if (row.policy, row.against) == (ROUTER, against)]
    width = lambda row: row.high - row.low if math.isfinite(row.high - row.low) else -1.0  # noqa: E731
    return max(rows, key=width, default=None)


def value_text(report: Report, value: float, sign: bool = False) -> str:
    """A mean reward, or with `sign` a difference of two: `62.6 %` and `+1.5 points`, or `0.626` and `+0.015`."""
    if report.reward_name != MATCHED:
        return number(value, sign, decimals=3)
    if not sign:
        return percent(value)
    return f"{number(100 * value, sign, decimals=1)} points" if math.isfinite(value) else number(value)


def difference_text(report: Report, row: PairedDifference, with_sample: bool = True) -> str:
    """`+1.5 points, 95 % interval -2.9 to +5.8 points over 80 test queries`."""
    mean = value_text(report, row.mean, sign=True)
    if not math.isfinite(row.high - row.low):
        return f"{mean}, no interval, {sample_text(row)}"
    interval = f"95 % interval {interval_text(report, row)}"
    return f"{mean}, {interval} over {sample_text(row)}" if with_sample else f"{mean}, {interval}"


def interval_text(report: Report, row: PairedDifference) -> str:
    """`-2.9 to +5.8 points`; a dash without an interval."""
    if not math.isfinite(row.high - row.low):
        return number(math.nan)
    low, high = (value_text(report, end, sign=True) for end in (row.low, row.high))
    return f"{low.removesuffix(' points')} to {high}"


def by_reward(report: Report) -> list[str]:
    """Policy names by reward, best first, unknown last; equal rewards in the order of the report, the router first."""
    mean = {name: result.reward.mean for name, result in report.policies.items()}
    return sorted(mean, key=lambda name: -mean[name] if math.isfinite(mean[name]) else math.inf)


def policy_columns(report: Report) -> list[str]:
    """Header of the table of policies; a share of choices matched is the accuracy as well."""
    accuracy = [] if report.reward_name == MATCHED else ["best LLM picked"]
    points = " in points" if report.reward_name == MATCHED else ""
    against = [f"router minus this{points}", "its 95 % interval"] if report.paired else []
    return ["policy", report.reward_name, *accuracy, *against, "gap closed", "quality", "USD per 1000 queries"]


def policy_rows(report: Report) -> list[tuple[str, list[str]]]:
    """The name of each policy with the cells of `policy_columns`, best reward first."""
    rows = []
    for name in by_reward(report):
        result, against = report.policies[name], widest_difference(report, name)
        cells = [title_of(name), mean_text(result.reward, lambda value: value_text(report, value))]
        cells += [] if report.reward_name == MATCHED else [mean_text(result.accuracy, percent)]
        if report.paired:
            found = (
                (value_text(report, against.mean, sign=True), interval_text(report, against)) if against else ("", "")
            )
            cells += [cell.removesuffix(" points") for cell in found]
        quality = mean_text(result.effect, lambda value: number(value, decimals=3))
        rows.append((name, [*cells, mean_text(result.gap_closed, percent), quality, mean_text(result.cost, dollars)]))
    return rows


def mean_text(value: SeedStatistics, form: Callable[[float], str] = number) -> str:
    """`mean ± standard deviation` over seeds; the mean alone for one seed."""
    several = len(value.values) > 1 and math.isfinite(value.mean) and math.isfinite(value.spread)
    if not several:
        return form(value.mean)
    return f"{form(value.mean).removesuffix(' %')} ± {form(value.spread)}"
