"""MLP baseline: a network with one hidden layer on features of decisions, in Flax."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import are_choices, select, select_decisions
from prouter_jax.evaluation.baselines.descent import descend
from prouter_jax.evaluation.baselines.features import (
    DecisionFeatures,
    Statistics,
    is_warm,
    principal_components,
    task_columns,
)
from prouter_jax.evaluation.baselines.forecast import QueryForecast
from prouter_jax.evaluation.baselines.preference import has_outcomes

_BATCH = 512  # rows of a training step
_BLOCK = 1 << 15  # decisions scored at once


class MlpPolicy:
    """An MLP on the user's and the task's means, history length and text, with one output for each LLM.

    For choices, and for rewards without outcomes, the output is added to the user's smoothed mean on the task. For
    rewards made of effects and costs, the MLP forecasts these from text and task, and the user's estimated weight
    combines them (see `QueryForecast`).

    Args:
      hidden, dropout, weight_decay, learning_rate, steps: see `Mlp`.
      components: number of principal components of the text vectors.
      most_rows: maximum number of training decisions; larger training sets are sampled.
    """

    name = "mlp"

    def __init__(
        self,
        dataset: Dataset,
        hidden: int = 32,
        dropout: float = 0.3,
        weight_decay: float = 0.3,
        learning_rate: float = 0.003,
        steps: int = 300,
        components: int = 32,
        most_rows: int = 100_000,
        seed: int = 0,
    ):
        self._dataset = dataset
        self._network = (hidden, dropout, weight_decay, learning_rate, steps, seed)
        self._sampling = (components, most_rows, seed)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        network = Mlp(*self._network)
        if are_choices(train) or not has_outcomes(self._dataset):
            self._model = _DecisionMlp(self._dataset, network, *self._sampling)
        else:
            self._model = _OutcomeMlp(self._dataset, network, self._sampling[0])
        self._model.fit(train, validation)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return self._model.score(history, decisions)


class Mlp:
    """A `Network` on standardised inputs, trained with AdamW.

    Args:
      dropout: share of the inputs that is dropped in each training step.
      weight_decay: of AdamW.
      learning_rate: of AdamW, with cosine decay to 0.
      steps: number of training steps of 512 rows.
    """

    def __init__(
        self, hidden: int, dropout: float, weight_decay: float, learning_rate: float, steps: int, seed: int = 0
    ):
        self._hidden, self._steps, self._seed = hidden, steps, seed
        self._rates = (dropout, weight_decay, learning_rate)

    def fit(
        self,
        inputs: Float[np.ndarray, "rows features"],
        start: Float[np.ndarray, "rows outputs"],
        target: np.ndarray,
        observed: Bool[np.ndarray, "rows outputs"],
        choices: bool,
    ) -> None:
        """Fits targets.

        Args:
          start: values that the network's output is added to.
          target: [rows, outputs]; ignored where not observed.
          observed: entries that count in the loss.
          choices: whether the loss is the log loss of a softmax over the observed outputs, or squared error.
        """
        self._mean, self._scale = inputs.mean(0), inputs.std(0) + 1e-3
        network = Network(inputs.shape[1], self._hidden, target.shape[1], nnx.Rngs(self._seed))
        self._graph, params = nnx.split(network)
        rng = np.random.default_rng(self._seed)
        rows = rng.integers(len(inputs), size=(self._steps, min(_BATCH, len(inputs))))
        tables = (self._standardised(inputs), start, np.where(observed, target, 0), observed)
        tables = [np.asarray(table, np.float32) for table in tables]
        key = jax.random.key(self._seed)
        dropout, weight_decay, learning_rate = self._rates
        loss, params = _log_loss if choices else _squared_error, nnx.to_pure_dict(params)
        self._params = descend(loss, self._graph, params, tables, rows, key, dropout, learning_rate, weight_decay)

    def predict(
        self, inputs: Float[np.ndarray, "rows features"], start: Float[np.ndarray, "rows outputs"]
    ) -> Float[np.ndarray, "rows outputs"]:
        """Outputs of the network added to `start`, float32."""
        network = nnx.merge(self._graph, self._params)
        return np.asarray(network(jnp.asarray(self._standardised(inputs)), jnp.asarray(start, jnp.float32)))

    def _standardised(self, inputs: np.ndarray) -> np.ndarray:
        return ((inputs - self._mean) / self._scale).astype(np.float32)


class Network(nnx.Module):
    """start + linear(gelu(linear(inputs)))."""

    def __init__(self, inputs: int, hidden: int, outputs: int, rngs: nnx.Rngs):
        self.inner = nnx.Linear(inputs, hidden, rngs=rngs)
        # zeros, so that training begins at `start`
        self.outer = nnx.Linear(hidden, outputs, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(
        self, inputs: Float[Array, "rows features"], start: Float[Array, "rows outputs"]
    ) -> Float[Array, "rows outputs"]:
        return start + self.outer(jax.nn.gelu(self.inner(inputs)))


def _squared_error(params, graph, tables, batch, key, dropout):
    inputs, start, target, observed = (table[batch] for table in tables)
    outputs = _outputs(params, graph, inputs, start, key, dropout)
    return (observed * jnp.square(outputs - target)).sum() / observed.sum()


def _log_loss(params, graph, tables, batch, key, dropout):
    inputs, start, target, observed = (table[batch] for table in tables)
    outputs = _outputs(params, graph, inputs, start, key, dropout)
    logs = jax.nn.log_softmax(jnp.where(observed > 0, outputs, -1e9))
    return -(target * jnp.where(observed > 0, logs, 0)).sum() / len(inputs)


def _outputs(params, graph, inputs, start, key, dropout):
    kept = jax.random.bernoulli(key, 1 - dropout, inputs.shape)
    return nnx.merge(graph, params)(inputs * kept / (1 - dropout), start)


class _DecisionMlp:
    """The MLP on one row for each decision."""

    def __init__(self, dataset: Dataset, network: Mlp, components: int, most_rows: int, seed: int):
        self._dataset, self._network = dataset, network
        self._components, self._most_rows, self._seed = components, most_rows, seed

    def fit(self, train: Labelled, validation: Labelled) -> None:
        rng, choices = np.random.default_rng(self._seed), are_choices(train)
        self._train = train
        self._features = DecisionFeatures(self._dataset, self._components, choices, is_warm(train, validation))
        labelled = np.flatnonzero(~np.isnan(train.rewards).all(1))
        rows = np.sort(rng.permutation(labelled)[: self._most_rows])
        inputs, starts, rewards = [], [], []
        for statistics, fold_rows in self._features.folds(train, rows, rng):
            part = select(train, fold_rows)
            inputs.append(self._features.decision_features(statistics, part.decisions))
            starts.append(self._start(statistics, part.decisions))
            rewards.append(part.rewards)
        target = np.concatenate(rewards)
        self._network.fit(np.concatenate(inputs), np.concatenate(starts), target, ~np.isnan(target), choices)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        statistics, scores = self._features.statistics(history, self._train), np.empty(decisions.offered.shape)
        for first in range(0, len(scores), _BLOCK):
            rows = slice(first, first + _BLOCK)
            part = select_decisions(decisions, rows)
            inputs = self._features.decision_features(statistics, part)
            scores[rows] = self._network.predict(inputs, self._start(statistics, part))
        return scores

    def _start(self, statistics: Statistics, decisions: DecisionArrays) -> np.ndarray:
        """The user's mean on the task + the query's mean - the task's mean, [decisions, llms]."""
        task = self._features.task[decisions.query]
        own = statistics.by_user_task[decisions.user, task]
        return own + statistics.by_query[decisions.query] - statistics.by_task[task]


class _OutcomeMlp(QueryForecast):
    """The MLP on one row for each query, with outputs for effect and cost of each LLM."""

    def __init__(self, dataset: Dataset, network: Mlp, components: int):
        super().__init__(dataset)
        self._network, self._components = network, components

    def _fit_deviations(self, seen: np.ndarray, deviation: np.ndarray) -> None:
        text = principal_components(self._dataset.vectors.query, self._mask(seen), self._components)
        self._inputs = np.concatenate([text, task_columns(self._dataset)], axis=1)
        self._start = self._task_deviations(seen, deviation)
        # one scale for all outputs: effects and costs are in [0, 1]
        self._network.fit(self._inputs[seen], self._start[seen], deviation, self._count[seen] > 0, choices=False)

    def _predict_deviations(self, queries: np.ndarray) -> np.ndarray:
        return self._network.predict(self._inputs[queries], self._start[queries])
