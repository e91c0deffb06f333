"""Matrix-factorisation baseline of users x answers, fitted by full-batch gradient descent in JAX."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from prouter_jax.compilation import jit_program
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import are_choices, select, select_decisions

USER_PARAMS = ("user", "user_llm", "user_side")  # names of the parameters that belong to users
_DENSE_SHARE = 0.2  # share of all pairs of users and queries from which a dense table is faster than a list
_INIT_SCALE = 0.3
_MAX_ENTRIES = 8_000_000  # entries of a table [llms, users, queries]

Params = dict[str, np.ndarray]


class Factorisation:
    """logit = LLM bias + user x LLM bias + query x LLM bias + user factors . answer factors; softmax for choices.

    Decisions that record which answer was shown first have a position bias in addition, see `fit_params`. Queries
    without training decisions get the user's mean prediction over the training queries, which is smoothed by task. For
    histories other than the training decisions, the users' parameters alone are fitted anew.

    Args:
      penalty: of the squared factors.
      user_penalty: of the squared biases user x LLM.
      query_penalty: of the squared biases query x LLM.
      side_penalty: of the users' squared position biases.
      task_strength: number of queries that the mean over all queries counts for beside those of the task.
    """

    name = "factorisation"

    def __init__(
        self,
        dataset: Dataset,
        rank: int = 12,
        penalty: float = 2.0,
        user_penalty: float = 1.0,
        query_penalty: float = 1.0,
        side_penalty: float = 3.0,
        task_strength: float = 100.0,
        steps: int = 60,
        seed: int = 0,
    ):
        data = dataset.data
        self._shape = (len(data.users.ids), len(data.queries.ids), len(data.llms.ids))
        self._task, self._num_tasks = data.queries.task + 1, len(data.tasks.ids) + 1
        self._rank, self._task_strength, self._steps, self._seed = rank, task_strength, steps, seed
        factors = {"user": penalty, "answer": penalty}
        biases = {"user_llm": user_penalty, "query_llm": query_penalty, "user_side": side_penalty}
        self._penalties = self._fold_penalties = factors | biases | {"llm": 0.1, "side": 0.1}

    def fit(self, train: Labelled, validation: Labelled) -> None:
        rng = np.random.default_rng(self._seed)
        self._train, self._choices = train, are_choices(train)
        used = select(train, _within_limits(train.decisions, validation.decisions, self._shape, rng))
        start = init_params(*self._shape, self._rank, rng)
        fitted = fit_params(start, used, self._choices, self._penalties, self._steps, tuple(start))
        self._seen = self._folded = np.unique(used.decisions.query)  # histories on the latter count
        self._answers = {name: fitted[name] for name in fitted if name not in USER_PARAMS}
        self._users = _seen_users(fitted, used)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        params = self._answers | (self._users if history is self._train else self._fold_in(history))
        scores = np.empty(decisions.offered.shape)
        seen = np.isin(decisions.query, self._seen)
        scores[seen] = listed_logits(params, decisions.user[seen], decisions.query[seen]).T
        if not seen.all():
            scores[~seen] = self._unseen_scores(params, select_decisions(decisions, ~seen))
        return scores + side_logits(params, decisions.user, decisions.first).T

    def _fold_in(self, history: Labelled) -> Params:
        """The users' parameters, fitted to a history with constant answer parameters."""
        used = select(history, np.isin(history.decisions.query, self._folded))
        start = self._answers | {name: np.zeros_like(self._users[name]) for name in USER_PARAMS}
        return _seen_users(fit_params(start, used, self._choices, self._fold_penalties, self._steps, USER_PARAMS), used)

    def _unseen_scores(self, params: Params, decisions: DecisionArrays) -> np.ndarray:
        """Scores [decisions, llms] on queries without training decisions: means over training queries, by task."""
        predictions = self._predictions(params, np.arange(self._shape[0]))
        member = (self._task[self._seen, None] == np.arange(self._num_tasks)).astype(np.float32)
        overall, strength = predictions.mean(2, keepdims=True), self._task_strength
        means = (predictions @ member + strength * overall) / (member.sum(0) + strength)
        return self._as_scores(means[:, decisions.user, self._task[decisions.query]].T)

    def _predictions(self, params: Params, users: np.ndarray) -> np.ndarray:
        """Expected rewards on the training queries, [llms, users, queries]; for choices, shares among all LLMs."""
        logits = dense_logits(params, users, self._seen)
        if not self._choices:
            return logits
        shares = np.exp(logits - logits.max(0))
        return shares / shares.sum(0)

    def _as_scores(self, expected: np.ndarray) -> np.ndarray:
        """Shares as logarithms, other expected rewards unchanged."""
        return np.log(np.maximum(expected, 1e-6)) if self._choices else expected


def init_params(num_users: int, num_queries: int, num_llms: int, rank: int, rng: np.random.Generator) -> Params:
    """Small random factors and zero biases, float32.

    Returns:
      Biases llm [llms], user_llm [llms, users] and query_llm [llms, queries], factors user [users, rank] and
      answer [llms, queries, rank], position biases side [1] and user_side [users].
    """
    sizes = {"llm": (num_llms,), "user_llm": (num_llms, num_users), "query_llm": (num_llms, num_queries)}
    sizes |= {"side": (1,), "user_side": (num_users,)}
    biases = {name: np.zeros(shape, np.float32) for name, shape in sizes.items()}
    user, answer = (rng.normal(0, _INIT_SCALE, (*n, rank)) for n in ((num_users,), (num_llms, num_queries)))
    return biases | {"user": user.astype(np.float32), "answer": answer.astype(np.float32)}


def fit_params(
    params: Params,
    labelled: Labelled,
    choices: bool,
    penalties: Mapping[str, float],
    steps: int,
    moving: tuple[str, ...],
) -> Params:
    """Minimises the penalised loss, which is convex in the users' and in the answers' parameters separately.

    logits = llm + user_llm + query_llm + user . answer (+ side + user_side for the answer shown first). The loss is the
    log loss of choices among the candidates, or half the squared error in units of the rewards' variance, plus
    penalty / 2 * the sum of squares of each parameter.

    Args:
      params: initial parameters, see `init_params`.
      choices: whether rewards are shares of choices.
      penalties: by name of the parameter.
      moving: names of the parameters to fit; the others stay constant.
    """
    dense = _is_dense(labelled.decisions, params)
    data = _dense_data(labelled) if dense else _listed_data(labelled)
    if not choices:
        data["precision"] = np.float32(1 / max(float(np.nanvar(labelled.rewards)), 1e-12))
    rates = {name: np.float32(name in moving) for name in params}
    fitted = _descend(params, data, dict(penalties), rates, steps, dense, choices)
    return {name: np.asarray(value) for name, value in fitted.items()}


def listed_logits(params, user, query, first=None):
    """Logits [llms, decisions] of a list of decisions; arrays of NumPy or JAX.

    Args:
      params: see `init_params`.
      user: [decisions], user rows.
      query: [decisions], query rows.
      first: [decisions], the LLM shown first, -1 where unrecorded; None leaves the position bias out.
    """
    factors = (params["user"][user] * params["answer"][:, query]).sum(-1)
    logits = params["llm"][:, None] + params["user_llm"][:, user] + params["query_llm"][:, query] + factors
    return logits if first is None else logits + side_logits(params, user, first)


def side_logits(params, user, first):
    """Position bias [llms, decisions] of the LLM shown first, 0 for the others."""
    is_primary = np.arange(len(params["llm"]))[:, None] == first
    return is_primary * (params["side"] + params["user_side"][user])


def dense_logits(params, user, query):
    """Logits [llms, users, queries] of all pairs of the given user and query rows; arrays of NumPy or JAX."""
    factors = params["user"][user] @ params["answer"][:, query].swapaxes(1, 2)
    biases = params["user_llm"][:, user, None] + params["query_llm"][:, None, query]
    return params["llm"][:, None, None] + biases + factors


@functools.partial(jit_program, static_argnames=("dense", "choices"))
def _descend(params, data, penalties, rates, steps, dense: bool, choices: bool):
    """Adam with a cosine-decayed learning rate on all data; parameters move by their factor in `rates`."""
    learning_rate = 0.2 if choices else 0.05
    adam = optax.scale_by_adam()
    gradient = jax.grad(functools.partial(_loss, data=data, penalties=penalties, dense=dense, choices=choices))

    def step(number, carry):
        params, state = carry
        moves, state = adam.update(gradient(params), state)
        rate = learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * number / steps))
        moved = jax.tree.map(lambda value, move, factor: value - rate * factor * move, params, moves, rates)
        return moved, state

    return jax.lax.fori_loop(0, steps, step, (params, adam.init(params)))[0]


def _loss(params, data, penalties, dense: bool, choices: bool):
    where = (data["user"], data["query"])
    logits = dense_logits(params, *where) if dense else listed_logits(params, *where, data["first"])
    observed, target = data["observed"], data["target"]
    if choices:
        # LLMs lie along the first axis: reductions over a last axis of ten are slow on a CPU
        logits = jnp.where(observed, logits, -1e9)
        top = jax.lax.stop_gradient(logits.max(0))
        total = jnp.log(jnp.exp(logits - top).sum(0)) + top
        loss = jnp.where(observed.any(0), total, 0).sum() - jnp.where(observed, target * logits, 0).sum()
    else:
        loss = data["precision"] / 2 * jnp.where(observed, jnp.square(logits - target), 0).sum()
    return loss + sum(penalties[name] / 2 * jnp.square(value).sum() for name, value in params.items())


def _is_dense(decisions: DecisionArrays, params: Params) -> bool:
    """Whether pairs of user and query are dense and unique, without position bias, so that a table is faster."""
    num_users, num_queries = len(params["user"]), params["query_llm"].shape[1]
    cell = decisions.user.astype(np.int64) * num_queries + decisions.query
    pairs = len(np.unique(decisions.user)) * len(np.unique(decisions.query))
    once = np.bincount(cell, minlength=num_users * num_queries).max(initial=0) <= 1
    return bool(once and (decisions.first < 0).all() and len(cell) > _DENSE_SHARE * pairs)


def _listed_data(labelled: Labelled) -> dict:
    """Decisions as columns, rewards [llms, decisions]."""
    observed = ~np.isnan(labelled.rewards.T)
    return {
        "user": labelled.decisions.user,
        "query": labelled.decisions.query,
        "first": labelled.decisions.first,
        "observed": observed,
        "target": np.where(observed, labelled.rewards.T, 0).astype(np.float32),
    }


def _dense_data(labelled: Labelled) -> dict:
    """Rewards as a table [llms, users, queries] of the users and queries with decisions."""
    (users, user), (queries, query) = (
        np.unique(rows, return_inverse=True) for rows in (labelled.decisions.user, labelled.decisions.query)
    )
    target = np.full((labelled.rewards.shape[1], len(users), len(queries)), np.nan, np.float32)
    for table, rewards in zip(target, labelled.rewards.T, strict=True):
        table[user, query] = rewards
    observed = ~np.isnan(target)
    return {"user": users, "query": queries, "observed": observed, "target": np.nan_to_num(target)}


def _within_limits(
    decisions: DecisionArrays, scored: DecisionArrays, shape: tuple[int, int, int], rng: np.random.Generator
) -> np.ndarray:
    """Mask of the decisions to fit: a sample of queries where a table is too large and validation has other queries."""
    queries = np.unique(decisions.query)
    number = max(_MAX_ENTRIES // (shape[0] * shape[2]), 100)
    if len(queries) <= number or np.isin(queries, scored.query).any():
        return np.ones(len(decisions.query), bool)
    return np.isin(decisions.query, rng.choice(queries, number, replace=False))


def _seen_users(params: Params, labelled: Labelled) -> Params:
    """The users' parameters, 0 for users without decisions."""
    user = np.unique(labelled.decisions.user)
    axes = {"user": 0, "user_llm": 1, "user_side": 0}
    return {name: _cleared(params[name], user, axis) for name, axis in axes.items()}


def _cleared(table: np.ndarray, seen: np.ndarray, axis: int) -> np.ndarray:
    """A copy of the table with zeros for the rows along the axis that are not in `seen`."""
    unseen = np.ones(table.shape[axis], bool)
    unseen[seen] = False
    kept = table.copy()
    kept[(slice(None),) * axis + (unseen,)] = 0
    return kept
