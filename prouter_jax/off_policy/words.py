"""A judgement as JSON and as Markdown."""

import math

from prouter_jax.off_policy.judge import Judgement
from prouter_jax.report import markdown

_COLUMNS = ("policy", "estimator", "estimate", "95 % interval", "effective sample size", "mean weight")
_READ_ME = (
    "A decision shows what one answer was worth. ips: inverse propensity; snips: self-normalised; dr: doubly "
    "robust, to look at first. The effective sample size says how many decisions of the policy's own would tell "
    "as much; a mean weight well below 1 says that the log hardly tried what the policy picks. Intervals are for "
    "other users, and take it that whether an answer was judged does not depend on how good it was."
)
_FITTED = (
    "No propensities are in the log: they were fitted on candidates, task, length of the query and usual LLMs of the "
    "user, and the error of the fit is in the intervals. Had the gateway looked at anything else that matters, no "
    "interval would tell."
)


def to_json(judgement: Judgement) -> dict:
    """All numbers; NaN is null."""
    found = judgement.comparison
    lines = [
        {
            "policy": line.policy,
            "estimator": line.estimator,
            "estimate": _number(line.interval.mean),
            "low": _number(line.interval.low),
            "high": _number(line.interval.high),
            "effective_sample_size": _number(line.effective),
            "mean_weight": _number(line.mean_weight),
        }
        for line in found.lines
    ]
    facts = {"logged": judgement.decisions, "decisions": found.decisions, "users": found.users}
    told = {"certain": found.certain, "weights_cut": found.cut, "propensities_fitted": found.fitted}
    return {"lines": lines, **facts, **told, "left_out": judgement.left_out}


def to_markdown(judgement: Judgement) -> str:
    """A table, how to read it, and what was left out."""
    found = judgement.comparison
    rows = [
        [
            *(line.policy, line.estimator, f"{line.interval.mean:.4f}"),
            f"{line.interval.low:.4f} to {line.interval.high:.4f}",
            "" if math.isnan(line.effective) else f"{line.effective:,.0f}",
            "" if math.isnan(line.mean_weight) else f"{line.mean_weight:.3f}",
        ]
        for line in found.lines
    ]
    facts = {"decisions in the log": judgement.decisions, "judged on": found.decisions, "of users": found.users}
    facts |= {f"left out: {reason}": number for reason, number in judgement.left_out.items()}
    facts |= {"left out: picked for certain": found.certain, "weights of the router cut to sqrt(n)": found.cut}
    parts = ["# What the router would have been worth", markdown.table(_COLUMNS, rows), _READ_ME]
    parts += [_FITTED] if found.fitted else []
    table = [[name, f"{number:,}"] for name, number in facts.items() if number]
    return "\n\n".join([*parts, markdown.table(["fact", "value"], table)]) + "\n"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
