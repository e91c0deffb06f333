"""Somebody of whom little is known, taken for the known users who would have said the same.

Somebody who never errs is known by its choices up to a scale, and what a few choices leave open is nothing like a bell
around the most probable theta: the mean of what users weigh who explain the choices is the better guess. Both guesses
are weighed by how likely they make the history h:

    one of the known users v      p(h) = mean over v of p(h | theta_v)
    an own theta                  p(h) = p(h | theta) N(theta; prior) sqrt(det(2 pi unknown))  (Laplace)
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.bayes.inference import BayesNetwork
from prouter_jax.bayes.reader import misfit, utilities
from prouter_jax.bayes.tastes import with_sides
from prouter_jax.graph import RouterGraph
from prouter_jax.histories import only, over_users, read_histories

_MOST = 100  # known users that are compared with


def compare_with_known(
    network: BayesNetwork, params: dict, graph: RouterGraph, answers: jax.Array, users: np.ndarray
) -> np.ndarray:
    """theta of the users of a graph of nothing but choices, drawn towards known users with whom they agree.

    For few properties: a hundred users do not fill a space of many, and in the trials they were in the way there.

    Args:
      answers: [queries, llms, properties]; users: their most probable theta, [users, properties].
    """
    known = _some_known(np.asarray(params["users"]), np.asarray(params["known"]))
    if not len(known):
        return users
    found = _log_likelihoods(network, params, graph, answers, jnp.asarray(users), jnp.asarray(known))
    by_known, own, unknown = (np.asarray(x, np.float64) for x in found)
    shares, one_of_known = _mixture(by_known)
    off, precision = users - np.asarray(network.population(params).mean), np.asarray(params["precision"], np.float64)
    own += 0.5 * (np.linalg.slogdet(precision)[1] + np.linalg.slogdet(unknown)[1])
    own -= 0.5 * np.einsum("ua,ab,ub->u", off, precision, off)
    sizes = np.linalg.norm(known, axis=1, keepdims=True)
    like_known = (shares @ (known / np.maximum(sizes, 1e-9))) * (shares @ sizes)
    belief = 1 / (1 + np.exp(np.clip(own - one_of_known, -50, 50)))[:, None]
    return (belief * like_known + (1 - belief) * users).astype(np.float32)


def _some_known(users: np.ndarray, known: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(known)
    return users[rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).astype(int)]]


def _mixture(log_likelihoods: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the known users [users, known], and the log of their mean likelihood [users]."""
    top = log_likelihoods.max(1, keepdims=True)
    likely = np.exp(log_likelihoods - top)
    return likely / likely.sum(1, keepdims=True), np.log(likely.mean(1)) + top[:, 0]


@functools.partial(jax.jit, static_argnums=0)
def _log_likelihoods(network: BayesNetwork, params: dict, graph: RouterGraph, answers, users, known):
    """Of each history under each known user [users, known] and its own theta [users]; what is not known of theta."""
    histories, population = read_histories(graph), network.population(params)

    def of_user(answers, said, _, visible):
        said = only(said, visible)
        answers = with_sides(network.columns, answers, said)

        def under(theta):
            utility = utilities(theta, answers)
            shared = [1] * (said.offered.ndim - utility.ndim)  # an axis for the users who share the queries
            return -misfit(utility.reshape(*utility.shape, *shared), said, population)["choice"]

        return jax.lax.map(under, known)

    by_known = over_users(graph, of_user, answers, histories, graph.visibility.decisions)
    _, unknown, told = network.read(graph, histories, answers, population, users, 0)
    return by_known, -told["choice"], unknown
