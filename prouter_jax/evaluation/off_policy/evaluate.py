"""Off-policy evaluation of a trained router: its selections on the logged decisions that it was not trained on."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.logs.logged import Logged
from prouter_jax.evaluation.off_policy.comparison import Comparison, compare
from prouter_jax.evaluation.off_policy.log import Log, deterministic_policy
from prouter_jax.serving.batch.write import Scored

ROUTER = "router"  # name of the evaluated policy
_BLOCK = 1 << 16  # decisions scored at once


@dataclasses.dataclass(frozen=True)
class EvaluatedRouter:
    """A trained router.

    Attributes:
      score: selects LLMs for columns of decisions, as `Router.score_columns`.
      world: the router's queries, tasks and LLMs, and the decisions that it was trained on.
    """

    score: Callable[[dict[str, pa.Array]], Scored]
    world: Interactions


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
    router: EvaluatedRouter,
    data: Interactions,
    logged: Logged,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Evaluation:
    """Estimates the router's value on logged decisions with a reward that it was not trained on.

    Args:
      router: the evaluated router.
      data: tables of the log.
      logged: served LLMs, rewards and propensities of the decisions in `data`.
      on_progress: called with the share of decisions that are scored.

    Raises:
      ValueError: see `comparison.compare`.
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
    comparison = compare(_make_log(data, logged, rows), {ROUTER: target})
    left_out = {reason: number for reason, number in left_out.items() if number}
    return Evaluation(comparison, len(data.decisions.ids), left_out)


def held_out(router: EvaluatedRouter, data: Interactions) -> Bool[np.ndarray, " decisions"]:
    """Mask of the decisions that are not in the router's training data, by ids of decision, user and query.

    Validation decisions are not excluded, because a run does not keep them. They selected the checkpoint, so the
    estimate is slightly optimistic.
    """
    trained = set(zip(*_ids(router.world), strict=True))
    return np.array([ids not in trained for ids in zip(*_ids(data), strict=True)], bool)


def select_llms(
    router: EvaluatedRouter, data: Interactions, rows: Int[np.ndarray, " rows"], on_progress: Callable[[float], None]
) -> Int[np.ndarray, " rows"]:
    """The LLM that the router selects in each of the given decisions, among the candidates in its world.

    Args:
      router: the evaluated router.
      data: tables of the log.
      rows: rows of the decisions.
      on_progress: called with the share of decisions that are scored.

    Returns:
      LLM rows of `data`, -1 where no candidate is in the router's world.
    """
    selected, row_of = np.full(len(rows), -1), {name: row for row, name in enumerate(data.llms.ids)}
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        llms = router.score(_columns(router.world, data, rows[block])).llm.to_pylist()
        selected[block] = [-1 if llm is None else row_of[llm] for llm in llms]
        on_progress(min(block.stop / len(rows), 1.0))
    return selected


def _make_log(data: Interactions, logged: Logged, rows: np.ndarray) -> Log:
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


def _columns(world: Interactions, data: Interactions, rows: np.ndarray) -> dict[str, pa.Array]:
    """Decisions as columns for `EvaluatedRouter.score`; ids that are not in the router's world are null."""
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
