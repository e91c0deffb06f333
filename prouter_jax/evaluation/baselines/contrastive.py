"""Contrastive baseline after RouterDC (Chen et al. 2024): queries and LLMs as vectors in one space, without users."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import query_means
from prouter_jax.evaluation.baselines.descent import descend
from prouter_jax.evaluation.baselines.features import query_features

_BATCH = 128  # queries of a training step
_FAR = -1e9  # logit of what is not compared


class Contrastive:
    """Score = cosine(query, LLM) / temperature, of a trained query encoder and trained vectors of LLMs.

    The loss draws a query to its LLMs of the highest mean reward, each against those of the lowest, and to queries of
    the same task, against those of others. RouterDC trains a language model as encoder and finds groups of queries by
    clustering; here the encoder is a layer on fixed text vectors, and tasks are the groups.

    Args:
      dim: length of the vectors.
      best, worst: numbers of a query's LLMs in the loss; the best ones are never among the worst.
      temperature: of the similarities.
      group_weight: weight of the loss between queries.
      text_weight: factor on the text vectors, which stand beside the one-hot task.
      learning_rate, weight_decay, steps: of AdamW, with batches of 128 queries.
    """

    name = "contrastive"

    def __init__(
        self,
        dataset: Dataset,
        dim: int = 32,
        best: int = 3,
        worst: int = 5,
        temperature: float = 0.2,
        group_weight: float = 0.3,
        text_weight: float = 0.2,
        learning_rate: float = 0.004,
        weight_decay: float = 0.1,
        steps: int = 30,
        seed: int = 0,
    ):
        self._inputs = query_features(dataset, text_weight).astype(np.float32)
        self._task, self._num_llms = dataset.data.queries.task, len(dataset.data.llms.ids)
        self._best, self._worst = best, worst
        self._dim, self._temperature, self._group_weight = dim, temperature, group_weight
        self._rates, self._steps, self._seed = (learning_rate, weight_decay), steps, seed

    def fit(self, train: Labelled, validation: Labelled) -> None:
        queries, rewards = query_means(train, len(self._inputs))
        best = _first(-rewards, self._best)
        worst = _first(np.where(best, np.nan, rewards), self._worst)
        tables = tuple(map(jnp.asarray, (self._inputs[queries], best, worst, self._task[queries])))
        network = Encoders(self._inputs.shape[1], self._num_llms, self._dim, nnx.Rngs(self._seed))
        graph, params = nnx.split(network)
        rows = np.random.default_rng(self._seed).integers(len(queries), size=(self._steps, min(_BATCH, len(queries))))
        settings, key = (self._temperature, self._group_weight), jax.random.key(self._seed)
        params = descend(_loss, graph, nnx.to_pure_dict(params), tables, rows, key, settings, *self._rates)
        self._network = nnx.merge(graph, params)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        queries, row = np.unique(decisions.query, return_inverse=True)
        similar = self._network.encode(jnp.asarray(self._inputs[queries])) @ self._network.llm_vectors().T
        return np.asarray(similar)[row] / self._temperature


class Encoders(nnx.Module):
    """Unit vectors of queries, from a hidden layer on their features, and of LLMs."""

    def __init__(self, inputs: int, num_llms: int, dim: int, rngs: nnx.Rngs):
        self.inner = nnx.Linear(inputs, 2 * dim, rngs=rngs)
        self.outer = nnx.Linear(2 * dim, dim, rngs=rngs)
        self.llms = nnx.Param(jax.random.normal(rngs.params(), (num_llms, dim)))

    def encode(self, features: Float[Array, "queries features"]) -> Float[Array, "queries dim"]:
        return _unit(self.outer(jax.nn.gelu(self.inner(features))))

    def llm_vectors(self) -> Float[Array, "llms dim"]:
        return _unit(self.llms[...])


def _loss(params, graph, tables, batch, key, settings):
    """Mean over the batch of -log softmax of each similar vector among the dissimilar ones."""
    features, best, worst, task = (table[batch] for table in tables)
    temperature, group_weight = settings
    network = nnx.merge(graph, params)
    queries = network.encode(features)
    of_llms = _against(queries @ network.llm_vectors().T / temperature, best, worst)
    same = task[:, None] == task[None]
    of_queries = _against(queries @ queries.T / temperature, same & ~jnp.eye(len(task), dtype=bool), ~same)
    return of_llms + group_weight * of_queries


def _against(logits, similar, dissimilar):
    """Mean over all similar pairs of log(exp(z) + sum of exp(z) of the row's dissimilar ones) - z."""
    others = jax.nn.logsumexp(jnp.where(dissimilar, logits, _FAR), axis=1, keepdims=True)
    losses = jnp.logaddexp(logits, others) - logits
    return jnp.where(similar, losses, 0).sum() / jnp.maximum(similar.sum(), 1)


def _first(keys: np.ndarray, number: int) -> np.ndarray:
    """Whether each entry is among the `number` lowest known ones of its row, bool; unknown ones are NaN."""
    rank = np.argsort(np.argsort(np.where(np.isnan(keys), np.inf, keys), axis=1, kind="stable"), axis=1)
    return (rank < number) & ~np.isnan(keys)


def _unit(vectors):
    return vectors / jnp.sqrt(jnp.square(vectors).sum(-1, keepdims=True) + 1e-6)
