"""A router judged by a log: from the tables of `launch.logs` to a comparison, and what was left out on the way."""

import dataclasses
from collections.abc import Callable

import numpy as np

from prouter_jax.interactions import Interactions
from prouter_jax.logs.logged import Logged
from prouter_jax.off_policy.compare import Comparison, compare
from prouter_jax.off_policy.log import Log, always
from prouter_jax.off_policy.router_picks import Asker, pick, unseen

ROUTER = "router"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What came out.

    Attributes:
      decisions: of the log.
      left_out: how many were not judged on, by reason.
    """

    comparison: Comparison
    decisions: int
    left_out: dict[str, int]


def judge_router(
    asker: Asker, data: Interactions, logged: Logged, on_progress: Callable[[float], None] = lambda share: None
) -> Judgement:
    """What the router would have been worth on the decisions that it was not trained on and whose reward is known.

    Args:
      logged: of `data`.
      on_progress: called with the share of decisions that are scored.

    Raises:
      ValueError: as `compare`.
    """
    left_out, rows = {}, np.arange(len(data.decisions.ids))
    several = data.offers.sum(1)[data.decisions.offer] > 1
    for reason, keep in (
        ("a decision that the router was trained on", unseen(asker, data)),
        ("no thumb or rating", ~np.isnan(logged.reward)),
        ("one candidate alone", several),
    ):
        left_out[reason] = int((~keep[rows]).sum())
        rows = rows[keep[rows]]
    picked = pick(asker, data, rows, on_progress)
    left_out["no candidate that the router knows"] = int((picked < 0).sum())
    rows, picked = rows[picked >= 0], picked[picked >= 0]
    comparison = compare(build_log(data, logged, rows), {ROUTER: always(picked, len(data.llms.ids))})
    return Judgement(
        comparison, len(data.decisions.ids), {reason: number for reason, number in left_out.items() if number}
    )


def build_log(data: Interactions, logged: Logged, rows: np.ndarray) -> Log:
    """The decisions `rows` as arrays."""
    query = data.decisions.query[rows]
    return Log(
        offered=data.offers[data.decisions.offer[rows]],
        served=logged.served[rows],
        reward=logged.reward[rows],
        propensity=logged.propensity[rows],
        user=data.decisions.user[rows],
        task=data.queries.task[query],
        query=query,
        length=np.array([len(text) for text in data.queries.texts], float)[query],
    )
