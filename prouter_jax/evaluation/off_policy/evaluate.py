"""Off-policy evaluation of a trained router: its selections on the logged decisions that it was not trained on.

The result is written as JSON and as Markdown.
"""

import dataclasses
import math
import os
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.logs.tables import Logged
from prouter_jax.evaluation.off_policy.comparison import Comparison, compare
from prouter_jax.evaluation.off_policy.log import Log, deterministic_policy
from prouter_jax.io import files
from prouter_jax.io.display import log_line, markdown_table
from prouter_jax.io.paths import make_path
from prouter_jax.io.replacement import current
from prouter_jax.serving.router import Router, served_folder

ROUTER = "router"  # name of the evaluated policy
_BLOCK = 1 << 16  # decisions scored at once

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


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate_router`.

    Attributes:
      comparison: estimates for the router and the policies that it is compared with.
      decisions: number of decisions in the log.
      left_out: number of decisions that are not in the estimates, by reason.
    """

    comparison: Comparison
    decisions: int
    left_out: dict[str, int]


def evaluate_router(
    router: Router,
    data: Interactions,
    logged: Logged,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Evaluation:
    """Estimates the router's value on logged decisions with a reward that it was not trained on.

    Args:
      data: tables of the log.
      logged: served LLMs, rewards and propensities of the decisions in `data`.
      on_progress: called with the share of decisions that are scored.
    """
    left_out, rows = {}, np.arange(len(data.decisions.ids))
    several = data.offers.sum(1)[data.decisions.offer] > 1
    for reason, keep in (
        ("a decision that the router was trained on", held_out(router, data)),
        ("no thumb or rating", ~np.isnan(logged.reward)),
        ("one candidate alone", several),
    ):
        left_out[reason] = int((~keep[rows]).sum())
        rows = rows[keep[rows]]
    selected = select_llms(router, data, rows, on_progress)
    left_out["no candidate that the router knows"] = int((selected < 0).sum())
    rows, selected = rows[selected >= 0], selected[selected >= 0]
    target = deterministic_policy(selected, len(data.llms.ids))
    comparison = compare(make_log(data, logged, rows), {ROUTER: target})
    left_out = {reason: number for reason, number in left_out.items() if number}
    return Evaluation(comparison, len(data.decisions.ids), left_out)


def load_router(workdir: str | os.PathLike, data: Interactions) -> Router:
    """Loads the router of a workdir that is evaluated on a log.

    It is the one that is served, unless that was trained on most of the log, as after a training on the log's tables:
    then it is that of the report, which was trained on a part.

    Args:
      data: tables of the log.
    """
    workdir = current(make_path(workdir))
    router = Router.load(workdir)
    if served_folder(workdir) == workdir or 2 * held_out(router, data).sum() >= len(data.decisions.ids):
        return router
    log_line("the router of the report is evaluated: the one that is served was trained on most of this log")
    return Router.load_trained(workdir)


def held_out(router: Router, data: Interactions) -> Bool[np.ndarray, " decisions"]:
    """Mask of the decisions that are not in the router's training data, by ids of decision, user and query.

    Validation decisions are not excluded, because a run does not keep them. They selected the checkpoint, so the
    estimate is slightly optimistic.
    """
    trained = set(zip(*_ids(router.world.interactions), strict=True))
    return np.array([ids not in trained for ids in zip(*_ids(data), strict=True)], bool)


def select_llms(
    router: Router, data: Interactions, rows: Int[np.ndarray, " rows"], on_progress: Callable[[float], None]
) -> Int[np.ndarray, " rows"]:
    """The LLM that the router selects in each of the given decisions, among the candidates in its world.

    Args:
      on_progress: called with the share of decisions that are scored.

    Returns:
      LLM rows of `data`, -1 where no candidate is in the router's world.
    """
    selected, row_of = np.full(len(rows), -1), {name: row for row, name in enumerate(data.llms.ids)}
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        llms = router.score_columns(_columns(router.world.interactions, data, rows[block])).llm.to_pylist()
        selected[block] = [-1 if llm is None else row_of[llm] for llm in llms]
        on_progress(min(block.stop / len(rows), 1.0))
    return selected


def make_log(data: Interactions, logged: Logged, rows: np.ndarray) -> Log:
    """The given decisions as arrays."""
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


def to_json(evaluation: Evaluation) -> dict:
    """All numbers as a JSON object; NaN is null."""
    found = evaluation.comparison
    lines = [
        {
            "policy": line.policy,
            "estimator": line.estimator,
            "estimate": line.interval.mean,
            "low": line.interval.low,
            "high": line.interval.high,
            "effective_sample_size": line.effective,
            "mean_weight": line.mean_weight,
        }
        for line in found.lines
    ]
    counts = {"logged": evaluation.decisions, "decisions": found.decisions, "users": found.users}
    counts |= {"certain": found.certain, "weights_cut": found.cut, "propensities_fitted": found.fitted}
    return files.jsonable({"lines": lines, **counts, "left_out": evaluation.left_out})


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
    parts = ["# Off-policy evaluation of the router", markdown_table(_COLUMNS, rows), _EXPLANATION]
    parts += [_FITTED] if found.fitted else []
    table = [[name, f"{number:,}"] for name, number in counts.items() if number]
    return "\n\n".join([*parts, markdown_table(["fact", "value"], table)]) + "\n"


def _columns(world: Interactions, data: Interactions, rows: np.ndarray) -> dict[str, pa.Array]:
    """Decisions as columns for `Router.score_columns`; ids that are not in the router's world are null."""
    query = data.decisions.query[rows]
    texts = dict(zip(world.queries.ids, world.queries.texts, strict=True))
    same = [texts.get(name) == text for name, text in zip(data.queries.ids, data.queries.texts, strict=True)]
    in_world = np.isin(np.append(data.tasks.ids, ""), world.tasks.ids)
    task = data.queries.task[query]
    offered = data.offers[data.decisions.offer[rows]] & np.isin(data.llms.ids, world.llms.ids)
    row, llm = np.nonzero(offered)
    starts = pa.array(np.searchsorted(row, np.arange(len(rows) + 1)), pa.int64())
    return {
        "user_id": pa.array(data.users.ids[data.decisions.user[rows]], pa.large_string()),
        "query": pa.array(data.queries.texts[query], pa.large_string()),
        # the router's data may have another text under the same id
        "query_id": pa.array(data.queries.ids[query], pa.large_string(), mask=~np.array(same, bool)[query]),
        "task_id": pa.array(np.append(data.tasks.ids, "")[task], pa.large_string(), mask=~in_world[task]),
        "candidates": pa.LargeListArray.from_arrays(starts, pa.array(data.llms.ids[llm], pa.large_string())),
    }


def _ids(data: Interactions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids of decision, user and query of each decision."""
    decisions = data.decisions
    return decisions.ids, data.users.ids[decisions.user], data.queries.ids[decisions.query]
