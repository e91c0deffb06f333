"""report.html: the result in words, key figures, plots and all tables on one page."""

import math
from collections.abc import Iterable

from prouter_jax.io.numbers import DASH, dollars, number, percent
from prouter_jax.report import elements, plots
from prouter_jax.report.types import EXPLANATIONS, ROUTER, Report
from prouter_jax.report.why import explanation_parts
from prouter_jax.report.words import (
    PAIRED_COLUMNS,
    by_reward,
    cautious,
    headline,
    interval,
    paired_rows,
    policy_columns,
    policy_rows,
    verdict,
)


def to_html(report: Report) -> str:
    """The whole page, with its style and plots inside."""
    first, *rest = headline(report)
    parts = [
        f"<h1>{elements.text(report.title)}</h1>",
        f'<p class="lead"><strong>{elements.text(first)}</strong></p>',
        *(f'<p class="lead">{elements.text(line)}</p>' for line in rest),
        elements.tiles(_figures(report)),
        *(elements.figure(plot) for plot in plots.draw_plots(report)),
        *explanation_parts(report),
        *_tables(report),
    ]
    return elements.document(report.title, parts)


def _figures(report: Report) -> list[tuple[str, str]]:
    """The key figures: a value and the words under it."""
    router = report.policies.get(ROUTER)
    if router is None:
        return []
    single = report.policies.get("best_single")
    than = f"best single LLM: {number(single.reward.mean)}" if single else "no best single LLM to compare with"
    tiles = [
        (number(router.reward.mean), f"{report.reward_name} of the router; {than}"),
        (percent(router.gap_closed.mean), "gap closed: 0 % is the best single LLM, 100 % perfect choices"),
    ]
    for against, words in (("best_per_user", "each user's own best LLM"), ("user_blind", "the user-blind router")):
        row = cautious(report, against)
        if row is not None:
            tiles.append((number(row.mean, sign=True), f"against {words}; {interval(row)}: {verdict(row)}"))
    return [*tiles, *_cost_and_users(report)]


def _cost_and_users(report: Report) -> list[tuple[str, str]]:
    tiles = []
    cost = report.policies[ROUTER].cost.mean
    if math.isfinite(cost):
        strongest = report.policies.get("strongest")
        than = f"; strongest LLM: {dollars(strongest.cost.mean)}" if strongest else ""
        tiles.append((f"${dollars(cost)}", f"per 1000 queries{than}"))
    gains = [user.reward - user.best_single for user in report.users if math.isfinite(user.reward - user.best_single)]
    if gains:
        better = sum(gain > 0 for gain in gains) / len(gains)
        tiles.append((percent(better), f"of {len(gains)} users do better than with the best single LLM"))
    return tiles


def _tables(report: Report) -> Iterable[str]:
    yield "<h2>All policies</h2>"
    notes = [
        "Gap closed: 0 % is the best single LLM, 100 % the oracle.",
        "Accuracy: how often the policy picks an LLM that is best for this user and query.",
        "Effect: quality of the answers, from 0 to 1.",
    ]
    if any(len(result.reward.values) > 1 for result in report.policies.values()):
        notes.append("± is the standard deviation over seeds.")
    yield f'<p class="faint">{" ".join(notes)}</p>'
    yield elements.table(policy_columns(report), policy_rows(report), EXPLANATIONS, marked=ROUTER)
    if report.paired:
        yield "<h2>Differences on the same test decisions</h2>"
        yield elements.table(PAIRED_COLUMNS, paired_rows(report))
    yield from _task_table(report)
    yield from _user_table(report)
    yield from _share_table(report)
    yield "<h2>Facts</h2>"
    yield elements.table(["fact", "value"], report.facts.items(), words=True)


def _task_table(report: Report) -> Iterable[str]:
    names = by_reward(report)
    tasks = list(dict.fromkeys(task for name in names for task in report.policies[name].per_task))
    if tasks:
        rows = [[t, *(number(report.policies[name].per_task.get(t, math.nan)) for name in names)] for t in tasks]
        yield f"<h2>{elements.text(report.reward_name.capitalize())} by task</h2>"
        yield elements.table(["task", *names], rows)


def _user_table(report: Report) -> Iterable[str]:
    if report.users:
        rows = [
            [u.user_id, number(u.preference), number(u.reward), number(u.best_single),
             number(u.reward - u.best_single, sign=True), u.favourite_llm or DASH]
            for u in report.users
        ]  # fmt: skip
        yield "<h2>All users</h2>"
        yield elements.table(["user", "preference", "router", "best single LLM", "gain", "favourite LLM"], rows)


def _share_table(report: Report) -> Iterable[str]:
    table = report.shares
    if len(table.users) and len(table.llms):
        # LLMs stand in rows: there may be many, and their names are long.
        rows = [[llm, *(percent(row[i]) for row in table.shares)] for i, llm in enumerate(table.llms)]
        yield "<h2>Share of the router's choices</h2>"
        yield elements.table(["LLM", *table.users], rows)
