"""`LlmPrior`: expected outcomes of LLMs that training did not offer, before and after some outcomes are observed.

`llm_regression` predicts effect and cost of a new LLM as weighted sums of those of the trained LLMs. The weights are
learnt on mean outcomes by task, and the same weights predict the outcome of each query. Observed outcomes correct a
prediction as they correct a mean: by shrunken means of their residuals, where a prediction counts as many observations
as its error variance is worth.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float

from prouter_jax.model.answer_features import COST, EFFECT, Observed, task_means
from prouter_jax.model.llm_regression import LlmProperties, predict_by_kernel, predict_by_price

_PREDICTED = {EFFECT: predict_by_kernel, COST: predict_by_price}


@struct.dataclass
class LlmPrior:
    """Predicted effect and cost of new LLMs.

    Attributes:
      weights: of each trained LLM's outcomes in those of each LLM; zero where nothing is predicted, [2, llms, llms].
      strength: weight of a prediction in a shrunken mean, in observations, [2, llms].
      error: standard error of each predicted effect, [llms].
    """

    weights: Array
    strength: Array
    error: Array

    def expected(
        self, observed: Observed, expected: Float[Array, "queries llms outcomes"]
    ) -> Float[Array, "queries llms outcomes"]:
        """Returns the expected outcomes, where those of new LLMs are the predicted ones.

        Args:
          expected: the expected outcomes without predictions.
        """
        size = len(self.weights)
        values, seen = observed.values[..., :size], observed.seen[..., :size]
        filled = jnp.where(seen > 0, values, expected[..., :size])
        predicted = jnp.einsum("onl,qlo->qno", self.weights, filled)
        residual = task_means(values - predicted, seen, observed.task, observed.num_tasks, 0.0, self.strength.T)
        found = jnp.where(self._is_predicted().T, predicted + residual[observed.task], expected[..., :size])
        return expected.at[..., :size].set(found)

    def effect_errors(self, seen: Float[Array, "queries llms"], errors: Float[Array, " llms"]) -> Float[Array, " llms"]:
        """Returns the standard errors of mean effects, where those of new LLMs are those of the predictions.

        Args:
          seen: 1 where an effect is observed.
          errors: the standard errors without predictions.
        """
        strength = self.strength[EFFECT]
        predicted = self.error * jnp.sqrt(strength / (seen.sum(0) + strength))
        return jnp.where(self._is_predicted()[EFFECT], predicted, errors)

    def _is_predicted(self) -> Bool[Array, "2 llms"]:
        return (self.weights != 0).any(-1)


def make_llm_prior(observed: Observed, properties: LlmProperties, new: Bool[np.ndarray, " llms"]) -> LlmPrior | None:
    """Learns the predictions from the outcomes of the trained LLMs; None if nothing can be predicted.

    Args:
      new: True for the LLMs that training did not offer.
    """
    means = task_means(observed.values, observed.seen, observed.task, observed.num_tasks)
    noise, count = _noise(observed, means)
    llms = len(new)
    weights, strength, error = np.zeros((2, llms, llms)), np.ones((2, llms)), np.zeros(llms)
    for column, predict in _PREDICTED.items():
        known = ~new & (count[:, column] > 0)
        found = predict(properties, np.asarray(means[..., column], np.float64).T, known, new)
        if found is None:
            continue
        weights[column] = found.weights
        learnt = found.weights.any(0)
        typical = (noise[learnt, column] / found.scale[learnt]).mean() * found.scale
        strength[column] = np.where(found.variance > 0, typical / np.where(found.variance > 0, found.variance, 1), 1.0)
        error = np.sqrt(found.variance) if column == EFFECT else error
    if not weights.any():
        return None
    return LlmPrior(*(jnp.asarray(x, jnp.float32) for x in (weights, strength, error)))


def _noise(observed: Observed, means: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Variance of each LLM's outcomes around its mean on their tasks, and their number; [llms, outcomes] each."""
    seen = np.asarray(observed.seen)
    squares = np.square(np.asarray(observed.values - means[observed.task])) * seen
    return squares.sum(0) / np.maximum(seen.sum(0), 1), seen.sum(0)
