"""What a router picks for logged decisions, and which of them it was not trained on."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from prouter_jax.data.interactions import Interactions
from prouter_jax.serving.batch.write import Scored

_ROWS_AT_ONCE = 1 << 16


@dataclasses.dataclass(frozen=True)
class Asker:
    """A router as a function, and what it knows.

    Attributes:
      score: as `Router.score_columns`.
      world: queries, tasks and LLMs that it knows, and the decisions it was trained on.
    """

    score: Callable[[dict[str, pa.Array]], Scored]
    world: Interactions


def unseen(asker: Asker, data: Interactions) -> np.ndarray:
    """bool [decisions]: those that the router was not trained on, told by their ids, users and queries.

    A run does not keep which decisions it was validated on: that they chose the checkpoint flatters it a little.
    """
    known = set(zip(*_names(asker.world), strict=True))
    return np.array([names not in known for names in zip(*_names(data), strict=True)], bool)


def pick(asker: Asker, data: Interactions, rows: np.ndarray, on_progress: Callable[[float], None]) -> np.ndarray:
    """The LLM that is picked in each of the decisions `rows`, int [rows], -1 where the router cannot pick.

    It picks among the candidates that it knows.

    Args:
      on_progress: called with the share that is done.
    """
    found, row_of = np.full(len(rows), -1), {name: row for row, name in enumerate(data.llms.ids)}
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        picked = asker.score(_columns(asker.world, data, rows[some])).llm.to_pylist()
        found[some] = [-1 if llm is None else row_of[llm] for llm in picked]
        on_progress(min(some.stop / len(rows), 1.0))
    return found


def _columns(world: Interactions, data: Interactions, rows: np.ndarray) -> dict[str, pa.Array]:
    query = data.decisions.query[rows]
    known_text = dict(zip(world.queries.ids, world.queries.texts, strict=True))
    same = [known_text.get(name) == text for name, text in zip(data.queries.ids, data.queries.texts, strict=True)]
    known_task = np.isin(np.append(data.tasks.ids, ""), world.tasks.ids)
    task = data.queries.task[query]
    offered = data.offers[data.decisions.offer[rows]] & np.isin(data.llms.ids, world.llms.ids)
    row, llm = np.nonzero(offered)
    starts = pa.array(np.searchsorted(row, np.arange(len(rows) + 1)), pa.int64())
    return {
        "user_id": pa.array(data.users.ids[data.decisions.user[rows]], pa.large_string()),
        "query": pa.array(data.queries.texts[query], pa.large_string()),
        # under the same id there may be another text in the router's data
        "query_id": pa.array(data.queries.ids[query], pa.large_string(), mask=~np.array(same, bool)[query]),
        "task_id": pa.array(np.append(data.tasks.ids, "")[task], pa.large_string(), mask=~known_task[task]),
        "candidates": pa.LargeListArray.from_arrays(starts, pa.array(data.llms.ids[llm], pa.large_string())),
    }


def _names(data: Interactions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    decisions = data.decisions
    return decisions.ids, data.users.ids[decisions.user], data.queries.ids[decisions.query]
