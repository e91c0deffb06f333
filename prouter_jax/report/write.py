"""Writes a report as report.json (every number), report.md (for a terminal or a pull request) and report.html.

The page has the main results in sentences, key figures, plots and all tables, and needs no other file.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from prouter_jax.io import files
from prouter_jax.io.display import DASH, dollars, number, percent, truncate
from prouter_jax.io.paths import make_path
from prouter_jax.report import text
from prouter_jax.report.plots import Plot
from prouter_jax.report.plots_policies import plot_effect_cost, plot_paired, plot_reward
from prouter_jax.report.plots_users import plot_gain_by_user, plot_shares, plot_user_map
from prouter_jax.report.text import (
    PAIRED_COLUMNS,
    by_reward,
    headline,
    interval_text,
    main_differences,
    paired_rows,
    policy_columns,
    policy_rows,
    verdict,
)
from prouter_jax.report.types import POLICY_DESCRIPTIONS, ROUTER, LogComparison, Report
from prouter_jax.serving.explain import OPPOSITE_SIGNS, Explanation

_PLOTS = (plot_reward, plot_effect_cost, plot_gain_by_user, plot_shares, plot_user_map, plot_paired)
_HOW_TO_READ_EXPLANATIONS = (
    "One test query for each of a few users. A past decision adds the difference that it makes: the choice with all "
    "decisions minus the choice without this one. A property of the answers adds the difference between the user's "
    "weight on it and the weight of a user without history. Log-odds compare the chosen LLM with the runner-up: +0.7 "
    f"doubles the odds, -0.7 halves them. {OPPOSITE_SIGNS}"
)
Rows = Iterable[Iterable[str]]
_LONGEST_TEXT = 240  # characters of a query in an explanation


def write_report(report: Report, folder: str | Path) -> None:
    """Writes report.json, report.md and report.html into `folder`; each file is replaced atomically."""
    # All three are built before the first is written: a failure leaves the old report as it was.
    contents = {
        "report.json": to_json(report),
        "report.md": text.to_markdown(report),
        "report.html": to_html(report),
    }
    encoded = {name: content.encode() for name, content in contents.items()}
    folder = make_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in encoded.items():
        files.write_whole(folder / name, data)


def to_json(report: Report) -> str:
    """Strict JSON: exact values, null for NaN and infinity, without the optional parts that are None."""
    tree = {name: part for name, part in dataclasses.asdict(report).items() if part is not None}
    tree["facts"] = {"reward name": report.reward_name} | tree["facts"]
    del tree["reward_name"]
    return json.dumps(files.jsonable(tree), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def to_html(report: Report) -> str:
    """The whole page."""
    if report.log is not None:
        return _log_html(report, report.log)
    return render(
        "report.html.j2",
        title=report.title,
        headline=headline(report),
        key_figures=_key_figures(report),
        plots=draw_plots(report),
        how_to_read_explanations=_HOW_TO_READ_EXPLANATIONS,
        explanations=_explanations(report),
        how_to_read_policies=_how_to_read_policies(report),
        policy_columns=policy_columns(report),
        policy_rows=policy_rows(report),
        descriptions=POLICY_DESCRIPTIONS,
        tables=_tables(report),
        facts=report.facts.items(),
    )


def render(template: str, **values) -> str:
    """Fills a template of prouter_jax/report/templates; all values are escaped."""
    return _environment().get_template(template).render(values)


def draw_plots(report: Report) -> list[Plot]:
    """All plots that the report has numbers for, in the order of the page."""
    return [drawn for plot in _PLOTS if (drawn := plot(report)) is not None]


@functools.cache
def _environment():
    import jinja2

    loader = jinja2.PackageLoader("prouter_jax.report")
    options = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Environment(loader=loader, autoescape=True, **options)


def _log_html(report: Report, log: LogComparison) -> str:
    """The page of a log: nothing on it counts picks among the candidates whose reward is known, as it is one each."""
    return render(
        "log.html.j2",
        title=report.title,
        headline=text.log_headline(log),
        limits=log.limits,
        columns=text.LOG_COLUMNS,
        rows=text.log_rows(log),
        router=ROUTER,
        how_to_read_explanations=_HOW_TO_READ_EXPLANATIONS,
        explanations=_explanations(report),
        plots=[drawn] if (drawn := plot_user_map(report)) else [],
        facts=report.facts.items(),
    )


def _key_figures(report: Report) -> list[tuple[str, str]]:
    """Pairs of a value and the words under it."""
    router = report.policies.get(ROUTER)
    if router is None:
        return []
    single = report.policies.get("best_single")
    compared = f"; best single LLM: {number(single.reward.mean)}" if single else ""
    figures = [
        (number(router.reward.mean), f"{report.reward_name} of the router{compared}"),
        (percent(router.gap_closed.mean), "gap closed; 0 % is the best single LLM, 100 % the oracle"),
    ]
    for name, row in main_differences(report):
        figures.append((number(row.mean, sign=True), f"against {name}; {interval_text(row)}; {verdict(row)}"))
    return [*figures, *_cost_and_users(report)]


def _cost_and_users(report: Report) -> Iterator[tuple[str, str]]:
    cost = report.policies[ROUTER].cost.mean
    if math.isfinite(cost):
        strongest = report.policies.get("strongest")
        compared = f"; strongest LLM: ${dollars(strongest.cost.mean)}" if strongest else ""
        yield f"${dollars(cost)}", f"cost per 1000 queries{compared}"
    gains = [user.reward - user.best_single for user in report.users if math.isfinite(user.reward - user.best_single)]
    if gains:
        better = sum(gain > 0 for gain in gains) / len(gains)
        yield percent(better), f"of {len(gains)} users do better than with the best single LLM"


def _explanations(report: Report) -> list[dict]:
    """The cells of every explanation, with the user's planted preference where it is known."""
    preference = {user.user_id: user.preference for user in report.users}
    return [_explanation(one, preference.get(one.user_id, math.nan)) for one in report.explanations or ()]


def _explanation(explanation: Explanation, preference: float) -> dict:
    known = "" if math.isnan(preference) else f" (preference {preference:.2f})"
    return {
        "user": explanation.user_id + known,
        "query": truncate(explanation.query, _LONGEST_TEXT),
        "summary": f"{explanation.summary()} {explanation.coverage()}",
        "decisions": [
            [
                number(row.probability, sign=True),
                number(row.log_odds, sign=True),
                f"{row.feedback}: {truncate(row.query, _LONGEST_TEXT)}",
            ]
            for row in explanation.decisions
        ],
        "properties": [[number(row.log_odds, sign=True), row.label()] for row in explanation.properties],
    }


def _how_to_read_policies(report: Report) -> str:
    text = (
        "Gap closed: 0 % is the best single LLM, 100 % the oracle. "
        "Accuracy: how often the policy picks an LLM that is best for this user and query. "
        "Effect: quality of the answers, from 0 to 1."
    )
    several = any(len(result.reward.values) > 1 for result in report.policies.values())
    return text + (" ± is the standard deviation over seeds." if several else "")


def _tables(report: Report) -> Iterator[tuple[str, Iterable[str], Rows]]:
    """Heading, columns and rows of each further table that has rows."""
    if report.paired:
        yield "Differences on the same test decisions", PAIRED_COLUMNS, paired_rows(report)
    names = by_reward(report)
    tasks = list(dict.fromkeys(task for name in names for task in report.policies[name].per_task))
    if tasks:
        rows = [[t, *(number(report.policies[name].per_task.get(t, math.nan)) for name in names)] for t in tasks]
        yield f"{report.reward_name.capitalize()} by task", ["task", *names], rows
    if report.users:
        columns = ["user", "preference", "router", "best single LLM", "gain", "favourite LLM"]
        yield "All users", columns, map(_user_row, report.users)
    shares = report.shares
    if len(shares.users) and len(shares.llms):
        # LLMs are the rows: there may be many, and their names are long.
        rows = [[llm, *(percent(row[i]) for row in shares.shares)] for i, llm in enumerate(shares.llms)]
        yield "Share of the router's choices", ["LLM", *shares.users], rows


def _user_row(user) -> list[str]:
    rewards = [number(user.preference), number(user.reward), number(user.best_single)]
    gain = number(user.reward - user.best_single, sign=True)
    return [user.user_id, *rewards, gain, user.favourite_llm or DASH]
