"""Cold start of users: a mixture over training users, weighted by the likelihood of the new user's decisions.

A user's weights theta have two explanations: the Gaussian prior (`posterior` has the mode), or the weights theta_k of
one of K training users. The second has the likelihood mean over k of p(decisions | theta_k); the first has the Laplace
approximation of the evidence,

    log p(decisions | theta) + (log |precision| + log |C| - (theta - mean)' precision (theta - mean)) / 2

with C the posterior covariance. The weights are averaged by the probabilities of both, equal before the data.
"""

import functools

import jax
import numpy as np
from jaxtyping import Array, Float

from prouter_jax.compilation import jit_program
from prouter_jax.graph.history import map_over_users, mask_feedback, read_histories
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.latent_factors import with_shown_first
from prouter_jax.model.likelihood import negative_log_likelihood, utilities
from prouter_jax.model.rounds import Rounds

_MAX_TRAINING_USERS = 100  # K; evenly spaced among those with a history


def compare_with_known(
    sizes: Rounds,
    params: dict,
    graph: RouterGraph,
    answers: Float[Array, "queries llms features"],
    users: Float[np.ndarray, "users features"],
    prior: Float[np.ndarray, " features"],
) -> Float[np.ndarray, "users features"]:
    """Averages users' posterior modes with the mixture over training users; for graphs whose feedback is choices.

    Meant for few features: in trials with many, a hundred training users covered the space too thinly and did harm.

    Args:
      graph: the graph with the users' histories.
      answers: features of the answers to its queries.
      users: posterior modes of the users' weights.
      prior: prior mean of the weights.
    """
    training_users = _some_rows(np.asarray(params["users"]), np.asarray(params["has_history"]))
    if not len(training_users):
        return users
    results = _log_likelihoods(sizes, params, graph, answers, users, training_users)
    by_training_user, evidence, covariance = (np.asarray(x, np.float64) for x in results)
    responsibilities, mixture_evidence = _mixture(by_training_user)
    deviation = users - prior
    precision = np.asarray(params["precision"], np.float64)
    evidence += 0.5 * (np.linalg.slogdet(precision)[1] + np.linalg.slogdet(covariance)[1])
    evidence -= 0.5 * np.einsum("ua,ab,ub->u", deviation, precision, deviation)
    # directions and norms are averaged apart: a mean of weights in different directions would be too short
    norms = np.linalg.norm(training_users, axis=1, keepdims=True)
    mixture_mean = (responsibilities @ (training_users / np.maximum(norms, 1e-9))) * (responsibilities @ norms)
    probability = 1 / (1 + np.exp(np.clip(evidence - mixture_evidence, -50, 50)))[:, None]
    return (probability * mixture_mean + (1 - probability) * users).astype(np.float32)


def _some_rows(users: np.ndarray, has_history: np.ndarray) -> np.ndarray:
    """At most `_MAX_TRAINING_USERS` rows of the users with a history, evenly spaced."""
    rows = np.flatnonzero(has_history)
    return users[rows[np.linspace(0, len(rows) - 1, min(len(rows), _MAX_TRAINING_USERS)).astype(int)]]


def _mixture(log_likelihoods: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Responsibilities of the training users [users, training users], and the log of their mean likelihood [users]."""
    largest = log_likelihoods.max(1, keepdims=True)
    likelihoods = np.exp(log_likelihoods - largest)
    return likelihoods / likelihoods.sum(1, keepdims=True), np.log(likelihoods.mean(1)) + largest[:, 0]


@functools.partial(jit_program, static_argnums=0)
def _log_likelihoods(sizes: Rounds, params: dict, graph: RouterGraph, answers, users, training_users):
    """Log-likelihood of each history under each training user [users, training users] and under the user's own weights
    [users], and the posterior covariance of the latter [users, features, features]."""
    histories, rounds = read_histories(graph), sizes.bind(params)
    population = rounds.population()

    def of_user(answers, feedback, _, visible):
        feedback = mask_feedback(feedback, visible)
        answers = with_shown_first(sizes.features, answers, feedback)

        def under(theta):
            utility = utilities(theta, answers)
            user_axis = [1] * (feedback.offered.ndim - utility.ndim)  # where users share the queries
            utility = utility.reshape(*utility.shape, *user_axis)
            return -negative_log_likelihood(utility, feedback, population)["choice"]

        return jax.lax.map(under, training_users)

    by_training_user = map_over_users(graph, of_user, answers, histories, graph.visibility.decisions)
    _, covariance, losses = rounds.e_step(graph, histories, answers, users, 0)
    return by_training_user, -losses["choice"], covariance
