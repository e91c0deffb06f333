"""What users' choices say about the answers: tastes that no text shows, moved by everybody's surprise.

The messages of `reader`, read backwards. An answer's tastes h are weighed by each user's weights on them, so
h' = h + (prior precision + sum of w t t')^-1 (sum of surprise * t - precision * (h - m)) over the users who met the
answer, where m is the mean of what the LLM's other answers have: an answer that few met is taken for a usual one.
"""

import jax
import jax.numpy as jnp

from prouter_jax.graph.history import Histories, HistoryFeedback, only, sum_over_users
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.posterior import Population, residuals, solve, utilities

_LLM_STRENGTH = 0.5  # answers without any taste that an LLM's mean is shrunk by
_DAMPING = 0.7  # the tastes of all answers move at once, each as if the others stood still


def with_sides(columns: AnswerFeatures, answers: jax.Array, feedback: HistoryFeedback) -> jax.Array:
    """The properties [..., candidates, properties] of a decision's candidates with the side each was shown on."""
    if not columns.sides or feedback.shown_first is None:
        return answers
    return answers.at[..., columns.side].set(feedback.shown_first)


def loadings(columns: AnswerFeatures, users: jax.Array, population_mean: jax.Array) -> jax.Array:
    """How much each user's utility moves with an answer's tastes: [users, tastes]."""
    own = users[:, columns.latent_factors_at :]
    if not columns.population_mean:
        return own
    return own + users[:, columns.population_mean_at, None] * population_mean[columns.latent_factors_at :]


def update_latent_factors(
    graph: RouterGraph,
    histories: Histories,
    columns: AnswerFeatures,
    population: Population,
    states: tuple[jax.Array, jax.Array, jax.Array],
    population_mean: jax.Array,
    precision: float,
) -> jax.Array:
    """Tastes after one damped Newton step, [queries, llms, tastes].

    Args:
      states: users [users, properties], answers [queries, llms, properties], tastes [queries, llms, tastes].
      precision: of the tastes before anybody said anything.
    """
    users, answers, latent_factors = states
    shape, size = answers.shape[:2], latent_factors.shape[-1]
    table = answers.reshape(-1, answers.shape[-1])
    weights = loadings(columns, users, population_mean)

    def on_shared(feedback, query, llm, visible, theta, t):
        del llm
        feedback = only(feedback, visible)
        residual, weight = residuals(utilities(theta, answers[query]), feedback, population)
        outer = (t[:, None, :] * t[None, :, :]).reshape(size**2, -1)
        push, curvature = (x.reshape(-1, x.shape[-1]) @ y.T for x, y in ((residual, t), (weight, outer)))
        place = (query[:, None] * shape[1] + jnp.arange(shape[1])).reshape(-1)
        return _to_answers(push, place), _to_answers(curvature, place)

    def on_own(feedback, query, llm, visible, theta, t):
        place = query[..., None] * shape[1] + llm
        mine = with_sides(columns, table[place], feedback)

        def of_user(theta, mine, feedback, visible):
            return residuals(utilities(theta, mine), only(feedback, visible), population)

        residual, weight = jax.vmap(of_user)(theta, mine, feedback, visible)
        outer = (t[:, :, None] * t[:, None, :]).reshape(len(t), -1)
        push, curvature = (
            (x[..., None] * y[:, None, None, :]).reshape(-1, y.shape[-1]) for x, y in ((residual, t), (weight, outer))
        )
        return _to_answers(push, place.reshape(-1)), _to_answers(curvature, place.reshape(-1))

    def _to_answers(values, place):
        return jax.ops.segment_sum(values, place, len(table))

    function = on_shared if graph.layout.shared_queries else on_own
    push, curvature = sum_over_users(graph, function, histories, graph.visibility.decisions, users, weights)
    curvature = curvature.reshape(*shape, size, size)
    mean = usual(latent_factors, jnp.trace(curvature, axis1=-2, axis2=-1))
    return stepped(latent_factors, push.reshape(*shape, size), curvature, mean, precision)


def usual(latent_factors: jax.Array, heard: jax.Array) -> jax.Array:
    """The mean tastes of each LLM's answers that somebody met, shrunk towards none: [llms, tastes].

    Args:
      heard: above 0 where somebody met the answer, [queries, llms].
    """
    offers = (heard > 0).astype(latent_factors.dtype)
    return jnp.einsum("ql,qlt->lt", offers, latent_factors) / (offers.sum(0) + _LLM_STRENGTH)[:, None]


def stepped(
    latent_factors: jax.Array, push: jax.Array, curvature: jax.Array, mean: jax.Array, precision: float
) -> jax.Array:
    """Tastes [queries, llms, tastes] after the step that messages ask for, each answer on its own.

    Args:
      push: summed, of the same shape; curvature: summed, [queries, llms, tastes, tastes].
      mean: what `usual` returns, [llms, tastes].
    """
    push = push - precision * (latent_factors - mean)
    return latent_factors + _DAMPING * solve(curvature + precision * jnp.eye(latent_factors.shape[-1]), push)
