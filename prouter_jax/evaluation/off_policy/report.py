"""The result of an off-policy evaluation as JSON and as Markdown."""

import math

from prouter_jax.evaluation.off_policy.evaluate import Evaluation
from prouter_jax.io import markdown

_COLUMNS = ("policy", "estimator", "estimate", "95 % interval", "effective sample size", "mean weight")
_EXPLANATION = (
    "The log has the reward of one answer for each decision. ips: inverse propensity scoring; snips: self-normalised; "
    "dr: doubly robust, the estimate to read first. The effective sample size is the number of decisions of the policy "
    "itself that would give the same precision. A mean weight well below 1 means that the log rarely has the policy's "
    "selections. Intervals are for other users; they assume that whether an answer was rated does not depend on its "
    "quality."
)
_FITTED = (
    "No propensities are in the log: they were fitted on candidates, task, query length and the user's usual LLMs, and "
    "the intervals include the error of the fit. If the logging policy used any other feature that affects rewards, "
    "the estimates are biased and the intervals do not show it."
)


def to_json(evaluation: Evaluation) -> dict:
    """All numbers as a JSON object; NaN is null."""
    found = evaluation.comparison
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
    counts = {"logged": evaluation.decisions, "decisions": found.decisions, "users": found.users}
    counts |= {"certain": found.certain, "weights_cut": found.cut, "propensities_fitted": found.fitted}
    return {"lines": lines, **counts, "left_out": evaluation.left_out}


def to_markdown(evaluation: Evaluation) -> str:
    """A table of estimates, how to read it, and a table of the decisions that were used and left out."""
    found = evaluation.comparison
    rows = [
        [
            *(line.policy, line.estimator, f"{line.interval.mean:.4f}"),
            f"{line.interval.low:.4f} to {line.interval.high:.4f}",
            "" if math.isnan(line.effective) else f"{line.effective:,.0f}",
            "" if math.isnan(line.mean_weight) else f"{line.mean_weight:.3f}",
        ]
        for line in found.lines
    ]
    counts = {"decisions in the log": evaluation.decisions, "evaluated decisions": found.decisions}
    counts |= {"users of these": found.users}
    counts |= {f"left out: {reason}": number for reason, number in evaluation.left_out.items()}
    counts |= {"left out: propensity 1": found.certain, "weights of the router cut to sqrt(n)": found.cut}
    parts = ["# Off-policy evaluation of the router", markdown.table(_COLUMNS, rows), _EXPLANATION]
    parts += [_FITTED] if found.fitted else []
    table = [[name, f"{number:,}"] for name, number in counts.items() if number]
    return "\n\n".join([*parts, markdown.table(["fact", "value"], table)]) + "\n"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
