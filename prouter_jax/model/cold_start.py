"""A world that has grown since training: parameters for more queries and LLMs, and what the crowd thinks of new LLMs.

A new LLM's answers have the properties that were observed of them, else the mean of all LLMs'. What the crowd likes
in it beside these starts from what it likes in LLMs in general and moves with the decisions in which it was on offer.

What users weigh was learnt from the known LLMs' answers, and says less of answers unlike these: they would be loved by
few and hated by the others if each user's weights were taken at their word. The heed of a new LLM, how far they are, is
learnt as well, from anything between none and all. Newton steps on these two, users read in between.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.graph.history import only, over_users, read_histories, sum_by_llm
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.latent_factors import with_shown_first
from prouter_jax.model.likelihood import negative_log_likelihood, residuals, utilities
from prouter_jax.model.network import EmNetwork

_ROUNDS = 8
_STEPS = 4  # of Newton's method in a round, from where users were in the last
_LEAST_VARIANCE = 0.05
_PRIOR_SHRINKAGE, _SHRINKAGE_VARIANCE = 1 / 2, 1 / 12  # anything from none to all is as likely
_SETTLED = 1e-3


def extend_network(network: EmNetwork, params: dict, graph: RouterGraph) -> tuple[EmNetwork, dict]:
    """The network and parameters for the grown world of `graph`; as they were where it has not grown.

    The states of the users who were trained on stay: any others are read from their histories.
    """
    layout = graph.layout
    sizes = {"queries": layout.num("query"), "llms": layout.num("llm")}
    columns = dataclasses.replace(network.columns, llms=layout.num("llm") if network.columns.llms else 0)
    grown = dataclasses.replace(network, columns=columns, **sizes)
    new = np.pad(np.asarray(params["llm_offers"]) == 0, (0, grown.llms - network.llms), constant_values=True)
    if grown == network and not new.any():
        return network, params
    params = _grown(network, grown, jax.tree.map(np.asarray, params))
    if not network.columns.llms or not new.any() or new.all():
        return grown, params
    return grown, _learn(grown, _like_known(columns, params, new), graph, new)


def _grown(network: EmNetwork, grown: EmNetwork, params: dict) -> dict:
    """Parameters with zeros for what is new."""
    old, new = network.columns, grown.columns
    extra, at = new.llms - old.llms, old.llms_at + old.llms
    size = ((0, grown.queries - network.queries), (0, grown.llms - network.llms), (0, 0))
    precision = np.insert(np.insert(params["precision"], [at] * extra, 0.0, 0), [at] * extra, 0.0, 1)
    rows = np.arange(at, at + extra)
    precision[rows, rows] = 1.0
    return {
        **params,
        "population_mean": np.insert(params["population_mean"], [at] * extra, 0.0),
        "precision": precision,
        "latent_factors": np.pad(params["latent_factors"], size),
        "llm_offers": np.pad(params["llm_offers"], (0, grown.llms - network.llms)),
        "users": np.insert(params["users"], [at] * extra, 0.0, 1),
    }


def _like_known(columns: AnswerFeatures, params: dict, new: np.ndarray) -> dict:
    """New LLMs are liked as much, and as differently, as the known ones are on average."""
    rows = np.arange(columns.llms_at, columns.llms_at + columns.llms)
    covariance = np.linalg.inv(params["precision"].astype(np.float64))
    usual = np.diag(covariance)[rows[~new]].mean()
    covariance[rows[new]], covariance[:, rows[new]] = 0.0, 0.0
    covariance[rows[new], rows[new]] = usual
    population_mean = params["population_mean"].copy()
    population_mean[rows[new]] = population_mean[rows[~new]].mean()
    return {**params, "population_mean": population_mean, "precision": np.linalg.inv(covariance).astype(np.float32)}


def _learn(network: EmNetwork, params: dict, graph: RouterGraph, new: np.ndarray) -> dict:
    """The crowd's weights of the new LLMs, and their heeds, from the decisions in which they were on offer."""
    at = network.columns.llms_at
    known = params["population_mean"][at : at + len(new)][~new]
    middle, certainty = float(known.mean()), 1 / max(float(known.var()), _LEAST_VARIANCE)
    unlike = _unlike_known(network, params, graph, new)
    shrinkage, placed = np.full(len(new), _PRIOR_SHRINKAGE), jax.tree.map(jnp.asarray, params)
    placed["precision"] = _shrunk_precision(network.columns, params["precision"], unlike, shrinkage)
    users = network.cold_start_users(params, graph)
    for _ in range(_ROUNDS):
        users, *messages = _messages(network, placed, graph, unlike, users)
        feedback_weights, shrinking = (np.asarray(x) for x in messages)
        population_mean = np.asarray(placed["population_mean"])[at : at + len(new)]
        steps = np.stack(
            [
                _newton(feedback_weights, population_mean - middle, certainty),
                _newton(shrinking, shrinkage - _PRIOR_SHRINKAGE, 1 / _SHRINKAGE_VARIANCE),
            ]
        )
        steps *= new
        if np.abs(steps).max() < _SETTLED:  # at once where nobody had them on offer
            break
        shrinkage = shrinkage + steps[1]
        placed["population_mean"] = placed["population_mean"].at[at : at + len(new)].add(steps[0])
        placed["precision"] = _shrunk_precision(network.columns, params["precision"], unlike, shrinkage)
    return placed


def _newton(message: np.ndarray, off: np.ndarray, certainty: float) -> np.ndarray:
    """The step of weights that are `off` their prior mean, told a push and a curvature: [2, llms]."""
    push, curvature = message
    return (push - certainty * off) / (curvature + certainty)


def _unlike_known(network: EmNetwork, params: dict, graph: RouterGraph, new: np.ndarray) -> np.ndarray:
    """What is measured of each new LLM's answers beside the mean of the known ones', [llms, properties]."""
    usual = np.asarray(network.answers(params, graph)).mean(0)
    unlike = np.where(new[:, None], usual - usual[~new].mean(0), 0.0)
    unlike[:, network.columns.llms_at :] = 0.0
    return unlike


def _shrunk_precision(
    columns: AnswerFeatures, precision: np.ndarray, unlike: np.ndarray, shrinkage: np.ndarray
) -> jax.Array:
    """The precision where a user's own weight of a new LLM takes back 1 - heed of what its weights say of `unlike`."""
    own = np.eye(columns.size)
    own[columns.llms_at : columns.llms_at + columns.llms] += (1 - shrinkage)[:, None] * unlike
    return jnp.asarray(own.T @ precision @ own, jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def _messages(network: EmNetwork, params: dict, graph: RouterGraph, unlike: np.ndarray, users: jax.Array) -> tuple:
    """Users, and everybody's surprise at each LLM and its curvature, in the crowd's weight and the heed: [2, llms]."""
    columns, population = network.columns, network.population(params)
    answers = network.answers(params, graph)
    users = network.read_users(params, graph, answers, users, _STEPS)

    def of_user(answers, feedback, llm, visible, theta):
        feedback, answers = only(feedback, visible), with_shown_first(columns, answers, feedback)
        residual, weight = residuals(utilities(theta, answers), feedback, population)
        residual, weight = (sum_by_llm(x, llm, network.llms) for x in (residual, weight))
        follows = theta[columns.population_mean_at] if columns.population_mean else 1.0
        moved = (follows, jnp.einsum("lp,p...->l...", unlike, theta))
        return tuple(jnp.stack([residual * by, weight * by**2]) for by in moved)

    histories = read_histories(graph)
    by_user = over_users(graph, of_user, answers, histories, graph.visibility.decisions, users)
    return users, *(x.sum(0) for x in by_user)


_MOST = 100  # known users that are compared with


def compare_with_known(
    network: EmNetwork,
    params: dict,
    graph: RouterGraph,
    answers: jax.Array,
    users: np.ndarray,
    prior: np.ndarray,
) -> np.ndarray:
    """theta of the users of a graph of nothing but choices, drawn towards known users with whom they agree.

    For few properties: a hundred users do not fill a space of many, and in the trials they were in the way there.

    Args:
      answers: [queries, llms, properties]; users: their most probable theta, [users, properties].
      prior: theta before a history is read, [properties].
    """
    known = _some_known(np.asarray(params["users"]), np.asarray(params["has_history"]))
    if not len(known):
        return users
    found = _log_likelihoods(network, params, graph, answers, users, known)
    by_known, own, unknown = (np.asarray(x, np.float64) for x in found)
    shares, one_of_known = _mixture(by_known)
    off, precision = users - prior, np.asarray(params["precision"], np.float64)
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
def _log_likelihoods(network: EmNetwork, params: dict, graph: RouterGraph, answers, users, known):
    """Of each history under each known user [users, known] and its own theta [users]; what is not known of theta."""
    histories, population = read_histories(graph), network.population(params)

    def of_user(answers, feedback, _, visible):
        feedback = only(feedback, visible)
        answers = with_shown_first(network.columns, answers, feedback)

        def under(theta):
            utility = utilities(theta, answers)
            shared = [1] * (feedback.offered.ndim - utility.ndim)  # an axis for the users who share the queries
            return -negative_log_likelihood(utility.reshape(*utility.shape, *shared), feedback, population)["choice"]

        return jax.lax.map(under, known)

    by_known = over_users(graph, of_user, answers, histories, graph.visibility.decisions)
    _, unknown, told = network.e_step(graph, histories, answers, population, users, 0)
    return by_known, -told["choice"], unknown
