"""Latent factors of the answers: properties that no feature measures, learnt from all users' feedback.

The users' posterior read backwards: here the users' weights are fixed and the answers' factors h move. Answer h has the
utility h . w_u + (other features), with loadings w_u, so one damped Newton step against the prior h ~ Normal(m, 1 /
precision) is

    h' = h + damping * (precision I + sum of curvature w_u w_u')^-1 (sum of residual w_u - precision (h - m))

summed over the decisions with the answer. The prior mean m is the mean factor of the LLM's answers.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from prouter_jax.graph.history import Histories, HistoryFeedback, mask_feedback, sum_over_users
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.batched_cholesky import solve
from prouter_jax.model.likelihood import Population, residuals, utilities

_LLM_STRENGTH = 0.5  # weight of zero in an LLM's mean factor, in answers
_DAMPING = 0.7  # all answers move in one step, each as if the others were fixed


def with_shown_first(
    features: AnswerFeatures, answers: Float[Array, "*decisions candidates features"], feedback: HistoryFeedback
) -> Float[Array, "*decisions candidates features"]:
    """Sets the feature "shown first" of a decision's candidates, where the features have it."""
    if not features.shown_first or feedback.shown_first is None:
        return answers
    return answers.at[..., features.shown_first_index].set(feedback.shown_first)


def loadings(
    features: AnswerFeatures, users: Float[Array, "*users features"], population_mean: Float[Array, " features"]
) -> Float[Array, "*users factors"]:
    """Returns the derivative of each user's utility in an answer's latent factors.

    It is the user's weights on the factors, plus the population's weights times the user's weight on the population
    utility where that is a feature.
    """
    own = users[..., features.factor_start :]
    if not features.population_utility:
        return own
    return own + users[..., features.population_index, None] * population_mean[features.factor_start :]


def update_latent_factors(
    graph: RouterGraph,
    histories: Histories,
    features: AnswerFeatures,
    population: Population,
    states: tuple[
        Float[Array, "users features"],
        Float[Array, "queries llms features"],
        Float[Array, "queries llms factors"],
    ],
    population_mean: Float[Array, " features"],
    precision: float,
) -> Float[Array, "queries llms factors"]:
    """Moves the latent factors of all answers by one damped Newton step.

    Args:
      states: the users' weights, the features of the answers and their latent factors.
      population_mean: mean weights of the population.
      precision: prior precision of each factor.
    """
    users, answers, latent_factors = states
    queries, llms, size = latent_factors.shape
    table = answers.reshape(-1, answers.shape[-1])
    weights = loadings(features, users, population_mean)

    def with_shared_queries(feedback, query, llm, visible, theta, loading):
        del llm
        feedback = mask_feedback(feedback, visible)
        residual, curvature = residuals(utilities(theta, answers[query]), feedback, population)
        outer = (loading[:, None, :] * loading[None, :, :]).reshape(size**2, -1)
        row = (query[:, None] * llms + jnp.arange(llms)).reshape(-1)
        return tuple(
            sum_by_answer(x.reshape(-1, x.shape[-1]) @ y.T, row) for x, y in ((residual, loading), (curvature, outer))
        )

    def with_own_queries(feedback, query, llm, visible, theta, loading):
        row = query[..., None] * llms + llm
        candidates = with_shown_first(features, table[row], feedback)

        def of_user(theta, candidates, feedback, visible):
            return residuals(utilities(theta, candidates), mask_feedback(feedback, visible), population)

        residual, curvature = jax.vmap(of_user)(theta, candidates, feedback, visible)
        outer = (loading[:, :, None] * loading[:, None, :]).reshape(len(loading), -1)
        return tuple(
            sum_by_answer((x[..., None] * y[:, None, None, :]).reshape(-1, y.shape[-1]), row.reshape(-1))
            for x, y in ((residual, loading), (curvature, outer))
        )

    def sum_by_answer(values, row):
        return jax.ops.segment_sum(values, row, len(table))

    function = with_shared_queries if graph.layout.shared_queries else with_own_queries
    gradient, curvature = sum_over_users(graph, function, histories, graph.visibility.decisions, users, weights)
    curvature = curvature.reshape(queries, llms, size, size)
    mean = llm_mean_factors(latent_factors, jnp.trace(curvature, axis1=-2, axis2=-1))
    return newton_update(latent_factors, gradient.reshape(queries, llms, size), curvature, mean, precision)


def llm_mean_factors(
    latent_factors: Float[Array, "queries llms factors"], information: Float[Array, "queries llms"]
) -> Float[Array, "llms factors"]:
    """Returns the mean factors of each LLM's answers with feedback, shrunk towards zero.

    Args:
      information: trace of each answer's curvature; above 0 for an answer with feedback.
    """
    has_feedback = (information > 0).astype(latent_factors.dtype)
    return jnp.einsum("ql,qlt->lt", has_feedback, latent_factors) / (has_feedback.sum(0) + _LLM_STRENGTH)[:, None]


def newton_update(
    latent_factors: Float[Array, "queries llms factors"],
    gradient: Float[Array, "queries llms factors"],
    curvature: Float[Array, "queries llms factors factors"],
    mean: Float[Array, "llms factors"],
    precision: float,
) -> Float[Array, "queries llms factors"]:
    """Returns the factors after one damped Newton step, each answer on its own; equation in the module docstring.

    Args:
      gradient, curvature: of the log-likelihood in the factors, summed over users.
      mean: prior mean, `llm_mean_factors`.
      precision: prior precision of each factor.
    """
    gradient = gradient - precision * (latent_factors - mean)
    return latent_factors + _DAMPING * solve(curvature + precision * jnp.eye(latent_factors.shape[-1]), gradient)
