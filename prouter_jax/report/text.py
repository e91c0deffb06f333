"""A report in sentences, table cells and Markdown. Unknown numbers are shown as a dash."""

import math
from collections.abc import Callable

from prouter_jax.io.display import dollars, escape_markdown, markdown_table, number, percent
from prouter_jax.report.types import (
    POLICY_DESCRIPTIONS,
    ROUTER,
    LogComparison,
    PairedDifference,
    Report,
    SeedStatistics,
)

_COMPARED = {"best_per_user": "each user's own best LLM", "user_blind": "the user-blind router"}
_IN_WORDS = {
    "best_per_user_task": "each user's own best LLM of each task",
    "best_single": "the best single LLM",
    "strongest": "the LLM of the highest quality",
    "cheapest": "the cheapest LLM",
}
LOG_NAMES = {
    "gateway": "the gateway's own picks",
    "best_single": "the best single LLM",
    "user_blind": "the user-blind router",
    "best_per_user": "each user's own best LLM",
    "best_per_user_task": "each user's own best LLM of each task",
    "cheapest": "the cheapest LLM",
    "strongest": "the LLM of the highest quality",
}
LOG_COLUMNS = [
    *("policy", "estimated reward", "95 % interval", "effective sample size", "mean weight"),
    *("router minus this", "its interval", "verdict"),
]
PAIRED_COLUMNS = ["policy", "against", "difference", "95 % interval, low", "high", "over"]


def to_markdown(report: Report) -> str:
    """report.md: the main results, policies by reward, paired differences and facts."""
    if report.log is not None:
        return _log_markdown(report, report.log)
    policies = [[policy, *cells, POLICY_DESCRIPTIONS.get(policy, "")] for policy, *cells in policy_rows(report)]
    parts = [
        f"# {escape_markdown(report.title)}",
        "\n".join(f"- {escape_markdown(sentence)}" for sentence in headline(report)),
        "## Policies",
        markdown_table([*policy_columns(report), "description"], policies),
        f"## Differences in {report.reward_name} on the same test decisions",
        markdown_table(PAIRED_COLUMNS, paired_rows(report)) if report.paired else "None measured.",
        "## Facts",
        markdown_table(["fact", "value"], report.facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def headline(report: Report) -> list[str]:
    """The main results in sentences, the most important first."""
    if report.log is not None:
        return log_headline(report.log)
    router, single = report.policies.get(ROUTER), report.policies.get("best_single")
    if router is None:
        return ["This report has no results of the personal router, only of other policies."]
    first = f"The personal router reaches a {report.reward_name} of {number(router.reward.mean)}"
    if single is not None:
        first += f"; the best single LLM reaches {number(single.reward.mean)}"
    sentences = [first + "."]
    if math.isfinite(router.gap_closed.mean):
        gap = percent(abs(router.gap_closed.mean))
        closes = f"It closes {gap} of" if router.gap_closed.mean >= 0 else f"It widens by {gap}"
        sentences.append(f"{closes} the gap between the best single LLM and perfect choices.")
    sentences += [f"Against {name}: {difference_text(row)}, {verdict(row)}." for name, row in main_differences(report)]
    return sentences


def log_headline(log: LogComparison) -> list[str]:
    """The main results on a log in sentences; what it cannot tell is in `LogComparison.limits`."""
    value = next((value for value in log.values if value.policy == ROUTER), None)
    if value is None:
        return [log.limits[0]]
    sentences = [
        f"On the test decisions of this log the router's mean reward is estimated as {number(value.value)} "
        f"(95 % interval {number(value.low)} to {number(value.high)})."
    ]
    for name in ("gateway", "best_single"):
        row = next((other.gain for other in log.values if other.policy == name), None)
        if row is not None:
            sentences.append(f"Against {LOG_NAMES[name]}: {difference_text(row)}, {log_verdict(row)}.")
    return sentences


def log_rows(log: LogComparison) -> list[list[str]]:
    """Cells of the table of policies on a log, with `LOG_COLUMNS`."""
    rows = []
    for value in log.values:
        gain = value.gain
        against = [number(gain.mean, sign=True), interval_text(gain), log_verdict(gain)] if gain else ["", "", ""]
        interval = f"{number(value.low)} to {number(value.high)}"
        sizes = [f"{value.effective:,.0f}", number(value.mean_weight)]
        rows.append([LOG_NAMES.get(value.policy, value.policy), number(value.value), interval, *sizes, *against])
    return rows


def log_verdict(row: PairedDifference) -> str:
    """Whether the router is better or worse than a policy, or level with it: the 95 % interval holds 0."""
    if not is_significant(row):
        return "level"
    return "the router is better" if row.low > 0 else "the router is worse"


def main_differences(report: Report) -> list[tuple[str, PairedDifference]]:
    """The router's differences to the strongest baseline, the users' own best LLMs and the user-blind router.

    Returns:
      pairs of the other policy in words and the difference; those that were not measured are left out.
    """
    names = _COMPARED
    baselines = [name for name in by_reward(report) if name not in (ROUTER, "user_blind", "oracle")]
    if baselines and baselines[0] not in names:
        words = _IN_WORDS.get(baselines[0], baselines[0])
        names = {baselines[0]: f"the strongest baseline ({words})"} | names
    rows = ((words, widest_difference(report, against)) for against, words in names.items())
    return [(words, row) for words, row in rows if row is not None]


def widest_difference(report: Report, against: str) -> PairedDifference | None:
    """The router's difference to a policy; of several, the one with the widest interval, to claim no more than that."""
    rows = [row for row in report.paired if (row.policy, row.against) == (ROUTER, against)]
    return max(rows, key=lambda row: row.high - row.low if _has_interval(row) else -1.0, default=None)


def difference_text(row: PairedDifference) -> str:
    """`+0.012 (95 % interval +0.004 to +0.020 over 3 seeds)`."""
    return f"{number(row.mean, sign=True)} ({interval_text(row)})"


def interval_text(row: PairedDifference) -> str:
    """`95 % interval +0.004 to +0.020 over 3 seeds`."""
    if not _has_interval(row):
        return f"no interval, {sample_text(row)}"
    return f"95 % interval {number(row.low, sign=True)} to {number(row.high, sign=True)} over {sample_text(row)}"


def sample_text(row: PairedDifference) -> str:
    """`3 seeds`, `1 seed`, `1200 test queries`."""
    singular = {"seeds": "seed", "users": "user", "test queries": "test query"}.get(row.over, row.over)
    return f"{row.n} {singular if row.n == 1 else row.over}"


def verdict(row: PairedDifference) -> str:
    """Whether the difference is significant: its 95 % interval excludes zero."""
    if not _has_interval(row):
        return "too few to test for significance"
    if not is_significant(row):
        return "not significant"
    return "a significant gain" if row.low > 0 else "a significant loss"


def is_significant(row: PairedDifference) -> bool:
    """Whether the 95 % interval excludes zero."""
    return row.low > 0 or row.high < 0


def paired_rows(report: Report) -> list[list[str]]:
    """Cells of the table of paired differences, with `PAIRED_COLUMNS`."""
    return [
        [row.policy, row.against, *(number(v, sign=True) for v in (row.mean, row.low, row.high)), sample_text(row)]
        for row in report.paired
    ]


def by_reward(report: Report) -> list[str]:
    """Policy names by reward, best first, unknown last; equal rewards in the order of the report, the router first."""
    mean = {name: result.reward.mean for name, result in report.policies.items()}
    return sorted(mean, key=lambda name: -mean[name] if math.isfinite(mean[name]) else math.inf)


def policy_columns(report: Report) -> list[str]:
    """Header of the table of policies."""
    return ["policy", report.reward_name, "gap closed", "accuracy", "effect", "USD per 1000 queries"]


def policy_rows(report: Report) -> list[list[str]]:
    """Cells of the table of policies, best reward first."""
    rows = []
    for name in by_reward(report):
        result = report.policies[name]
        cells = [mean_text(result.reward), mean_text(result.gap_closed, percent), mean_text(result.accuracy, percent)]
        rows.append([name, *cells, mean_text(result.effect), mean_text(result.cost, dollars)])
    return rows


def mean_text(value: SeedStatistics, form: Callable[[float], str] = number) -> str:
    """`mean ± standard deviation` over seeds; the mean alone for one seed."""
    several = len(value.values) > 1 and math.isfinite(value.mean) and math.isfinite(value.spread)
    if not several:
        return form(value.mean)
    return f"{form(value.mean).removesuffix(' %')} ± {form(value.spread)}"


def _log_markdown(report: Report, log: LogComparison) -> str:
    parts = [
        f"# {escape_markdown(report.title)}",
        "\n".join(f"- {escape_markdown(sentence)}" for sentence in headline(report)),
        "## Policies, compared off-policy",
        markdown_table(LOG_COLUMNS, log_rows(log)) if log.values else "None could be compared.",
        "## What this log cannot tell",
        "\n".join(f"- {escape_markdown(sentence)}" for sentence in log.limits),
        "## Facts",
        markdown_table(["fact", "value"], report.facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _has_interval(row: PairedDifference) -> bool:
    return math.isfinite(row.high - row.low)
