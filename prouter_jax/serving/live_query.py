"""The query of a single request: found by its text or id, then prepared for ranking, maybe with other prices."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from prouter_jax.model.answer_features import COST
from prouter_jax.model.query_batch import QueryBatch
from prouter_jax.serving.routing import Pool


@dataclasses.dataclass(frozen=True)
class FoundQuery:
    """The query of a request.

    Attributes:
      row: of a known query; None for a new text.
      text: "" for a known query that is named by its id.
      task: row of the task of a text, -1 for none.
    """

    row: int | None
    text: str
    task: int


@dataclasses.dataclass(frozen=True)
class PreparedQuery:
    """A query that `LiveRouter.rank` ranks LLMs for.

    Attributes:
      batch: the query alone.
      cost: expected costs of its answers in USD, [llms].
      task: row of its task, -1 for none.
      columns: what `LiveFeedback` needs of it in place of a text: its query_id, or its features.
    """

    batch: QueryBatch
    cost: np.ndarray
    task: int
    columns: dict[str, Any]


def with_prices(prepared: PreparedQuery, prices: Mapping[str, float], pool: Pool) -> PreparedQuery:
    """Returns the query with other prices of some LLMs.

    Args:
      prices: factors on the costs of the answers, by the name of the LLM.

    Raises:
      ValueError: on an unknown LLM.
    """
    if unknown := sorted(set(prices) - set(pool.llms)):
        raise ValueError(f"prices: expected LLMs among {', '.join(pool.llms)}, found {unknown[0]}")
    factor = np.array([prices.get(name, 1.0) for name in pool.llms])
    scaled, answers = pool.scale.reprice(prepared.batch.cost, np.array([prepared.task]), factor), prepared.batch.answers
    if "cost" in pool.scorer.named:
        answers = answers.copy()
        answers[..., COST] = scaled
    batch = dataclasses.replace(prepared.batch, answers=answers, cost=scaled)
    return dataclasses.replace(prepared, batch=batch, cost=prepared.cost * factor)
