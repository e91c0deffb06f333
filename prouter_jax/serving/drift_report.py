"""The report on drift: what was measured, what is out of bounds, and whether to train again."""

import dataclasses
import json
import math

from prouter_jax.io import markdown
from prouter_jax.io.numbers import DASH, number, percent
from prouter_jax.metrics import Fit
from prouter_jax.serving.drift import Choices, Foreseen, People, Topics


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is let pass; see `find_alarms` for how each is used."""

    new_users: float = 0.25
    far_queries: float = 0.15
    moved_choices: float = 0.05
    new_llms: float = 0.25
    worse_log_loss: float = 0.10
    chance: float = 0.01
    fewest_decisions: int = 30


LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class Drift:
    """One file of feedback against what the router was trained on.

    Attributes:
      decisions: in the file; `repeated`, those on a query that its user had decided on before.
      foreseen: by the router before it knew the file; `validation` the same of validation, None where a run did not
        record it.
    """

    decisions: int
    repeated: int
    people: People
    topics: Topics
    choices: Choices
    foreseen: Foreseen
    validation: Fit | None


def find_alarms(drift: Drift) -> list[str]:
    """What is out of bounds, a clause each; nothing where the file is too short to tell."""
    topics, choices, most = drift.topics, drift.choices, LIMITS
    if drift.decisions < most.fewest_decisions:
        return []
    found = {
        f"{percent(drift.people.new_share)} of the decisions are of users that training never heard (limit "
        f"{percent(most.new_users)})": drift.people.new_share > most.new_users,
        f"{percent(topics.far_share)} of the queries are far from all training queries (limit "
        f"{percent(most.far_queries)})": topics.far_share > most.far_queries and topics.chance < most.chance,
        f"{percent(choices.moved)} of the choices moved to other LLMs (limit {percent(most.moved_choices)})": (
            choices.moved > most.moved_choices and choices.chance < most.chance
        ),
        f"{percent(choices.new_llm_share)} of the choices fell on LLMs that training did not know (limit "
        f"{percent(most.new_llms)})": choices.new_llm_share > most.new_llms,
        **_fit_alarms(drift.foreseen, drift.validation),
    }
    return [clause for clause, alarm in found.items() if alarm]


def advise(drift: Drift) -> str:
    """One sentence: whether to train again, and why."""
    if drift.decisions < LIMITS.fewest_decisions:
        return f"Too few decisions to tell ({drift.decisions}, of at least {LIMITS.fewest_decisions}): no advice."
    alarms = find_alarms(drift)
    if alarms:
        return f"Train again with this feedback in the data: {'; '.join(alarms)}."
    return "No need to train again: everything is within its limits."


def to_json(drift: Drift) -> str:
    """All numbers, unknown ones as null, with limits, alarms and advice."""
    values = dataclasses.asdict(drift) | {
        "limits": dataclasses.asdict(LIMITS),
        "alarms": find_alarms(drift),
        "advice": advise(drift),
    }
    return json.dumps(_with_null(values), indent=2) + "\n"


def to_markdown(drift: Drift, title: str) -> str:
    """A page for people."""
    shifts = [
        [row.llm, percent(row.expected), percent(row.found), _points(row.found - row.expected), _between(row)]
        for row in drift.choices.shifts
    ]
    columns = ["LLM", "expected share", "found", "difference", "95 % interval"]
    parts = [
        f"# {markdown.cell(title)}",
        markdown.cell(advise(drift)),
        "## What is new",
        markdown.table(["measured", "found", "limit"], _rows(drift)),
        "## Choices",
        f"Expected is what the LLMs' shares in training come to with these candidates. Probability of the largest "
        f"difference by chance: {number(drift.choices.chance)}.",
        markdown.table(columns, shifts) if shifts else "No choices between LLMs that training knew.",
        "## Predictions before this feedback was known",
        markdown.table(["measured", "here", "validation"], _fit_rows(drift)),
    ]
    return "\n\n".join(parts) + "\n"


def _fit_alarms(foreseen: Foreseen, validation: Fit | None) -> dict[str, bool]:
    if validation is None or not foreseen.fit.decisions:
        return {}
    fit, most = foreseen.fit, LIMITS.worse_log_loss
    worse = fit.log_loss - validation.log_loss
    margin = math.hypot(*(0 if math.isnan(x) else x for x in (fit.log_loss_margin, validation.log_loss_margin)))
    allowed = validation.calibration_error + foreseen.by_chance
    return {
        f"log loss is {number(fit.log_loss)} where validation's was {number(validation.log_loss)} (limit "
        f"{percent(most)} more, beyond chance)": worse > max(most * validation.log_loss, margin),
        f"calibration error is {number(fit.calibration_error)} (limit {number(allowed)}, validation's and chance)": (
            fit.calibration_error > allowed
        ),
    }


def _rows(drift: Drift) -> list[list[str]]:
    people, topics, most = drift.people, drift.topics, LIMITS
    return [
        ["decisions", str(drift.decisions), ""],
        ["on a query that the user had decided on before", str(drift.repeated), ""],
        ["users", str(people.users), ""],
        ["users that training never heard", str(people.new), ""],
        ["their share of the decisions", percent(people.new_share), percent(most.new_users)],
        ["queries", str(topics.queries), ""],
        ["queries that training did not hold", str(topics.new), ""],
        [f"of these, farther than {number(topics.limit)} from all it held", str(topics.far), ""],
        ["their share of the queries", percent(topics.far_share), percent(most.far_queries)],
        ["probability of so many by chance", number(topics.chance), f"below {most.chance}"],
        ["choices that moved to another LLM", percent(drift.choices.moved), percent(most.moved_choices)],
        ["choices of LLMs that training did not know", percent(drift.choices.new_llm_share), percent(most.new_llms)],
    ]


def _fit_rows(drift: Drift) -> list[list[str]]:
    here, there = drift.foreseen.fit, drift.validation
    rows = [["decisions", str(here.decisions), str(there.decisions) if there else DASH]]
    for name, field in (("log loss", "log_loss"), ("± (95 %)", "log_loss_margin")):
        rows.append([name, *(number(getattr(fit, field)) if fit else DASH for fit in (here, there))])
    error = [number(fit.calibration_error) if fit else DASH for fit in (here, there)]
    chance = ["calibration error of perfect probabilities, at most", number(drift.foreseen.by_chance), ""]
    return [*rows, ["expected calibration error", *error], chance]


def _points(difference: float) -> str:
    return f"{100 * difference:+z.1f}"


def _between(row) -> str:
    return f"{_points(row.low)} to {_points(row.high)}" if math.isfinite(row.low) else DASH


def _with_null(value):
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _with_null(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_null(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
