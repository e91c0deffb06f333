"""A world that has grown since training: parameters for more queries and LLMs, and what the crowd thinks of new LLMs.

A new LLM's answers have the properties that were observed of them, else the mean of all LLMs'. What the crowd likes
in it beside these starts from what it likes in LLMs in general and moves with the decisions in which it was on offer:
Newton steps on its weight alone, users read in between.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.bayes.columns import Columns
from prouter_jax.bayes.inference import BayesNetwork
from prouter_jax.bayes.reader import residuals, utilities
from prouter_jax.bayes.tastes import with_sides
from prouter_jax.graph import RouterGraph
from prouter_jax.histories import only, over_users, read_histories, sum_by_llm

_ROUNDS = 8
_LEAST_VARIANCE = 0.05


def meet_newcomers(network: BayesNetwork, params: dict, graph: RouterGraph) -> tuple[BayesNetwork, dict]:
    """The network and parameters for the grown world of `graph`; as they were where it has not grown.

    The states of the users who were trained on stay: any others are read from their histories.
    """
    layout = graph.layout
    sizes = {"queries": layout.num("query"), "llms": layout.num("llm")}
    columns = dataclasses.replace(network.columns, llms=layout.num("llm") if network.columns.llms else 0)
    grown = dataclasses.replace(network, columns=columns, **sizes)
    new = np.pad(np.asarray(params["met"]) == 0, (0, grown.llms - network.llms), constant_values=True)
    if grown == network and not new.any():
        return network, params
    params = _grown(network, grown, jax.tree.map(np.asarray, params))
    if not network.columns.llms or not new.any() or new.all():
        return grown, params
    return grown, _learn(grown, _like_known(columns, params, new), graph, new)


def _grown(network: BayesNetwork, grown: BayesNetwork, params: dict) -> dict:
    """Parameters with zeros for what is new."""
    old, new = network.columns, grown.columns
    extra, at = new.llms - old.llms, old.llms_at + old.llms
    size = ((0, grown.queries - network.queries), (0, grown.llms - network.llms), (0, 0))
    precision = np.insert(np.insert(params["precision"], [at] * extra, 0.0, 0), [at] * extra, 0.0, 1)
    rows = np.arange(at, at + extra)
    precision[rows, rows] = 1.0
    return {
        **params,
        "crowd": np.insert(params["crowd"], [at] * extra, 0.0),
        "precision": precision,
        "tastes": np.pad(params["tastes"], size),
        "met": np.pad(params["met"], (0, grown.llms - network.llms)),
        "users": np.insert(params["users"], [at] * extra, 0.0, 1),
    }


def _like_known(columns: Columns, params: dict, new: np.ndarray) -> dict:
    """New LLMs are liked as much, and as differently, as the known ones are on average."""
    rows = np.arange(columns.llms_at, columns.llms_at + columns.llms)
    covariance = np.linalg.inv(params["precision"].astype(np.float64))
    usual = np.diag(covariance)[rows[~new]].mean()
    covariance[rows[new]], covariance[:, rows[new]] = 0.0, 0.0
    covariance[rows[new], rows[new]] = usual
    crowd = params["crowd"].copy()
    crowd[rows[new]] = crowd[rows[~new]].mean()
    return {**params, "crowd": crowd, "precision": np.linalg.inv(covariance).astype(np.float32)}


def _learn(network: BayesNetwork, params: dict, graph: RouterGraph, new: np.ndarray) -> dict:
    """The crowd's weights of the new LLMs from the decisions in which they were on offer."""
    at = network.columns.llms_at
    known = params["crowd"][at : at + len(new)][~new]
    middle, certainty = float(known.mean()), 1 / max(float(known.var()), _LEAST_VARIANCE)
    placed = jax.tree.map(jnp.asarray, params)
    for _ in range(_ROUNDS):
        push, curvature = _messages(network, placed, graph)
        crowd = placed["crowd"][at : at + len(new)]
        step = (push - certainty * (crowd - middle)) / (curvature + certainty)
        placed["crowd"] = placed["crowd"].at[at : at + len(new)].add(jnp.where(new, step, 0.0))
    return placed


@functools.partial(jax.jit, static_argnums=0)
def _messages(network: BayesNetwork, params: dict, graph: RouterGraph) -> tuple[jax.Array, jax.Array]:
    """Everybody's surprise at each LLM and its curvature, in the crowd's weight of it: [llms] each."""
    columns, population = network.columns, network.population(params)
    answers = network.answers(params, graph)
    users = network.read_users(params, graph, answers)

    def of_user(answers, said, llm, visible, theta):
        said, answers = only(said, visible), with_sides(columns, answers, said)
        follows = theta[columns.crowd_at] if columns.crowd else 1.0
        surprise, weight = residuals(utilities(theta, answers), said, population)
        return tuple(sum_by_llm(x, llm, network.llms) for x in (surprise * follows, weight * follows**2))

    histories = read_histories(graph)
    by_user = over_users(graph, of_user, answers, histories, graph.visibility.decisions, users)
    return tuple(x.sum(0) for x in by_user)  # pyright: ignore[reportReturnType]
