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
from prouter_jax.report import log_text, text
from prouter_jax.report.names import title_of
from prouter_jax.report.plots import Plot
from prouter_jax.report.plots_policies import plot_effect_cost, plot_log, plot_paired, plot_reward
from prouter_jax.report.plots_users import plot_gain_by_user, plot_shares, plot_user_map
from prouter_jax.report.text import by_reward, policy_columns, policy_rows, value_text
from prouter_jax.report.types import POLICY_DESCRIPTIONS, ROUTER, LogComparison, Report, UserRow
from prouter_jax.serving.explain import Explanation

_PLOTS = (plot_reward, plot_paired, plot_effect_cost, plot_gain_by_user, plot_shares, plot_user_map)
_HOW_TO_READ_EXPLANATIONS = (
    "One test query for each of a few users. A past decision adds the difference that it makes to the probability of "
    "the pick, measured by leaving it out. A property of the answers adds the difference between the user's weight on "
    "it and that of a user without history, in log-odds against the runner-up: +0.7 doubles the odds, -0.7 halves them."
)
_PROPERTIES = {
    "population mean utility": "what most users like",
    "latent factors": "what similar users like",
    "effect": "quality",
}
_HOW_TO_READ_TRUST = (
    "The effective sample size is the number of decisions that tell something of a policy. A mean weight well below 1 "
    "means that the log rarely has its picks."
)
Rows = Iterable[Iterable[str]]
_LONGEST_QUERY, _LONGEST_PAST_QUERY = 240, 120  # characters in an explanation


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
        headline=text.verdicts(report),
        notes=text.notes(report),
        key_figures=_key_figures(report),
        plots=draw_plots(report),
        how_to_read_explanations=_HOW_TO_READ_EXPLANATIONS,
        explanations=_explanations(report),
        how_to_read_policies=_how_to_read_policies(report),
        policy_columns=policy_columns(report),
        policy_rows=[cells for _, cells in policy_rows(report)],
        descriptions={title_of(name): words for name, words in POLICY_DESCRIPTIONS.items()},
        router=title_of(ROUTER),
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
    plots = [drawn for drawn in (plot_log(log), plot_user_map(report)) if drawn is not None]
    return render(
        "log.html.j2",
        title=report.title,
        headline=log_text.log_headline(log),
        notes=[log_text.LOG_MEANS] if log.values else [],
        limits=log.limits[0 if log.values else 1 :],  # the first is the headline where nothing could be compared
        columns=log_text.LOG_COLUMNS,
        rows=[cells for _, cells in log_text.log_rows(log)],
        trust_columns=log_text.TRUST_COLUMNS,
        trust_rows=[cells for _, cells in log_text.trust_rows(log)],
        how_to_read_trust=_HOW_TO_READ_TRUST,
        router=title_of(ROUTER),
        how_to_read_explanations=_HOW_TO_READ_EXPLANATIONS,
        explanations=_explanations(report),
        plots=plots,
        facts=report.facts.items(),
    )


def _key_figures(report: Report) -> Iterator[tuple[str, str]]:
    """Pairs of a value and the words under it; none of the headline's numbers."""
    router, single = report.policies.get(ROUTER), report.policies.get("best_single")
    if router is None:
        return
    if single is not None:
        yield value_text(report, single.reward.mean), f"{report.reward_name} of the best single LLM"
    if math.isfinite(router.gap_closed.mean):
        yield percent(router.gap_closed.mean), "of the way from the best single LLM to perfect choices"
    if math.isfinite(router.cost.mean):
        strongest = report.policies.get("strongest")
        compared = f"; {title_of('strongest')}: ${dollars(strongest.cost.mean)}" if strongest else ""
        yield f"${dollars(router.cost.mean)}", f"cost of the router's picks per 1000 queries{compared}"


def _explanations(report: Report) -> list[dict]:
    """The cells of every explanation, with the user's planted preference where it is known."""
    preference = {user.user_id: user.preference for user in report.users}
    return [_explanation(one, preference.get(one.user_id, math.nan)) for one in report.explanations or ()]


def _explanation(explanation: Explanation, preference: float) -> dict:
    known = "" if math.isnan(preference) else f" (preference {preference:.2f})"
    return {
        "user": explanation.user_id + known,
        "query": truncate(explanation.query, _LONGEST_QUERY),
        "summary": f"{explanation.summary()} {explanation.coverage()}",
        "decisions": [
            [_points(row.probability), f"{row.feedback}: {truncate(row.query, _LONGEST_PAST_QUERY)}"]
            for row in explanation.decisions
        ],
        "properties": [
            [number(row.log_odds, sign=True, decimals=3), _PROPERTIES.get(row.name, row.name)]
            for row in explanation.properties
        ],
    }


def _points(share: float) -> str:
    return f"{number(100 * share, sign=True, decimals=1)} points"


def _how_to_read_policies(report: Report) -> str:
    words = (
        "Gap closed: 0 % is the best single LLM, 100 % perfect choices. Quality: effect of the answers, from 0 to 1. "
        "Where the 95 % interval of a difference holds 0, the two are level."
    )
    several = any(len(result.reward.values) > 1 for result in report.policies.values())
    return words + (" ± is the standard deviation over seeds." if several else "")


def _tables(report: Report) -> Iterator[tuple[str, Iterable[str], Rows]]:
    """Heading, columns and rows of each further table that has rows."""
    names = by_reward(report)
    tasks = list(dict.fromkeys(task for name in names for task in report.policies[name].per_task))
    if tasks:
        rows = [
            [task, *(value_text(report, report.policies[name].per_task.get(task, math.nan)) for name in names)]
            for task in tasks
        ]
        yield f"{report.reward_name.capitalize()} by task", ["task", *map(title_of, names)], rows
    if report.users:
        known = any(math.isfinite(user.preference) for user in report.users)
        columns = ["user", *(["preference"] if known else []), "router", "best single LLM", "gain", "favourite LLM"]
        yield "All users", columns, [_user_row(report, user, known) for user in report.users]


def _user_row(report: Report, user: UserRow, known: bool) -> list[str]:
    preference = [f"{user.preference:.2f}" if math.isfinite(user.preference) else DASH] if known else []
    values = [value_text(report, user.reward), value_text(report, user.best_single)]
    gain = value_text(report, user.reward - user.best_single, sign=True)
    return [user.user_id, *preference, *values, gain, user.favourite_llm or DASH]
