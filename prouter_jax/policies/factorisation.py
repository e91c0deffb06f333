"""Matrix factorisation of users x answers."""

import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.policies.factorisation_fit import (
    USER_PARTS,
    Params,
    dense_logits,
    fit_params,
    init_params,
    listed_logits,
    side_logits,
)
from prouter_jax.policies.means import are_choices
from prouter_jax.policies.selection import select
from prouter_jax.prepare import Labelled, Prepared

_MOST_CELLS = 8_000_000


class Factorisation:
    """logit = LLM + user x LLM + query x LLM + user's factors . answer's factors; a softmax for choices.

    Where it is known which answer was shown first, that one gets a bias, the population's and the user's own.

    A query that nobody decided on gets the user's mean prediction over the decided ones, those of its
    own task before all by `task_strength`. Users who came after training are fitted to the given answers.

    Args:
      rank: number of factors.
      penalty, user_penalty, query_penalty, side_penalty: of the squares of factors and of the users' and
        queries' biases for LLMs and the users' for what is shown first.
      steps: of gradient descent.
    """

    name = "factorisation"

    def __init__(
        self,
        prepared: Prepared,
        rank: int = 12,
        penalty: float = 2.0,
        user_penalty: float = 1.0,
        query_penalty: float = 1.0,
        side_penalty: float = 3.0,
        task_strength: float = 100.0,
        steps: int = 60,
        seed: int = 0,
    ):
        data = prepared.data
        self._shape = (len(data.users.ids), len(data.queries.ids), len(data.llms.ids))
        self._task, self._num_tasks = data.queries.task + 1, len(data.tasks.ids) + 1
        self._rank, self._task_strength, self._steps, self._seed = rank, task_strength, steps, seed
        factors = {"user": penalty, "answer": penalty}
        biases = {"user_llm": user_penalty, "query_llm": query_penalty, "user_side": side_penalty}
        self._penalties = factors | biases | {"llm": 0.1, "side": 0.1}

    def fit(self, train: Labelled, validation: Labelled) -> None:
        rng = np.random.default_rng(self._seed)
        self._train, self._choices = train, are_choices(train)
        used = select(train, _within_limits(train.decisions, validation.decisions, self._shape, rng))
        fresh = init_params(*self._shape, self._rank, rng)
        fitted = fit_params(fresh, used, self._choices, self._penalties, self._steps, tuple(fresh))
        self._seen = np.unique(used.decisions.query)
        self._answers = {name: fitted[name] for name in fitted if name not in USER_PARTS}
        self._users = _seen_users(fitted, used)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        params = self._answers | (self._users if history is self._train else self._fold_in(history))
        scores = np.empty(decisions.offered.shape)
        known = np.isin(decisions.query, self._seen)
        scores[known] = listed_logits(params, decisions.user[known], decisions.query[known]).T
        if not known.all():
            means = self._mean_predictions(params)
            scores[~known] = means[:, decisions.user[~known], self._task[decisions.query[~known]]].T
        return scores + side_logits(params, decisions.user, decisions.first).T

    def _fold_in(self, history: Labelled) -> Params:
        """The users' part alone, fitted to a history with the answers as they are."""
        used = select(history, np.isin(history.decisions.query, self._seen))
        fresh = self._answers | {name: np.zeros_like(self._users[name]) for name in USER_PARTS}
        return _seen_users(fit_params(fresh, used, self._choices, self._penalties, self._steps, USER_PARTS), used)

    def _mean_predictions(self, params: Params) -> np.ndarray:
        """Logits of each LLM for each user and task, [llms, users, tasks]; of choices, mean shares as logits."""
        logits = dense_logits(params, np.arange(self._shape[0]), self._seen)
        if self._choices:
            logits = np.exp(logits - logits.max(0))
            logits /= logits.sum(0)
        member = (self._task[self._seen, None] == np.arange(self._num_tasks)).astype(np.float32)
        overall, strength = logits.mean(2, keepdims=True), self._task_strength
        means = (logits @ member + strength * overall) / (member.sum(0) + strength)
        return np.log(np.maximum(means, 1e-6)) if self._choices else means


def _within_limits(decisions: DecisionArrays, asked: DecisionArrays, shape, rng: np.random.Generator) -> np.ndarray:
    """Which decisions to fit: with very many answers those on some queries, where validation asks for none of them."""
    queries = np.unique(decisions.query)
    number = max(_MOST_CELLS // (shape[0] * shape[2]), 100)
    if len(queries) <= number or np.isin(queries, asked.query).any():
        return np.ones(len(decisions.query), bool)
    return np.isin(decisions.query, rng.choice(queries, number, replace=False))


def _seen_users(params: Params, labelled: Labelled) -> Params:
    user = np.unique(labelled.decisions.user)
    axes = {"user": 0, "user_llm": 1, "user_side": 0}
    return {name: _cleared(params[name], user, axis) for name, axis in axes.items()}


def _cleared(table: np.ndarray, seen: np.ndarray, axis: int) -> np.ndarray:
    """Zeros along the axis for what no decision was about: its random start says nothing."""
    unseen = np.ones(table.shape[axis], bool)
    unseen[seen] = False
    kept = table.copy()
    kept[(slice(None),) * axis + (unseen,)] = 0
    return kept
