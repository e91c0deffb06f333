"""The query of a single request: found by its text or id, then prepared for ranking, maybe with other costs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from prouter_jax.model.answer_features import COST
from prouter_jax.model.query_batch import QueryBatch
from prouter_jax.serving.routing import Pool

_TOKENS_OF_PRICE = 1e6


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


@dataclasses.dataclass(frozen=True)
class CostChange:
    """What makes answers cost other than in training.

    Attributes:
      factors: on the costs of LLMs' answers, by their names, to see what another price would change.
      cached_tokens: of the conversation, which the LLM of its session need not read anew. All others are expected to
        cost so many input tokens more; an LLM without a known price of input costs nothing more.
      cached_by: this LLM.
    """

    factors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    cached_tokens: float = 0.0
    cached_by: str | None = None


def with_costs(prepared: PreparedQuery, change: CostChange, pool: Pool, input_price: np.ndarray) -> PreparedQuery:
    """Returns the query with other costs of its answers.

    Args:
      input_price: of each LLM in USD per million tokens, NaN if unknown, [llms].

    Raises:
      ValueError: on an unknown LLM.
    """
    if unknown := sorted(set(change.factors) - set(pool.llms)):
        raise ValueError(f"prices: expected LLMs among {', '.join(pool.llms)}, found {unknown[0]}")
    factor = np.array([change.factors.get(name, 1.0) for name in pool.llms])
    reads_anew = np.array([change.cached_by not in (None, name) for name in pool.llms])
    added = np.where(reads_anew, np.nan_to_num(input_price) * factor * change.cached_tokens / _TOKENS_OF_PRICE, 0.0)
    scaled = pool.scale.reprice(prepared.batch.cost, np.array([prepared.task]), factor, added)
    answers = prepared.batch.answers
    if "cost" in pool.scorer.named:
        answers = answers.copy()
        answers[..., COST] = scaled
    batch = dataclasses.replace(prepared.batch, answers=answers, cost=scaled)
    return dataclasses.replace(prepared, batch=batch, cost=prepared.cost * factor + added)
