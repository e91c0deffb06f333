"""Histories on queries that training did not have: their decisions are read through the prediction for such queries.

An unseen query has a text but no answers. The choice probabilities of a user with weights theta are predicted there
from those on known queries i (`query_kernel`, whose weights w_i of the known queries sum to 1):

    p(c)   =  sum over i of w_i softmax(sharpness theta . a_i)_c

so a choice tells of theta what it tells of this prediction: a query unlike all others tells little. A Newton step takes
log p as the utility of the candidates and its derivative in theta as their features:

    b_c    =  d log p(c) / d theta  =  sharpness / p(c) * sum over i of w_i softmax_c (a_ic - sum of softmax_l a_il)

The errors of these predictions are much alike for all decisions of a user, so each counts for `CHOICE_WEIGHT` of a
decision; the value is the best of three on validation users of AlpacaEval (log loss, three seeds). Ratings and thumbs
are of the expected answer: its features are regressed. The variance v of what is not expected adds to the noise of
ratings, and thumbs have the mean probability over it (MacKay 1992, the evidence framework for classification):

    P(up)  =  sigmoid(kappa sharpness (u - threshold)),   kappa = 1 / sqrt(1 + pi / 8 sharpness^2 v)
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from prouter_jax.graph.history import HistoryFeedback, mask_feedback
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.latent_factors import with_shown_first
from prouter_jax.model.likelihood import Population
from prouter_jax.model.posterior import linearised_mode

CHOICE_WEIGHT = 0.6  # of a decision
_TOLERANCE = 1e-4  # of a Newton step's change of a weight, at which the steps end; rounding moves weights by 2e-5
_LEAST_SHARE = 0.01  # of a predicted choice probability, which a regression may make negative


@struct.dataclass
class ChoicePrediction:
    """What a history's choices on unseen queries are predicted from.

    Attributes:
      weights: of the known queries in the prediction of each decision's query, [decisions, known].
      answers: features of the answers to the known queries, [known, llms, features].
      sharpness: inverse temperature of predicted choices, in 1 / utility.
    """

    weights: jax.Array
    answers: jax.Array
    sharpness: jax.Array

    def shares(self, theta: Float[Array, " features"]) -> Float[Array, "decisions llms"]:
        """Returns the predicted choice probabilities, at least `_LEAST_SHARE`."""
        return jnp.maximum(self.weights @ jax.nn.softmax(self.sharpness * (self.answers @ theta), -1), _LEAST_SHARE)

    def linearise(
        self, theta: Float[Array, " features"]
    ) -> tuple[Float[Array, "decisions llms"], Float[Array, "decisions llms features"]]:
        """Returns the logs of the predicted choice probabilities and their derivatives in theta."""
        known = jax.nn.softmax(self.sharpness * (self.answers @ theta), -1)
        mean = jnp.einsum("kl,klp->kp", known, self.answers)
        slopes = self.sharpness * known[..., None] * (self.answers - mean[:, None])
        change = (self.weights @ slopes.reshape(len(slopes), -1)).reshape(-1, *slopes.shape[1:])
        share = self.weights @ known
        floored = jnp.maximum(share, _LEAST_SHARE)
        return jnp.log(floored), jnp.where((share > _LEAST_SHARE)[..., None], change / floored[..., None], 0.0)


def mode_with_unseen(
    features: AnswerFeatures,
    answers: Float[Array, "decisions candidates features"],
    llm: Float[Array, "decisions candidates"],
    feedback: HistoryFeedback,
    at: Int[Array, " predicted"],
    prediction: ChoicePrediction,
    population: Population,
    steps: int,
    kappa: Float[Array, "decisions candidates"] | float = 1.0,
) -> Float[Array, " features"]:
    """Infers the posterior mode of a user with decisions on unseen queries.

    Args:
      answers: features of the candidates' answers, expected ones for unseen queries.
      llm: row of each candidate's LLM.
      feedback: masked.
      at: the decisions whose choices are predicted, rows of `answers`; -1 for padding.
      prediction: of the queries of these.
      population: prior and scales of the likelihood.
      steps: number of Newton steps from the prior mean, at most.
      kappa: from `thumb_kappa`.
    """
    of_unseen, llm = jax.tree.map(lambda x: x[at], (feedback, llm))
    choices = _only_choices(of_unseen, CHOICE_WEIGHT * (at >= 0))
    target = jnp.asarray(feedback.target).at[drop_padding(at, len(answers))].set(0.0, mode="drop")
    joined = jax.tree.map(lambda *x: jnp.concatenate(x), dataclasses.replace(feedback, target=target), choices)
    fixed = with_shown_first(features, answers, feedback)

    def linearise(theta):
        logits, slopes = prediction.linearise(theta)
        slopes = jnp.take_along_axis(slopes, llm[..., None], 1) / population.sharpness
        utility = jnp.take_along_axis(logits, llm, 1) / population.sharpness
        slopes = with_shown_first(features, slopes, of_unseen)
        if features.shown_first and of_unseen.shown_first is not None:
            utility += theta[features.shown_first_index] * of_unseen.shown_first
        own, own_slopes = moderate(theta, fixed, kappa, population)
        return jnp.concatenate([own, utility]), jnp.concatenate([own_slopes, slopes])

    return linearised_mode(population.mean, linearise, joined, population, steps, tolerance=_TOLERANCE)


def drop_padding(at: Int[Array, " rows"], size: int) -> Int[Array, " rows"]:
    """Returns rows with `size`, which `mode="drop"` leaves out, in place of -1, which would be the last row."""
    return jnp.where(at < 0, size, at)


def weaken(feedback: HistoryFeedback, unseen: Float[Array, " decisions"], variance, population: Population):
    """Weakens ratings on unseen queries by the variance of the utility of an answer that nobody observed.

    A rating's noise variance becomes 1 / rating_precision + variance.
    """
    if feedback.rated is None:
        return feedback
    factor = 1 / (1 + population.rating_precision * variance * unseen[:, None])
    return dataclasses.replace(feedback, rated=feedback.rated * factor)


def thumb_kappa(
    feedback: HistoryFeedback, unseen: Float[Array, " decisions"], variance, population: Population
) -> Float[Array, "decisions candidates"] | float:
    """Returns kappa of the module docstring where a thumb is on an answer to an unseen query, else 1."""
    if feedback.thumbed is None:
        return 1.0
    kappa = 1 / jnp.sqrt(1 + jnp.pi / 8 * population.sharpness**2 * variance)
    return jnp.where(feedback.thumbed * unseen[:, None] > 0, kappa, 1.0)


def moderate(
    theta: Float[Array, " features"],
    answers: Float[Array, "decisions candidates features"],
    kappa: Float[Array, "decisions candidates"] | float,
    population: Population,
) -> tuple[Float[Array, "decisions candidates"], Float[Array, "decisions candidates features"]]:
    """Returns the utilities that enter the likelihood, drawn towards the threshold by kappa, and their derivatives."""
    utility = population.threshold + kappa * (answers @ theta - population.threshold)
    return utility, jnp.asarray(kappa)[..., None] * answers


def unexpected_variance(deviations: Float[Array, "known llms features"], population: Population) -> Float[Array, ""]:
    """Returns the variance of a user's utility around the task's mean of the LLM, over known answers and users.

    Args:
      deviations: features of the known answers minus the means of their LLM on their task.
    """
    covariance = jnp.linalg.inv(population.precision) + jnp.outer(population.mean, population.mean)
    return jnp.einsum("klp,pq,klq->kl", deviations, covariance, deviations).mean()


def _only_choices(feedback: HistoryFeedback, weight: Float[Array, " decisions"]) -> HistoryFeedback:
    """The choices of decisions, weighted; nothing else."""
    masked = mask_feedback(feedback, (weight > 0).astype(jnp.float32))
    zero = {name: None if (value := getattr(feedback, name)) is None else jnp.zeros_like(value) for name in _NUMBERS}
    return dataclasses.replace(masked, target=feedback.target * weight[:, None], **zero)


_NUMBERS = ("rating", "rated", "thumb", "thumbed")
