"""A network of one hidden layer on the features of decisions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import are_choices, select, select_decisions
from prouter_jax.evaluation.baselines.features import (
    DecisionFeatures,
    Known,
    is_warm,
    principal_components,
    task_columns,
)
from prouter_jax.evaluation.baselines.forecast import QueryForecast, has_outcomes

_BATCH = 512


class Network(nnx.Module):
    """inputs -> hidden GELU units -> outputs, added to given starting values."""

    def __init__(self, inputs: int, hidden: int, outputs: int, rngs: nnx.Rngs):
        self.inner = nnx.Linear(inputs, hidden, rngs=rngs)
        # nothing at first, so that training starts from the starting values
        self.outer = nnx.Linear(hidden, outputs, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, inputs, start):
        return start + self.outer(jax.nn.gelu(self.inner(inputs)))


class Mlp:
    """The network with its optimiser.

    Args:
      hidden: units; dropout: share of the inputs that is hidden in each training step.
      weight_decay, learning_rate: of AdamW; the rate falls to 0 in the shape of a cosine.
      steps: batches of 512 rows.
    """

    def __init__(
        self, hidden: int, dropout: float, weight_decay: float, learning_rate: float, steps: int, seed: int = 0
    ):
        self._sizes = (hidden, steps, seed)
        self._rates = (dropout, weight_decay, learning_rate)

    def fit(self, inputs: np.ndarray, start: np.ndarray, target: np.ndarray, known: np.ndarray, choices: bool) -> None:
        """Learns targets from inputs.

        Args:
          inputs: float32 [rows, features]; start: [rows, outputs], what the network is added to.
          target: [rows, outputs]; known: bool [rows, outputs], what counts.
          choices: softmax over what is known and log loss; else squared error.
        """
        hidden, steps, seed = self._sizes
        self._middle, self._spread = inputs.mean(0), inputs.std(0) + 1e-3
        network = Network(inputs.shape[1], hidden, target.shape[1], nnx.Rngs(seed))
        self._graph, params = nnx.split(network)
        rng = np.random.default_rng(seed)
        rows = rng.integers(len(inputs), size=(steps, min(_BATCH, len(inputs))))
        tables = [np.asarray(x, np.float32) for x in (self._scaled(inputs), start, np.where(known, target, 0), known)]
        key = jax.random.key(seed)
        self._params = _descend(self._graph, nnx.to_pure_dict(params), tables, rows, key, *self._rates, choices)

    def predict(self, inputs: np.ndarray, start: np.ndarray) -> np.ndarray:
        """float32 [rows, outputs]."""
        return np.asarray(nnx.merge(self._graph, self._params)(self._scaled(inputs), start.astype(np.float32)))

    def _scaled(self, inputs: np.ndarray) -> np.ndarray:
        return ((inputs - self._middle) / self._spread).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("graph", "choices"))
def _descend(graph, params, tables, rows, key, dropout, weight_decay, learning_rate, choices: bool):
    rate = optax.cosine_decay_schedule(1.0, len(rows))
    adam = optax.scale_by_adam()

    def step(carry, batch):
        params, state = carry
        number, chosen = batch
        inputs, *rest = (table[chosen] for table in tables)
        shown = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - dropout, inputs.shape)
        gradient = jax.grad(_loss)(params, graph, inputs * shown / (1 - dropout), *rest, choices)
        moves, state = adam.update(gradient, state)
        scale = learning_rate * rate(number)
        params = jax.tree.map(lambda value, move: value - scale * (move + weight_decay * value), params, moves)
        return (params, state), None

    return jax.lax.scan(step, (params, adam.init(params)), (jnp.arange(len(rows)), rows))[0][0]


def _loss(params, graph, inputs, start, target, known, choices: bool):
    outputs = nnx.merge(graph, params)(inputs, start)
    if not choices:
        return (known * jnp.square(outputs - target)).sum() / known.sum()
    logs = jax.nn.log_softmax(jnp.where(known > 0, outputs, -1e9))
    return -(target * jnp.where(known > 0, logs, 0)).sum() / len(inputs)


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
        self._prepared = dataset
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

    def __init__(self, dataset: Dataset, network: Mlp, components: int, most_rows: int, seed: int):
        self._prepared, self._network = dataset, network
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

    def __init__(self, dataset: Dataset, network: Mlp, components: int, most_rows: int, seed: int):
        super().__init__(dataset)
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
