"""A model of the logging policy, for logs without propensities: multinomial logistic regression on the contexts.

p(a | x) = softmax over candidates of (x W)_a, fitted by L-BFGS with a small ridge penalty. The fit is calibrated on the
log: the sum of each feature over the decisions is the same under predicted and under actual selections. It uses the
contexts alone. If the logging policy depended on another feature that also affects rewards, all estimates with these
propensities are biased, and the intervals do not show it.

Checks of positivity (overlap): actions with zero propensity cannot be evaluated from the log.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.evaluation.off_policy.log import Log

_RIDGE = 0.1  # precision of the normal prior of each weight; features are standardised
_MAX_STEPS = 1000
_TOLERANCE = 1e-6  # gradient of a decision's mean log-likelihood at convergence
_BLOCK = 1 << 14

DETERMINISTIC = 0.999  # propensity from which a selection counts as deterministic
_MAX_DETERMINISTIC = 0.05  # share of deterministic decisions that may be left out
_MIN_REPEATS = 5  # decisions of a context that show whether it always gets the same LLM
_MIN_REPEATED = 0.5  # share of decisions in such contexts from which the check is decisive
_MAX_FITTED = 0.95  # largest mean fitted propensity of the served LLMs
_CONTEXTS = (
    *(("candidates",), ("candidates", "task"), ("candidates", "user")),
    *(("candidates", "task", "user"), ("candidates", "query")),
)
_REASON = "actions with zero propensity cannot be evaluated from the log"


@dataclasses.dataclass(frozen=True)
class Propensities:
    """A fitted model of the logging policy.

    Attributes:
      probabilities: of the candidates; 0 for other LLMs.
      contexts: features of the decisions.
      residuals: one-hot served LLM minus probabilities.
      hessian: of the penalised negative log-likelihood, divided by the number of decisions; weights LLM by LLM.
    """

    probabilities: Float[np.ndarray, "decisions llms"]
    contexts: Float[np.ndarray, "decisions features"]
    residuals: Float[np.ndarray, "decisions llms"]
    hessian: Float[np.ndarray, "weights weights"]

    def correction(self, slope: Float[np.ndarray, " decisions"]) -> Float[np.ndarray, " decisions"]:
        """Influence of each decision on a mean through the fitted weights.

        The influence of decision i is -(mean of slope * score)' hessian^-1 score_i (Newey & McFadden 1994, section 6).

        Args:
          slope: minus the derivative of each term of the mean by the log probability of the served LLM.
        """
        gradient = self.contexts.T @ (slope[:, None] * self.residuals) / len(slope)
        step = np.linalg.solve(self.hessian, gradient.T.reshape(-1)).reshape(gradient.T.shape).T
        return -((self.contexts @ step) * self.residuals).sum(1)


def fit_propensities(log: Log, contexts: Float[np.ndarray, "decisions features"]) -> Propensities:
    """Fits the model of the logging policy by penalised maximum likelihood.

    Args:
      log: the logged decisions; their own propensities are not used.
      contexts: see `log.build_contexts`.
    """
    from scipy import optimize  # 20 MB that other commands do not need

    served = np.eye(log.offered.shape[1])[log.served]
    shape = (contexts.shape[1], served.shape[1])

    def negative_log_likelihood(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean penalised negative log-likelihood of a decision and its gradient."""
        weights = flat.reshape(shape)
        probabilities = _probabilities(contexts, weights, log.offered)
        likelihood = np.log(np.maximum(log.at_served(probabilities), 1e-300)).sum()
        gradient = contexts.T @ (served - probabilities) - _RIDGE * weights
        penalised = likelihood - _RIDGE / 2 * np.square(weights).sum()
        return -float(penalised) / len(served), -gradient.reshape(-1) / len(served)

    start, options = np.zeros(shape[0] * shape[1]), {"maxiter": _MAX_STEPS, "gtol": _TOLERANCE, "ftol": 1e-13}
    found = optimize.minimize(negative_log_likelihood, start, jac=True, method="L-BFGS-B", options=options)
    probabilities = _probabilities(contexts, found.x.reshape(shape), log.offered)
    hessian = _hessian(contexts, probabilities) / len(served)
    return Propensities(probabilities, contexts, served - probabilities, hessian)


def check_logged_propensities(propensity: Float[np.ndarray, " decisions"]) -> Bool[np.ndarray, " decisions"]:
    """Mask of the decisions that were not deterministic, by their logged propensities.

    Raises:
      ValueError: if more than 5 % of the decisions were deterministic.
    """
    certain = propensity >= DETERMINISTIC
    if certain.mean() > _MAX_DETERMINISTIC:
        raise ValueError(
            f"log: expected a stochastic logging policy, found {certain.sum()} of {len(certain)} decisions with "
            f"propensity 1: {_REASON}"
        )
    return ~certain


def check_contexts(log: Log) -> None:
    """Checks a log without propensities for LLMs that follow from candidates, task, user and query.

    Raises:
      ValueError: if repeated contexts always get the same LLM.
    """
    _, offer = distinct_sets(log.offered)
    by_name = {"candidates": offer, "task": log.task, "user": log.user, "query": log.query}
    for names in _CONTEXTS:
        repeated, same = _repeats(np.stack([by_name[name] for name in names], 1), log.served)
        if repeated.mean() >= _MIN_REPEATED and same[repeated].mean() >= DETERMINISTIC:
            raise ValueError(
                f"log: expected a stochastic logging policy, found that the same {', '.join(names)} always get the "
                f"same LLM ({repeated.sum()} of {len(same)} decisions): {_REASON}"
            )


def check_fitted_propensities(propensity: Float[np.ndarray, " decisions"]) -> None:
    """Checks the fitted propensities of the served LLMs.

    Raises:
      ValueError: if the contexts predict nearly all selections.
    """
    if propensity.mean() > _MAX_FITTED:
        raise ValueError(
            f"log: expected a stochastic logging policy, found LLMs that task, candidates, length and user predict "
            f"with a mean probability of {propensity.mean():.3f}: {_REASON}"
        )


def _probabilities(contexts: np.ndarray, weights: np.ndarray, offered: np.ndarray) -> np.ndarray:
    """Softmax over the candidates, [decisions, llms]."""
    logits = np.where(offered, contexts @ weights, -np.inf)
    unnormalised = np.exp(logits - logits.max(1, keepdims=True))
    return unnormalised / unnormalised.sum(1, keepdims=True)


def _hessian(contexts: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Second derivative of the penalised negative log-likelihood by the weights, LLM by LLM."""
    features, llms = contexts.shape[1], probabilities.shape[1]
    total = _RIDGE * np.eye(features * llms)
    for start in range(0, len(contexts), _BLOCK):
        x, p = contexts[start : start + _BLOCK], probabilities[start : start + _BLOCK]
        product = (p[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        total -= product.T @ product
        for llm in range(llms):
            block = slice(llm * features, (llm + 1) * features)
            total[block, block] += x.T @ product[:, block]
    return total


def _repeats(context: np.ndarray, served: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether a decision's context is frequent, and whether it got the context's usual LLM: bool [decisions] each."""
    _, row = np.unique(context, axis=0, return_inverse=True)
    count = np.zeros((row.max() + 1, served.max() + 1))
    np.add.at(count, (row, served), 1)
    return (count.sum(1) >= _MIN_REPEATS)[row], (count.argmax(1)[row] == served)
