"""The part of the page that says why a few users get what they get."""

import math
from collections.abc import Iterable

from prouter_jax.io.numbers import number
from prouter_jax.report import elements
from prouter_jax.report.types import Report
from prouter_jax.serving.explain import Explanation

_HOW_TO_READ = (
    "One test query of each. A past decision adds what the choice would lose without it; a property of answers adds "
    "what the choice would lose if the user weighed it as a stranger does. Log-odds are those of the pick against the "
    "runner-up: +0.7 doubles them, -0.7 halves them. Where the crowd's liking is a property, other weights are told "
    "beside it: 0 is to weigh as the crowd does."
)


def explanation_parts(report: Report) -> Iterable[str]:
    """A heading, how to read what follows, and every explanation; nothing where there is none."""
    if not report.explanations:
        return
    yield "<h2>Why this LLM: a few users</h2>"
    yield f'<p class="faint">{_HOW_TO_READ}</p>'
    preference = {user.user_id: user.preference for user in report.users}
    for told in report.explanations:
        planted = preference.get(told.user_id, math.nan)
        who = told.user_id if math.isnan(planted) else f"{told.user_id} (preference {planted:.2f})"
        yield f"<h3>{elements.text(who)}</h3>"
        yield from _explanation(told)


def _explanation(told: Explanation) -> Iterable[str]:
    yield f"<p>Asked: <q>{elements.text(_cut(told.query))}</q></p>"
    yield f"<p>{elements.text(told.summary())} {elements.text(told.basis())}</p>"
    if told.decisions:
        rows = [
            [number(row.probability, sign=True), number(row.log_odds, sign=True), f"{row.said}: {_cut(row.query)}"]
            for row in told.decisions
        ]
        yield elements.table(["adds to probability", "to log-odds", "past decision"], rows, words=True)
    if told.properties:
        rows = [[number(row.log_odds, sign=True), row.words()] for row in told.properties]
        yield elements.table(["adds to log-odds", "property of answers"], rows, words=True)


def _cut(text: str, most: int = 240) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
