"""`Report`: what an evaluation found, and its three forms: report.json, report.md and report.html.

The JSON holds every number for programs, the Markdown fits a terminal or a pull request, and the
page (`report_page`, `report_plots`) is for anyone with a browser. Unknown numbers are NaN here,
null in the JSON and a dash in the pages.
"""

import dataclasses
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from prouter_jax import files

ROUTER = "router"
EXPLANATIONS = {
    ROUTER: "the personal router: picks an LLM for this user and this query",
    "user_blind": "the router's twin, trained in the same way but without knowing who asks",
    "best_single": "always the one LLM that did best in the training data",
    "best_per_user": "always the LLM that did best for this user in the training data",
    "best_per_user_task": "the LLM that did best for this user on this kind of query in the training data",
    "ridge_true_preference": "a linear forecast of quality and cost, told the user's true preference (others are not)",
    "random": "any LLM on offer, by chance",
    "cheapest": "always the LLM with the lowest average cost",
    "strongest": "always the LLM with the highest average quality, whatever it costs",
    "oracle": "the best LLM of each single decision, known only afterwards: nobody can do better",
}
DASH = "–"  # noqa: RUF001 (an en dash is what an empty cell shows)


@dataclasses.dataclass(frozen=True)
class Spread:
    """A number over seeds: mean, standard deviation (0.0 for one seed) and the value of each seed."""

    mean: float
    spread: float
    values: list[float]


@dataclasses.dataclass(frozen=True)
class PolicyResult:
    """How one policy did on the test decisions; cost in USD per query, `per_task` and `per_user` rewards."""

    reward: Spread
    gap_closed: Spread
    accuracy: Spread
    effect: Spread
    cost: Spread
    per_task: Mapping[str, float]
    per_user: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """Reward of `policy` minus that of `against` with a 95 % interval over `n` 'seeds' or 'test queries'."""

    policy: str
    against: str
    mean: float
    low: float
    high: float
    over: str
    n: int


@dataclasses.dataclass(frozen=True)
class UserRow:
    """One user: planted preference (or NaN), the rewards of the router and of best_single, the favourite LLM."""

    user_id: str
    preference: float
    reward: float
    best_single: float
    favourite_llm: str


@dataclasses.dataclass(frozen=True)
class ShareTable:
    """The router's choices: `shares` [users, llms], each row a user (or a group) and summing to 1."""

    users: Sequence[str]
    llms: Sequence[str]
    shares: np.ndarray | Sequence[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class FrontierPoint:
    """Effect and cost (USD per query) of the router at one preference."""

    preference: str
    effect: float
    cost: float


@dataclasses.dataclass(frozen=True)
class Report:
    """All that an evaluation found; `reward_name` is "reward" or "share of choices matched"."""

    title: str
    facts: Mapping[str, str]
    reward_name: str
    policies: Mapping[str, PolicyResult]
    paired: Sequence[PairedDifference]
    users: Sequence[UserRow]
    shares: ShareTable
    frontier: Sequence[FrontierPoint]


def write_report(report: Report, folder: str | Path) -> None:
    """Writes report.json, report.md and report.html into `folder`, each whole."""
    from prouter_jax import report_page  # Late: the page is built from the types above.

    # All three are built before the first is written: a failure leaves the old report as it was.
    pages = {
        "report.json": to_json(report),
        "report.md": to_markdown(report),
        "report.html": report_page.to_html(report),
    }
    encoded = {name: text.encode() for name, text in pages.items()}
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, data in encoded.items():
        files.write_whole(Path(folder) / name, data)


def to_json(report: Report) -> str:
    """Strict JSON: every value exact, NaN and infinity as null."""
    tree = dataclasses.asdict(report)
    tree["facts"] = {"reward name": report.reward_name} | tree["facts"]
    del tree["reward_name"]
    return json.dumps(_plain(tree), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def to_markdown(report: Report) -> str:
    """The report as a short page: headline, policies by reward, paired differences, facts."""
    name = report.reward_name
    policies = [[policy, *cells, EXPLANATIONS.get(policy, "")] for policy, *cells in policy_rows(report)]
    parts = [
        f"# {_cell(report.title)}",
        "\n".join(f"- {_cell(line)}" for line in headline(report)),
        "## Policies",
        _table([*policy_columns(report), "what it does"], policies),
        f"## Differences in {name}, on the same test decisions",
        _table(PAIRED_COLUMNS, paired_rows(report)) if report.paired else "None measured.",
        "## Facts",
        _table(["fact", "value"], report.facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


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
    for against, words in (("best_per_user", "each user's own best LLM"), ("user_blind", "its user-blind twin")):
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


def number(value: float, sign: bool = False) -> str:
    """Four decimals, or a dash."""
    return f"{value:{'+' if sign else ''}.4f}" if math.isfinite(value) else DASH


def percent(value: float) -> str:
    """A share as a percentage, or a dash."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else DASH


def dollars(value: float) -> str:
    """USD per query as USD per 1000 queries (costs per query are too small to read), or a dash."""
    if not math.isfinite(value):
        return DASH
    thousand = 1000 * value
    if thousand == 0:
        return "0"
    return f"{thousand:,.{max(0, 2 - math.floor(math.log10(abs(thousand))))}f}"


def _plain(value):
    """Python's own types in place of numpy's, None in place of NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(columns)
    lines = [[_cell(str(cell)) for cell in line] for line in (columns, *rows)]
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that neither ends a table cell nor becomes markup."""
    return re.sub(r"([\\`*|\[\]])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
