"""The report on a log in sentences, table cells and Markdown. What it cannot tell is in `LogComparison.limits`."""

import math

from prouter_jax.io.display import escape_markdown, markdown_table, number
from prouter_jax.report.names import named, relation, sample_text, title_of
from prouter_jax.report.types import ROUTER, LogComparison, PairedDifference, Report

LOG_COLUMNS = ["policy", "estimated reward", "95 % interval", "router minus this", "its 95 % interval", "the router is"]
TRUST_COLUMNS = ["policy", "effective sample size", "mean weight"]
LOG_MEANS = (
    "A reward is 1 for a thumb up and 0 for a thumb down; ratings lie between. Rewards of LLMs that were not asked are "
    "estimated, doubly robust."
)


def log_headline(log: LogComparison) -> list[str]:
    """The main results on a log in sentences."""
    value = next((value for value in log.values if value.policy == ROUTER), None)
    if value is None:
        return [log.limits[0]]
    gains = {other.policy: other.gain for other in log.values if other.gain is not None}
    first = f"On this log the router's picks would earn an estimated reward of {_short(value.value)}"
    compared = [name for name in ("gateway", "best_single") if name in gains]
    words = [
        f"{relation(gains[name])} {named(name)}{_difference(gains[name], name == compared[0])}" for name in compared
    ]
    if not words:
        return [first + "."]
    return [f"{first}: {words[0]}.", *(f"They are {text}." for text in words[1:])]


def log_rows(log: LogComparison) -> list[tuple[str, list[str]]]:
    """The name of each policy on a log with the cells of `LOG_COLUMNS`."""
    return [
        (value.policy, [title_of(value.policy), _short(value.value), _range(value.low, value.high), *_gain(value.gain)])
        for value in log.values
    ]


def trust_rows(log: LogComparison) -> list[tuple[str, list[str]]]:
    """The name of each policy with the cells of `TRUST_COLUMNS`: how much of the log tells something of it."""
    return [
        (value.policy, [title_of(value.policy), f"{value.effective:,.0f}", _short(value.mean_weight)])
        for value in log.values
    ]


def log_markdown(report: Report, log: LogComparison, sentences: list[str]) -> str:
    """report.md of a log."""
    rows = [cells for _, cells in log_rows(log)]
    parts = [
        f"# {escape_markdown(report.title)}",
        "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences),
        "## Policies, compared off-policy",
        markdown_table(LOG_COLUMNS, rows) if rows else "None could be compared.",
        *([markdown_table(TRUST_COLUMNS, [cells for _, cells in trust_rows(log)])] if rows else []),
        "## What this log cannot tell",
        "\n".join(f"- {escape_markdown(sentence)}" for sentence in log.limits),
        "## Facts",
        markdown_table(["fact", "value"], report.facts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _gain(gain: PairedDifference | None) -> list[str]:
    """Cells of the router's difference to a policy; the router's own are empty."""
    if gain is None:
        return ["", "", ""]
    word = {"level with": "level", "better than": "better", "worse than": "worse"}.get(relation(gain), "the same")
    return [_short(gain.mean, sign=True), _range(gain.low, gain.high, sign=True), word]


def _difference(row: PairedDifference, with_sample: bool) -> str:
    over = f" over {sample_text(row)}" if with_sample else ""
    if row.low == row.high == 0:
        return over
    return f" ({_short(row.mean, sign=True)}, 95 % interval {_range(row.low, row.high, sign=True)}{over})"


def _range(low: float, high: float, sign: bool = False) -> str:
    return f"{_short(low, sign)} to {_short(high, sign)}" if math.isfinite(high - low) else _short(math.nan)


def _short(value: float, sign: bool = False) -> str:
    return number(value, sign, decimals=3)
