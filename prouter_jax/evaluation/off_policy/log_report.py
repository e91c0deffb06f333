"""Off-policy comparison of the policies of a report, on the test decisions of a log."""

import os

import numpy as np

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.logs.tables import Logged, read_logged
from prouter_jax.evaluation.evaluate import SeedResult
from prouter_jax.evaluation.off_policy.comparison import BEST_SINGLE, LOGGING, Comparison, compare
from prouter_jax.evaluation.off_policy.evaluate import make_log
from prouter_jax.evaluation.off_policy.log import deterministic_policy
from prouter_jax.report.types import ROUTER, LogComparison, LogValue, PairedDifference

_COMPARED = (ROUTER, "user_blind", "best_per_user", "best_per_user_task", "cheapest", "strongest")
_ONE_REWARD = (
    "A log has the reward of the served LLM alone. What another LLM would have earned is estimated (doubly robust), "
    "not measured, and neither accuracy nor the gap to perfect choices can be told."
)
_RATED = (
    "{judged} test decisions have a thumb or rating. That people rate alike what they like and what "
    "they do not is an assumption."
)
_WEIGHTS = (
    "A mean weight well below 1 means that the log rarely has a policy's picks. An LLM that was never picked in a "
    "situation has no value there."
)
_FITTED = (
    "The log has no propensities: they were fitted on candidates, task, query length and the user's usual LLMs. If the "
    "gateway looked at anything else that moves rewards, the intervals are too narrow."
)


def compare_on_log(folder: str | os.PathLike, data: Interactions, result: SeedResult) -> LogComparison:
    """Compares the router with the gateway's policy and simple policies, on the test decisions with a reward.

    Args:
      folder: output of `prouter logs`.
      data: the data of the split that was evaluated.
      result: the policies' picks in the test decisions.
    """
    logged = read_logged(folder, data, subset=True)
    rows = np.asarray(result.decision)
    judged = ~np.isnan(logged.reward[rows]) & (data.offers[data.decisions.offer[rows]].sum(1) > 1)
    share = f"All {len(rows):,}" if judged.all() else f"{int(judged.sum()):,} of {len(rows):,}"
    limits = [_ONE_REWARD, _RATED.format(judged=share), _WEIGHTS]
    try:
        found = _compare(data, logged, result, judged)
    except ValueError as error:  # too few decisions, or a gateway that left nothing to chance
        return LogComparison([], [f"No policy could be compared: {error}.", *limits])
    return LogComparison(_values(found), limits + ([_FITTED] if found.fitted else []))


def _compare(data: Interactions, logged: Logged, result: SeedResult, judged: np.ndarray) -> Comparison:
    rows, num_llms = np.asarray(result.decision)[judged], len(data.llms.ids)
    selected = {name: result.selected[name][judged] for name in _COMPARED if name in result.selected}
    targets = {name: deterministic_policy(llms, num_llms) for name, llms in selected.items()}
    return compare(make_log(data, logged, rows), targets)


def _values(found: Comparison) -> list[LogValue]:
    """The doubly robust estimates, the highest first; of equal ones the router first."""
    gains = {line.policy: line.interval for line in found.lines if line.policy.startswith(f"{ROUTER} - ")}
    values = []
    for line in found.lines:
        if line.policy in gains or line.estimator not in ("dr", "mean"):
            continue
        gain = gains.get(f"{ROUTER} - {line.policy}")
        name = {LOGGING: "gateway", BEST_SINGLE: "best_single"}.get(line.policy, line.policy)
        difference = gain and PairedDifference(ROUTER, name, gain.mean, gain.low, gain.high, "users", gain.n)
        interval = line.interval
        value = LogValue(name, interval.mean, interval.low, interval.high, line.effective, line.mean_weight, difference)
        values.append(value)
    return sorted(values, key=lambda value: -value.value)
