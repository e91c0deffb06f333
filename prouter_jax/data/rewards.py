"""Decisions as dense arrays over all LLMs, their rewards, and the scale of costs."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from prouter_jax.data.interactions import CHOICE, RATING, THUMB, Interactions


@dataclasses.dataclass(frozen=True)
class DecisionArrays:
    """Decisions with their feedback as dense arrays.

    Attributes:
      user, query: int [decisions], rows of the users and queries of the `Interactions`.
      offered: bool [decisions, llms], the candidates.
      target: float [decisions, llms], shares of the choice; all zero without a choice.
      rating: float [decisions, llms], NaN if missing.
      first: int [decisions], the LLM whose answer was displayed first, -1 if missing.
      thumb: int8 [decisions, llms], 1 up, 0 down, -1 if missing.
    """

    user: np.ndarray
    query: np.ndarray
    offered: np.ndarray
    target: np.ndarray
    rating: np.ndarray
    first: np.ndarray
    thumb: np.ndarray


@dataclasses.dataclass(frozen=True)
class CostScale:
    """Min-max scale of costs, by task.

    Attributes:
      low, high: float [tasks + 1], lowest and highest training cost in USD; the last row is of queries without a task.
    """

    low: np.ndarray
    high: np.ndarray

    def scale(self, cost: np.ndarray, task: np.ndarray) -> np.ndarray:
        """Scaled cost (cost - low) / (high - low).

        Args:
          cost: [queries, ...] in USD.
          task: int [queries], task rows, -1 for none.

        Returns:
          [queries, ...]; zeros for a task whose cost is constant.
        """
        low, width = self._rows(cost, task)
        return np.where(width > 0, (cost - low) / np.where(width > 0, width, 1), cost * 0)

    def unscale(self, scaled: np.ndarray, task: np.ndarray) -> np.ndarray:
        """The inverse of `scale`: costs in USD, at least 0."""
        low, width = self._rows(scaled, task)
        return np.maximum(scaled * width + low, 0)

    def reprice(
        self, scaled: np.ndarray, task: np.ndarray, factor: np.ndarray, added: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Returns scaled costs [queries, llms] after they change to `factor` times the old ones plus `added`.

        A cost that does not change keeps its exact bits.

        Args:
          scaled: the old ones, [queries, llms].
          task: of each query, -1 for none.
          factor: on the costs of each LLM, [llms].
          added: to the costs of each LLM in USD, [llms].
        """
        same = (factor == 1) & (np.asarray(added) == 0)
        if same.all():
            return scaled
        now = self.unscale(scaled, task) * factor + added
        return np.where(same, scaled, self.scale(now, task)).astype(scaled.dtype)

    def _rows(self, cost: np.ndarray, task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (-1,) + (1,) * (cost.ndim - 1)
        low, high = self.low[task].reshape(shape), self.high[task].reshape(shape)
        return low, high - low


def fit_cost_scale(data: Interactions) -> CostScale:
    """Fits the scale to the costs in `data`, which must hold training queries only.

    A task without costs has the range of all costs.
    """
    outcomes = data.outcomes
    known = ~np.isnan(outcomes.cost)
    task, cost = data.queries.task[outcomes.query[known]], outcomes.cost[known].astype(np.float64)
    overall = (cost.min(), cost.max()) if len(cost) else (0.0, 0.0)
    low, high = np.full(len(data.tasks.ids) + 1, np.inf), np.full(len(data.tasks.ids) + 1, -np.inf)
    np.minimum.at(low, task, cost)
    np.maximum.at(high, task, cost)
    low[-1], high[-1] = overall
    missing = low > high
    return CostScale(np.where(missing, overall[0], low), np.where(missing, overall[1], high))


def outcome_matrices(data: Interactions, scale: CostScale) -> tuple[np.ndarray, np.ndarray]:
    """Effect and scaled cost of all outcomes, float32 [queries, llms] each, NaN if missing."""
    outcomes = data.outcomes
    cost = scale.scale(outcomes.cost, data.queries.task[outcomes.query])
    return outcome_matrix(data, outcomes.effect), outcome_matrix(data, cost)


def outcome_matrix(data: Interactions, values: np.ndarray) -> np.ndarray:
    """Scatters a column of the outcomes [outcomes] to a matrix, float32 [queries, llms], NaN if missing."""
    matrix = np.full((len(data.queries.ids), len(data.llms.ids)), np.nan, np.float32)
    matrix[data.outcomes.query, data.outcomes.llm] = values
    return matrix


def build_decisions(data: Interactions, rows: Int[np.ndarray, " decisions"]) -> DecisionArrays:
    """The decisions in `rows` (int [decisions]) as dense arrays."""
    decisions, feedback = data.decisions, data.feedback
    new_row = np.full(len(decisions.user), -1)
    new_row[rows] = np.arange(len(rows))
    row = new_row[feedback.decision]
    target = np.zeros((len(rows), len(data.llms.ids)), np.float32)
    rating = np.full(target.shape, np.nan, np.float32)
    thumb = np.full(target.shape, -1, np.int8)
    for kind, array in ((CHOICE, target), (RATING, rating), (THUMB, thumb)):
        of_kind = (row >= 0) & (feedback.kind == kind)
        array[row[of_kind], feedback.llm[of_kind]] = feedback.value[of_kind]
    offered = data.offers[decisions.offer[rows]]
    user, query, first = (column[rows] for column in (decisions.user, decisions.query, decisions.first))
    return DecisionArrays(user, query, offered, target, rating, first, thumb)


def build_rewards(
    data: Interactions, scale: CostScale, decisions: DecisionArrays
) -> Float[np.ndarray, "decisions llms"]:
    """Rewards of the candidates.

    A user with preference w has reward w * effect - (1 - w) * scaled cost (arXiv 2511.16883). For other users it is
    the rating; without ratings the share of the choice; without a choice 1 for thumb up and 0 for thumb down.

    Returns:
      float32 [decisions, llms], NaN if missing or not a candidate.
    """
    effect, cost = outcome_matrices(data, scale)
    weight = data.users.preference[decisions.user].astype(np.float32)[:, None]
    simulated = weight * effect[decisions.query] - (1 - weight) * cost[decisions.query]
    rated = ~np.isnan(decisions.rating).all(1, keepdims=True)
    chosen = decisions.target.any(1, keepdims=True)
    thumbs = np.where(decisions.thumb < 0, np.nan, decisions.thumb)
    stated = np.where(rated, decisions.rating, np.where(chosen, decisions.target, thumbs))
    rewards = np.where(np.isnan(weight), stated, simulated)
    return np.where(decisions.offered, rewards, np.nan)


def choice_shares(decisions: DecisionArrays) -> Float[np.ndarray, "decisions llms"]:
    """Shares of the choice, float32 [decisions, llms]; without a choice, the best of several rated candidates share it.

    A single rated candidate among several, as in a log, implies no choice: all shares are zero.
    """
    rating = np.where(np.isnan(decisions.rating), -np.inf, decisions.rating)
    best = (rating == rating.max(1, keepdims=True)) & np.isfinite(rating)
    best &= (np.isfinite(rating).sum(1) > 1)[:, None] | (decisions.offered.sum(1) == 1)[:, None]
    implied = best / np.maximum(best.sum(1, keepdims=True), 1)
    return np.where(decisions.target.any(1, keepdims=True), decisions.target, implied).astype(np.float32)
