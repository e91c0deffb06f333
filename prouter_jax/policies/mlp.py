"""A network of one hidden layer on the features of decisions."""

import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.policies.decision_features import DecisionFeatures, Known, is_warm
from prouter_jax.policies.forecast import QueryForecast, has_outcomes
from prouter_jax.policies.means import are_choices
from prouter_jax.policies.mlp_fit import Mlp
from prouter_jax.policies.selection import select, select_decisions
from prouter_jax.policies.texts import principal_components, task_columns
from prouter_jax.prepare import Labelled, Prepared

_BLOCK = 1 << 15


class MlpPolicy:
    """A network on the user's and the task's means, history length and text, one output for each LLM.

    For choices it is added to the user's smoothed log shares on the task, under a softmax over the
    candidates; for rewards made of effects and costs, these are forecast from text and task, and weighed
    by the preference that the history tells.

    Args:
      hidden, dropout, weight_decay, learning_rate, steps: see `mlp_fit.Mlp`.
      components: principal components of the text vectors.
      most_rows: training decisions, drawn at random where there are more.
    """

    name = "mlp"

    def __init__(
        self,
        prepared: Prepared,
        hidden: int = 32,
        dropout: float = 0.3,
        weight_decay: float = 0.3,
        learning_rate: float = 0.003,
        steps: int = 300,
        components: int = 32,
        most_rows: int = 100_000,
        seed: int = 0,
    ):
        self._prepared = prepared
        self._network = (hidden, dropout, weight_decay, learning_rate, steps, seed)
        self._sizes = (components, most_rows, seed)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        kind = _Decisions if are_choices(train) or not has_outcomes(self._prepared) else _Outcomes
        self._inner = kind(self._prepared, Mlp(*self._network), *self._sizes)
        self._inner.fit(train, validation)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return self._inner.score(history, decisions)


class _Decisions:
    """A row for each decision."""

    def __init__(self, prepared: Prepared, network: Mlp, components: int, most_rows: int, seed: int):
        self._prepared, self._network = prepared, network
        self._components, self._most_rows, self._seed = components, most_rows, seed

    def fit(self, train: Labelled, validation: Labelled) -> None:
        rng, choices = np.random.default_rng(self._seed), are_choices(train)
        self._train = train
        self._features = DecisionFeatures(self._prepared, self._components, choices, is_warm(train, validation))
        told = np.flatnonzero(~np.isnan(train.rewards).all(1))
        chosen = np.sort(rng.permutation(told)[: self._most_rows])
        inputs, starts, rewards = [], [], []
        for known, some in self._features.folds(train, chosen, rng):
            part = select(train, some)
            inputs.append(self._features.vectors(known, part.decisions))
            starts.append(self._start(known, part.decisions))
            rewards.append(part.rewards)
        target = np.concatenate(rewards)
        self._network.fit(np.concatenate(inputs), np.concatenate(starts), target, ~np.isnan(target), choices)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        known, scores = self._features.known(history, self._train), np.empty(decisions.offered.shape)
        for start in range(0, len(scores), _BLOCK):
            some = slice(start, start + _BLOCK)
            part = select_decisions(decisions, some)
            scores[some] = self._network.predict(self._features.vectors(known, part), self._start(known, part))
        return scores

    def _start(self, known: Known, decisions: DecisionArrays) -> np.ndarray:
        """The user's mean on the task, and what others' decisions on the query change."""
        task = self._features.task[decisions.query]
        return known.own_task[decisions.user, task] + known.of_query[decisions.query] - known.of_task[task]


class _Outcomes(QueryForecast):
    """A row for each query, an output for the effect and one for the cost of each LLM."""

    def __init__(self, prepared: Prepared, network: Mlp, components: int, most_rows: int, seed: int):
        super().__init__(prepared)
        del most_rows, seed
        self._network, self._components = network, components

    def _learn(self, seen: np.ndarray, deviation: np.ndarray, validation: Labelled) -> None:
        del validation
        known = np.zeros(self._num_queries, bool)
        known[seen] = True
        text = principal_components(self._prepared.vectors.query, known, self._components)
        self._inputs = np.concatenate([text, task_columns(self._prepared)], axis=1)
        self._start = self._task_deviations(seen, deviation)
        # one scale for all outputs: effects and costs are in [0, 1]
        self._network.fit(self._inputs[seen], self._start[seen], deviation, self._count[seen] > 0, choices=False)

    def _deviation(self, asked: np.ndarray) -> np.ndarray:
        return self._network.predict(self._inputs[asked], self._start[asked])
