"""The drift report of an update: its measurements, the limits they exceed, and the advice whether to retrain."""

import dataclasses
import json
import math

from prouter_jax.io import files
from prouter_jax.io.display import DASH, escape_markdown, markdown_table, number, percent
from prouter_jax.metrics import Fit
from prouter_jax.serving.drift import CalibrationDrift, ChoiceDrift, ChoiceShift, QueryDrift, UserDrift


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits above which a measurement raises an alarm; see `find_alarms`.

    Attributes:
      new_users: share of the decisions that are made by new users.
      far_queries: share of the queries that are far from all training queries.
      moved_choices: total variation distance between the shares of choices by LLM that were expected and found.
      new_llms: share of the choices that are new LLMs.
      worse_log_loss: increase of the log loss, relative to validation.
      p_value: largest p-value at which far queries and moved choices raise an alarm.
      fewest_decisions: number of decisions below which nothing is judged.
    """

    new_users: float = 0.25
    far_queries: float = 0.15
    moved_choices: float = 0.05
    new_llms: float = 0.25
    worse_log_loss: float = 0.10
    p_value: float = 0.01
    fewest_decisions: int = 30


LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class Drift:
    """One file of feedback, compared with the training data.

    Attributes:
      decisions: number of decisions in the file.
      repeated: number of them on a query that the same user decided on before.
      users, queries, choices: the drift of each.
      calibration: fit of the predictions made before the router received the file.
      validation: fit of the predictions for validation decisions; None if the run did not record it.
    """

    decisions: int
    repeated: int
    users: UserDrift
    queries: QueryDrift
    choices: ChoiceDrift
    calibration: CalibrationDrift
    validation: Fit | None


def find_alarms(drift: Drift) -> list[str]:
    """One clause for each measurement above its limit; none if the file has too few decisions."""
    users, queries, choices = drift.users, drift.queries, drift.choices
    if drift.decisions < LIMITS.fewest_decisions:
        return []
    significant_far, significant_move = (part.p_value < LIMITS.p_value for part in (queries, choices))
    found = {
        f"{percent(users.new_share)} of the decisions are of users that have no training decisions (limit "
        f"{percent(LIMITS.new_users)})": users.new_share > LIMITS.new_users,
        f"{percent(queries.far_share)} of the queries are far from all training queries (limit "
        f"{percent(LIMITS.far_queries)})": queries.far_share > LIMITS.far_queries and significant_far,
        f"{percent(choices.moved)} of the choices moved to other LLMs (limit {percent(LIMITS.moved_choices)})": (
            choices.moved > LIMITS.moved_choices and significant_move
        ),
        f"{percent(choices.new_llm_share)} of the choices are LLMs that are not in the training data (limit "
        f"{percent(LIMITS.new_llms)})": choices.new_llm_share > LIMITS.new_llms,
        **_fit_alarms(drift.calibration, drift.validation),
    }
    return [clause for clause, alarm in found.items() if alarm]


def advise(drift: Drift) -> str:
    """One sentence: whether to train again, and why."""
    if drift.decisions < LIMITS.fewest_decisions:
        return f"Too few decisions ({drift.decisions}, of at least {LIMITS.fewest_decisions}): no advice."
    alarms = find_alarms(drift)
    if alarms:
        return f"Train again with this feedback in the data: {'; '.join(alarms)}."
    return "No need to train again: everything is within its limits."


def to_text(drift: Drift) -> list[str]:
    """Two lines for a terminal: what is new, and the advice."""
    users, queries = drift.users, drift.queries
    new = f"{drift.decisions:,} decisions of {users.users:,} users ({users.new:,} new) on {queries.queries:,} queries"
    return [f"{new} ({queries.new:,} not in the training data)", advise(drift)]


def to_json(drift: Drift) -> str:
    """All measurements with limits, alarms and advice as JSON; NaN and infinity become null."""
    values = dataclasses.asdict(drift) | {
        "limits": dataclasses.asdict(LIMITS),
        "alarms": find_alarms(drift),
        "advice": advise(drift),
    }
    return json.dumps(files.jsonable(values), indent=2) + "\n"


def to_markdown(drift: Drift, title: str) -> str:
    """The report as a Markdown page under the heading `title`."""
    shifts = [
        [row.llm, percent(row.expected), percent(row.found), _points(row.found - row.expected), _interval(row)]
        for row in drift.choices.shifts
    ]
    columns = ["LLM", "expected share", "found", "difference", "95 % interval"]
    parts = [
        f"# {escape_markdown(title)}",
        escape_markdown(advise(drift)),
        "## What is new",
        markdown_table(["measured", "found", "limit"], _rows(drift)),
        "## Choices",
        "The expected shares are those of the training choices, corrected for the candidates on offer. p-value of the "
        f"largest difference: {number(drift.choices.p_value)}.",
        markdown_table(columns, shifts) if shifts else "No choices between LLMs of the training data.",
        "## Predictions without this feedback",
        markdown_table(["measured", "here", "validation"], _fit_rows(drift)),
    ]
    return "\n\n".join(parts) + "\n"


def _fit_alarms(calibration: CalibrationDrift, validation: Fit | None) -> dict[str, bool]:
    """Clauses on the predictions, and whether each is an alarm."""
    fit = calibration.fit
    if validation is None or not fit.decisions:
        return {}
    increase = fit.log_loss - validation.log_loss
    margin = math.hypot(*(0 if math.isnan(x) else x for x in (fit.log_loss_margin, validation.log_loss_margin)))
    allowed = validation.calibration_error + calibration.calibration_error_limit
    return {
        f"log loss is {number(fit.log_loss)}, on validation it was {number(validation.log_loss)} (limit "
        f"{percent(LIMITS.worse_log_loss)} more, and outside the 95 % interval)": increase
        > max(LIMITS.worse_log_loss * validation.log_loss, margin),
        f"calibration error is {number(fit.calibration_error)} (limit {number(allowed)}: validation's plus the "
        "sampling error)": fit.calibration_error > allowed,
    }


def _rows(drift: Drift) -> list[list[str]]:
    users, queries, choices = drift.users, drift.queries, drift.choices
    return [
        ["decisions", str(drift.decisions), ""],
        ["decisions on a query that the user had decided on before", str(drift.repeated), ""],
        ["users", str(users.users), ""],
        ["users without training decisions", str(users.new), ""],
        ["their share of the decisions", percent(users.new_share), percent(LIMITS.new_users)],
        ["queries", str(queries.queries), ""],
        ["queries that are not in the training data", str(queries.new), ""],
        [f"of these, farther than {number(queries.limit)} from all training queries", str(queries.far), ""],
        ["their share of the queries", percent(queries.far_share), percent(LIMITS.far_queries)],
        ["p-value of this number of far queries", number(queries.p_value), f"below {LIMITS.p_value}"],
        ["choices that moved to another LLM", percent(choices.moved), percent(LIMITS.moved_choices)],
        ["choices of LLMs that are not in the training data", percent(choices.new_llm_share), percent(LIMITS.new_llms)],
    ]


def _fit_rows(drift: Drift) -> list[list[str]]:
    here, there = drift.calibration.fit, drift.validation
    rows = [["decisions", str(here.decisions), str(there.decisions) if there else DASH]]
    fields = {"log loss": "log_loss", "± (95 %)": "log_loss_margin", "expected calibration error": "calibration_error"}
    for name, field in fields.items():
        rows.append([name, *(number(getattr(fit, field)) if fit else DASH for fit in (here, there))])
    limit = number(drift.calibration.calibration_error_limit)
    return [*rows, ["calibration error of perfect probabilities, 99 % quantile", limit, ""]]


def _points(difference: float) -> str:
    """A difference of shares in percentage points."""
    return f"{100 * difference:+z.1f}"


def _interval(shift: ChoiceShift) -> str:
    return f"{_points(shift.low)} to {_points(shift.high)}" if math.isfinite(shift.low) else DASH
