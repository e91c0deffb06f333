"""Extension of a trained network to a graph with more queries and LLMs; learns the intercepts of new LLMs.

The answers of a new LLM have the observed features; effect and cost are predicted where they were not observed
(`llm_prior`). Beside these, three numbers per new LLM are learnt by Newton steps from the decisions in which it was on
offer, with the users' weights inferred in between:

    intercept b   its weight in the population mean, from all choices as if by a user without history; prior: predicted
                  from the LLM's properties (`llm_regression`), else mean and variance of those of the trained LLMs
    shrinkage s   from each user's own choices; prior: mean 1/2 and variance 1/12, as of the uniform distribution on
                  [0, 1]
    factor c      of how much more the utility of a new LLM varies than that of others (`llm_states.NewLlms`), from each
                  user's own choices; prior: mean and standard deviation a quarter of the sharpness

The intercept is not learnt from users' own predictions: it would make up for what these lack, and the choice for users
without history would be worse for it.

Users' weights are learnt on answers of the trained LLMs and extrapolate badly to answers with other mean features. Let
d be the mean features of the new LLM's answers minus those of the trained LLMs'. The prior of a user's own weight on
the new LLM is centred at -(1 - s) theta . d, which cancels a share 1 - s of the extrapolation theta . d.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.compilation import jit_program
from prouter_jax.graph.history import map_over_users, mask_feedback, read_histories, sum_by_llm
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model import llm_states
from prouter_jax.model.answer_features import AnswerFeatures, observe
from prouter_jax.model.latent_factors import with_shown_first
from prouter_jax.model.likelihood import residuals, utilities
from prouter_jax.model.llm_prior import make_llm_prior
from prouter_jax.model.llm_regression import llm_properties, predict_by_kernel
from prouter_jax.model.llm_states import NewLlms
from prouter_jax.model.rounds import Rounds

_MAX_ROUNDS = 8
_USER_STEPS = 4  # Newton steps of the users' weights in a round, from those of the round before
_MIN_INTERCEPT_VARIANCE = 0.05
_PRIOR_SHRINKAGE, _SHRINKAGE_VARIANCE = 1 / 2, 1 / 12
_PRIOR_FACTOR, _FACTOR_ERROR = 1 / 4, 1 / 4  # of the sharpness
_TOLERANCE = 1e-3  # rounds end when no number moves by more


def extend_network(network: Rounds, params: dict, graph: RouterGraph) -> tuple[Rounds, dict]:
    """Returns the network and parameters for a graph with more queries or LLMs; unchanged if it has no more.

    The weights of the training users are kept.

    Args:
      graph: its queries and LLMs start with those of the trained network.
    """
    num_llms = graph.layout.num("llm")
    new = np.pad(np.asarray(params["llm_offers"]) == 0, (0, num_llms - network.llms), constant_values=True)
    features = _with_own_columns(network, new)
    extended = dataclasses.replace(network, features=features, queries=graph.layout.num("query"), llms=num_llms)
    if extended == network and not new.any():
        return network, params
    params = _pad_params(network, extended, jax.tree.map(np.asarray, params))
    if not new.any() or new.all():
        return extended, params
    llm_prior = make_llm_prior(observe(graph), llm_properties(graph), new)
    params = params if llm_prior is None else {**params, "llm_prior": llm_prior}
    if not features.llm_state:
        return extended, params
    params = _with_prior_of_trained(extended, params, graph, new)
    return extended, _learn(extended, params, graph, new)


def _with_own_columns(network: Rounds, new: np.ndarray) -> AnswerFeatures:
    """The features with a column for each new LLM that has none."""
    features = network.features
    if not features.llm_state:
        return features
    one_hot = features.llm_state == network.llms
    return dataclasses.replace(features, own_columns=len(new) - network.llms if one_hot else int(new.sum()))


def _pad_params(network: Rounds, extended: Rounds, params: dict) -> dict:
    """Parameters with zeros for new queries and LLMs, and a prior precision of 1."""
    old, new = network.features, extended.features
    extra, at = new.own_columns - old.own_columns, old.llm_columns.stop
    size = ((0, extended.queries - network.queries), (0, extended.llms - network.llms), (0, 0))
    precision = np.insert(np.insert(params["precision"], [at] * extra, 0.0, 0), [at] * extra, 0.0, 1)
    rows = np.arange(at, at + extra)
    precision[rows, rows] = 1.0
    return {
        **params,
        "population_mean": np.insert(params["population_mean"], [at] * extra, 0.0),
        "precision": precision,
        "latent_factors": np.pad(params["latent_factors"], size),
        "llm_offers": np.pad(params["llm_offers"], (0, extended.llms - network.llms)),
        "users": np.insert(params["users"], [at] * extra, 0.0, 1),
    }


def _with_prior_of_trained(network: Rounds, params: dict, graph: RouterGraph, new: np.ndarray) -> dict:
    """Gives each new LLM an intercept and its own column the mean prior variance of the trained LLMs, uncorrelated.

    The intercept is predicted from the properties of the LLM if these tell anything, else the mean of the trained LLMs.

    Args:
      new: True for the new LLMs, [llms].
    """
    states = np.asarray(network.bind(params).llm_states(llm_states.llm_inputs(graph)))
    own, columns = _own(network.features, new)[new], network.features.llm_columns
    covariance = np.linalg.inv(params["precision"].astype(np.float64))
    variance = np.einsum("la,ab,lb->l", states, covariance[columns, columns], states)[~new].mean()
    covariance[own], covariance[:, own] = 0.0, 0.0
    covariance[own, own] = variance
    population_mean = params["population_mean"].copy()
    population_mean[own] = 0.0
    intercepts = states @ population_mean[columns]
    expected = np.where(new, intercepts[~new].mean(), intercepts)
    found = predict_by_kernel(llm_properties(graph), expected[:, None].astype(np.float64), ~new, new)
    if found is not None:
        expected = np.where(new, found.weights @ expected, expected)
    population_mean[own] = (expected - intercepts)[new]
    return {**params, "population_mean": population_mean, "precision": np.linalg.inv(covariance).astype(np.float32)}


def _learn(network: Rounds, params: dict, graph: RouterGraph, new: np.ndarray) -> dict:
    """Newton steps on intercepts, shrinkages and factors of the new LLMs, users' weights inferred in between."""
    own, columns = _own(network.features, new), network.features.llm_columns
    states = np.asarray(network.bind(params).llm_states(llm_states.llm_inputs(graph)))
    intercepts = states @ params["population_mean"][columns]
    variance = max(float(intercepts[~new].var()), _MIN_INTERCEPT_VARIANCE)
    prior_precision = 1 / np.array([variance, _SHRINKAGE_VARIANCE, (_FACTOR_ERROR * network.sharpness) ** 2])
    offset, current = _feature_offsets(network, params, graph, new), jax.tree.map(jnp.asarray, params)
    start = np.array([0.0, _PRIOR_SHRINKAGE, _PRIOR_FACTOR * network.sharpness])
    moved = np.zeros((3, len(new)))  # intercept, shrinkage, factor; from their prior means
    users = network.bind(params).cold_start_users(graph)
    for _ in range(_MAX_ROUNDS):
        shrinkage, factor = (start[:, None] + moved)[1:]
        current["precision"] = _shrunk_precision(params["precision"], own, new, offset, shrinkage)
        current["new_llms"] = NewLlms(jnp.asarray(own), jnp.asarray(factor, jnp.float32))
        users, gradient, curvature = _derivatives(network, current, graph, offset, users)
        steps = (np.asarray(gradient) - prior_precision[:, None] * moved) / (curvature + prior_precision[:, None])
        steps = np.where(new, steps, 0.0)
        if np.abs(steps).max() < _TOLERANCE:  # in the first round if no new LLM was on offer
            break
        moved += steps
        current["population_mean"] = current["population_mean"].at[own[new]].add(steps[0][new])
    return current


def _own(features: AnswerFeatures, new: np.ndarray) -> np.ndarray:
    """The column of each LLM's own weight, [llms]; the first column of the states for an LLM without one."""
    own = llm_states.own_columns(features.llm_state, features.own_columns, new)
    return features.llm_start + np.maximum(own, 0)


def _feature_offsets(network: Rounds, params: dict, graph: RouterGraph, new: np.ndarray) -> np.ndarray:
    """d: mean features of each new LLM's answers minus those of the trained LLMs', [llms, features].

    Columns other than outcomes and style are zero, and so are the rows of trained LLMs.
    """
    means = np.asarray(network.bind(params).answers(graph)).mean(0)
    offset = np.where(new[:, None], means - means[~new].mean(0), 0.0)
    offset[:, network.features.llm_start :] = 0.0
    return offset


def _shrunk_precision(
    precision: np.ndarray, own: np.ndarray, new: np.ndarray, offset: np.ndarray, shrinkage: np.ndarray
) -> jax.Array:
    """T' precision T, where T adds (1 - s) theta . d to a user's own weight on each new LLM; [features, features].

    The prior of T theta is the one before, so that of the own weight is centred at -(1 - s) theta . d.
    """
    transform = np.eye(len(precision))
    transform[own[new]] += ((1 - shrinkage)[:, None] * offset)[new]
    return jnp.asarray(transform.T @ precision @ transform, jnp.float32)


@functools.partial(jit_program, static_argnums=0)
def _derivatives(network: Rounds, params: dict, graph: RouterGraph, offset: np.ndarray, users: jax.Array) -> tuple:
    """Users' weights, and gradient and curvature of the log-likelihood in the three numbers, [3, llms] each."""
    features, rounds = network.features, network.bind(params)
    new_llms, rounds.new_llms = params["new_llms"], None  # read without uncertainty, which is added below
    population, answers, histories = rounds.population(), rounds.answers(graph), read_histories(graph)
    users = rounds.read_users(graph, answers, users, _USER_STEPS)
    excess = rounds.excess_variance(graph, answers, users, population)
    own_precision = jnp.diag(population.precision)[new_llms.columns]

    def of_user(answers, feedback, llm, visible, theta, excess):
        feedback, answers = mask_feedback(feedback, visible), with_shown_first(features, answers, feedback)
        as_column = (-1, *[1] * (theta.ndim - 1))

        def by_utility(theta):
            by = residuals(utilities(theta, answers), feedback, population)
            return tuple(sum_by_llm(x, llm, network.llms) for x in by)

        blind = by_utility(jnp.broadcast_to(population.mean.reshape(as_column), theta.shape))
        gradient, curvature = by_utility(theta)
        # a user's own weight on the LLM follows the others' the less, the more decisions of the user there are
        prior_precision = own_precision.reshape(as_column)
        curvature = curvature * prior_precision / (curvature + prior_precision)
        by_shrinkage = jnp.einsum("lp,p...->l...", offset, theta)
        own = [(gradient * by, curvature * by**2) for by in (by_shrinkage, excess)]
        return tuple(jnp.stack(x) for x in zip(blind, *own, strict=True))

    arguments = (answers, histories, graph.visibility.decisions, new_llms.added(users, excess), excess)
    return users, *(x.sum(0) for x in map_over_users(graph, of_user, *arguments))
