"""Decisions as arrays over the whole pool, and the rewards and cost scale that go with them."""

import dataclasses

import numpy as np

from prouter_jax.data.interactions import CHOICE, RATING, THUMB, Interactions


@dataclasses.dataclass(frozen=True)
class DecisionArrays:
    """Some decisions, one row each.

    Attributes:
      user, query: int [decisions], rows of the users and queries of the `Interactions`.
      offered: bool [decisions, llms], the candidates.
      target: float [decisions, llms], shares of the choice; all zero without one.
      rating: float [decisions, llms], NaN where there is none.
      first: int [decisions], the LLM whose answer was shown first, -1 where unknown.
      thumb: int8 [decisions, llms], 1 up, 0 down, -1 where there is none.
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
    """Lowest and highest training cost of each task in USD; the last row is for queries without a task."""

    low: np.ndarray
    high: np.ndarray

    def scale(self, cost: np.ndarray, task: np.ndarray) -> np.ndarray:
        """Costs [queries, ...] in USD to (cost - low) / (high - low) of their task [queries]; a constant cost to 0."""
        low, width = self._rows(cost, task)
        return np.where(width > 0, (cost - low) / np.where(width > 0, width, 1), cost * 0)

    def unscale(self, scaled: np.ndarray, task: np.ndarray) -> np.ndarray:
        """The inverse of `scale`, never below zero."""
        low, width = self._rows(scaled, task)
        return np.maximum(scaled * width + low, 0)

    def reprice(self, scaled: np.ndarray, task: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """Scaled costs [queries, llms] at `factor` [llms] times the prices; the others keep theirs to the last bit."""
        if (factor == 1).all():
            return scaled
        return np.where(factor == 1, scaled, self.scale(self.unscale(scaled, task) * factor, task)).astype(scaled.dtype)

    def _rows(self, cost: np.ndarray, task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (-1,) + (1,) * (cost.ndim - 1)
        low, high = self.low[task].reshape(shape), self.high[task].reshape(shape)
        return low, high - low


def fit_cost_scale(data: Interactions) -> CostScale:
    """The scale of the costs in `data`: training queries only; a task without costs takes the overall one."""
    outcomes = data.outcomes
    known = ~np.isnan(outcomes.cost)
    task, cost = data.queries.task[outcomes.query[known]], outcomes.cost[known].astype(np.float64)
    overall = (cost.min(), cost.max()) if len(cost) else (0.0, 0.0)
    low, high = np.full(len(data.tasks.ids) + 1, np.inf), np.full(len(data.tasks.ids) + 1, -np.inf)
    np.minimum.at(low, task, cost)
    np.maximum.at(high, task, cost)
    low[-1], high[-1] = overall
    unseen = low > high
    return CostScale(np.where(unseen, overall[0], low), np.where(unseen, overall[1], high))


def outcome_matrices(data: Interactions, scale: CostScale) -> tuple[np.ndarray, np.ndarray]:
    """Effect and scaled cost, float32 [queries, llms] each, NaN where missing."""
    outcomes = data.outcomes
    cost = scale.scale(outcomes.cost, data.queries.task[outcomes.query])
    return outcome_matrix(data, outcomes.effect), outcome_matrix(data, cost)


def outcome_matrix(data: Interactions, values: np.ndarray) -> np.ndarray:
    """Values of the outcomes [outcomes] as a matrix, float32 [queries, llms], NaN where missing."""
    matrix = np.full((len(data.queries.ids), len(data.llms.ids)), np.nan, np.float32)
    matrix[data.outcomes.query, data.outcomes.llm] = values
    return matrix


def build_decisions(data: Interactions, rows: np.ndarray) -> DecisionArrays:
    """The decisions `rows` of `data` as arrays."""
    decisions, feedback = data.decisions, data.feedback
    position = np.full(len(decisions.user), -1)
    position[rows] = np.arange(len(rows))
    at = position[feedback.decision]
    target = np.zeros((len(rows), len(data.llms.ids)), np.float32)
    rating = np.full(target.shape, np.nan, np.float32)
    thumb = np.full(target.shape, -1, np.int8)
    for kind, array in ((CHOICE, target), (RATING, rating), (THUMB, thumb)):
        of_kind = (at >= 0) & (feedback.kind == kind)
        array[at[of_kind], feedback.llm[of_kind]] = feedback.value[of_kind]
    offered = data.offers[decisions.offer[rows]]
    user, query, first = (column[rows] for column in (decisions.user, decisions.query, decisions.first))
    return DecisionArrays(user, query, offered, target, rating, first, thumb)


def build_rewards(data: Interactions, scale: CostScale, decisions: DecisionArrays) -> np.ndarray:
    """What each candidate would have been worth to the user, float32 [decisions, llms], NaN where not known.

    With a known preference w: w * effect - (1 - w) * scaled cost (arXiv 2511.16883). Without: the
    rating where there is one, else the share of the choice, else 1 for a thumb up and 0 for one down; nothing is known
    without feedback.
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


def choice_shares(decisions: DecisionArrays) -> np.ndarray:
    """The target where there was a choice, else the best of several rated share it; float32 [decisions, llms].

    One rated answer beside others that nobody saw, as a log has it, is no choice.
    """
    rating = np.where(np.isnan(decisions.rating), -np.inf, decisions.rating)
    best = (rating == rating.max(1, keepdims=True)) & np.isfinite(rating)
    best &= (np.isfinite(rating).sum(1) > 1)[:, None] | (decisions.offered.sum(1) == 1)[:, None]
    implied = best / np.maximum(best.sum(1, keepdims=True), 1)
    return np.where(decisions.target.any(1, keepdims=True), decisions.target, implied).astype(np.float32)
