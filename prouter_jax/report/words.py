"""A report in words and cells, as all its pages show it; unknown numbers are a dash."""

import math

from prouter_jax.io.numbers import dollars, number, percent
from prouter_jax.report.types import ROUTER, PairedDifference, Report, Spread


def headline(report: Report) -> list[str]:
    """What was found, in plain sentences; the first one is the result."""
    router, single = report.policies.get(ROUTER), report.policies.get("best_single")
    if router is None:
        return ["This report holds no result of the personal router, only of other policies."]
    first = f"Personal routing reaches a {report.reward_name} of {number(router.reward.mean)}"
    if single is not None:
        first += f"; always using the best single LLM reaches {number(single.reward.mean)}"
    lines = [first + "."]
    if math.isfinite(router.gap_closed.mean):
        gap = percent(abs(router.gap_closed.mean))
        closes = f"It closes {gap} of" if router.gap_closed.mean >= 0 else f"It widens by {gap}"
        lines.append(f"{closes} the gap between the best single LLM and perfect choices.")
    for against, words in (("best_per_user", "each user's own best LLM"), ("user_blind", "its user-blind self")):
        found = cautious(report, against)
        if found is not None:
            lines.append(f"Against {words}: {difference(found)}, {verdict(found)}.")
    return lines


def cautious(report: Report, against: str) -> PairedDifference | None:
    """The router's difference to a policy; of several, the one with the widest interval, not to claim too much."""
    found = [row for row in report.paired if (row.policy, row.against) == (ROUTER, against)]
    return max(found, key=lambda row: row.high - row.low if math.isfinite(row.high - row.low) else -1.0, default=None)


def difference(row: PairedDifference) -> str:
    """`+0.012 (95 % interval +0.004 to +0.020 over 3 seeds)`."""
    return f"{number(row.mean, sign=True)} ({interval(row)})"


def interval(row: PairedDifference) -> str:
    """The interval in words."""
    if not math.isfinite(row.high - row.low):
        return f"no interval, {count(row)}"
    return f"95 % interval {number(row.low, sign=True)} to {number(row.high, sign=True)} over {count(row)}"


def count(row: PairedDifference) -> str:
    """`3 seeds`, `1 seed`, `1200 test queries`."""
    one = {"seeds": "seed", "test queries": "test query"}.get(row.over, row.over)
    return f"{row.n} {one if row.n == 1 else row.over}"


def verdict(row: PairedDifference) -> str:
    """Whether the interval leaves out zero."""
    if not math.isfinite(row.high - row.low):
        return "too few to tell chance from gain"
    if row.low > 0:
        return "a gain beyond chance"
    return "a loss beyond chance" if row.high < 0 else "not distinguishable from chance"


PAIRED_COLUMNS = ["policy", "against", "difference", "95 % interval, low", "high", "over"]


def paired_rows(report: Report) -> list[list[str]]:
    """The cells of the table of paired differences."""
    return [
        [row.policy, row.against, *(number(v, sign=True) for v in (row.mean, row.low, row.high)), count(row)]
        for row in report.paired
    ]


def by_reward(report: Report) -> list[str]:
    """Policy names, best reward first, unknown last; equal ones by name."""
    mean = {name: result.reward.mean for name, result in report.policies.items()}
    return sorted(mean, key=lambda name: (-mean[name] if math.isfinite(mean[name]) else math.inf, name))


def policy_columns(report: Report) -> list[str]:
    """The header of the table of policies."""
    return ["policy", report.reward_name, "gap closed", "accuracy", "effect", "USD per 1000 queries"]


def policy_rows(report: Report) -> list[list[str]]:
    """The cells of the table of policies, best reward first."""
    rows = []
    for name in by_reward(report):
        result = report.policies[name]
        gap = spread(result.gap_closed, percent)
        rest = [spread(result.accuracy, percent), spread(result.effect), spread(result.cost, dollars)]
        rows.append([name, spread(result.reward), gap, *rest])
    return rows


def spread(value: Spread, form=None) -> str:
    """`mean ± standard deviation` over seeds; the mean alone for one seed."""
    form = form or number
    several = len(value.values) > 1 and math.isfinite(value.mean) and math.isfinite(value.spread)
    if not several:
        return form(value.mean)
    return f"{form(value.mean).removesuffix(' %')} ± {form(value.spread)}"
