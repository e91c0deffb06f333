"""With which probability the logging policy picked each candidate, where the log does not say: a model of it.

Multinomial logistic regression over the candidates on offer, p(a | x) = softmax over candidates of (x W)_a, by L-BFGS
with a small ridge. It is calibrated on the log itself: summed over the decisions, each feature weighs as much with the
predicted picks as with the real ones. It knows the contexts alone: had the logging policy looked at something else that
also moves rewards, all estimates with these propensities would be wrong, and no interval would tell.
"""

import dataclasses

import numpy as np

from prouter_jax.evaluation.off_policy.log import Log

_RIDGE = 0.1  # precision of a normal prior of each weight: features are standardised
_MOST_STEPS = 1000
_CLOSE = 1e-6  # slope of a decision's mean log likelihood at which it is fitted
_ROWS_AT_ONCE = 1 << 14


@dataclasses.dataclass(frozen=True)
class Propensities:
    """What was fitted.

    Attributes:
      chances: float [decisions, llms], probabilities of the candidates; zero elsewhere.
      contexts: [decisions, features].
      surprise: picks minus chances, [decisions, llms].
      curvature: of the penalised log likelihood over the number of decisions, [features * llms, features * llms].
    """

    chances: np.ndarray
    contexts: np.ndarray
    surprise: np.ndarray
    curvature: np.ndarray

    def correction(self, slope: np.ndarray) -> np.ndarray:
        """How the error of the fitted weights moves a mean, told decision by decision: [decisions].

        Of a mean of terms that fall by `slope` [decisions] with the log of the served LLM's chance. The influence of
        decision i is -(mean of slope * score)' curvature^-1 score_i (Newey & McFadden 1994, section 6).
        """
        pull = self.contexts.T @ (slope[:, None] * self.surprise) / len(slope)
        moved = np.linalg.solve(self.curvature, pull.T.reshape(-1)).reshape(pull.T.shape).T
        return -((self.contexts @ moved) * self.surprise).sum(1)


def fit_propensities(log: Log, contexts: np.ndarray) -> Propensities:
    """The model of the logging policy that makes the log's picks most likely.

    Args:
      contexts: [decisions, features], see `contexts.build_contexts`.
    """
    from scipy import optimize  # takes 20 MB, which those who never judge a log are spared

    picks = np.eye(log.offered.shape[1])[log.served]
    shape = (contexts.shape[1], picks.shape[1])

    def negative_log_likelihood(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the penalised log likelihood, of a decision, and its slope."""
        weights = flat.reshape(shape)
        chances = _chances(contexts, weights, log.offered)
        fit = np.log(np.maximum(log.of_served(chances), 1e-300)).sum() - _RIDGE / 2 * np.square(weights).sum()
        slope = contexts.T @ (picks - chances) - _RIDGE * weights
        return -float(fit) / len(picks), -slope.reshape(-1) / len(picks)

    start, options = np.zeros(shape[0] * shape[1]), {"maxiter": _MOST_STEPS, "gtol": _CLOSE, "ftol": 1e-13}
    weights = optimize.minimize(negative_log_likelihood, start, jac=True, method="L-BFGS-B", options=options).x.reshape(
        shape
    )
    chances = _chances(contexts, weights, log.offered)
    return Propensities(chances, contexts, picks - chances, _curvature(contexts, chances) / len(picks))


def _chances(contexts: np.ndarray, weights: np.ndarray, offered: np.ndarray) -> np.ndarray:
    logits = np.where(offered, contexts @ weights, -np.inf)
    unnormed = np.exp(logits - logits.max(1, keepdims=True))
    return unnormed / unnormed.sum(1, keepdims=True)


def _curvature(contexts: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Minus the second derivative of the penalised log likelihood; weights LLM by LLM."""
    features, llms = contexts.shape[1], chances.shape[1]
    total = _RIDGE * np.eye(features * llms)
    for start in range(0, len(contexts), _ROWS_AT_ONCE):
        some, chance = contexts[start : start + _ROWS_AT_ONCE], chances[start : start + _ROWS_AT_ONCE]
        spread = (chance[:, :, None] * some[:, None, :]).reshape(len(some), -1)
        total -= spread.T @ spread
        for llm in range(llms):
            at = slice(llm * features, (llm + 1) * features)
            total[at, at] += some.T @ spread[:, at]
    return total
