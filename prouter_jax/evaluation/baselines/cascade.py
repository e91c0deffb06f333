"""Cascade and switch baselines: a forecast of the reward from text and task decides if a cheap LLM is enough.

They follow FrugalGPT (Chen et al. 2023) and Hybrid LLM (Ding et al. 2024). Forecasts are the population's mean rewards,
the same for all users. LLMs are ordered by mean cost in training, or by mean reward where costs are unobserved.
"""

import itertools

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    are_choices,
    as_logits,
    group_sums,
    population_means,
    query_means,
    smooth,
)
from prouter_jax.evaluation.baselines.features import query_features
from prouter_jax.evaluation.baselines.forecast import ridge_forecasts
from prouter_jax.evaluation.baselines.preference import observed_outcomes

_THRESHOLDS = 12
_MAX_CHAINS = 60  # chains tried on validation; more are sampled


class Cascade:
    """Goes through a chain of LLMs from cheap to strong, to the first whose forecast reward passes a threshold.

    Without such an LLM the last one answers. Chain and threshold are those with the best validation reward. The reward
    is that of the last LLM called: the costs of earlier calls are not charged.

    Args:
      length: number of LLMs in the chain, at least 2.
      penalty, text_weight: of the ridge regression, see `forecast.Ridge`.
    """

    name = "cascade"

    def __init__(
        self, dataset: Dataset, length: int = 3, penalty: float = 10.0, text_weight: float = 1.0, seed: int = 0
    ):
        self._length, self._penalty, self._seed = length, penalty, seed
        self._features = query_features(dataset, text_weight)
        self._cost = np.nan_to_num([metrics.mean(column) for column in observed_outcomes(dataset)[1].T], nan=np.inf)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._choices, self._population = are_choices(train), population_means(train.rewards)
        self._forecast = _forecast(train, self._features, self._population, self._penalty)
        order = np.lexsort((self._population, self._cost))
        queries, reward = query_means(validation, len(self._features))
        best = (-np.inf, (int(self._population.argmax()),), np.inf)
        for chain in self._chains(order):
            for threshold in self._thresholds(chain):
                selected = self._select_llms(queries, chain, threshold)
                value = metrics.mean(metrics.values_of_selected(reward, selected))
                best = max(best, (value, chain, threshold), key=lambda found: found[0])
        _, self._chain, self._threshold = best

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        """The population's mean rewards (for choices as logits); the selected LLM has the maximum plus 1."""
        queries, row = np.unique(decisions.query, return_inverse=True)
        selected = self._select_llms(queries, self._chain, self._threshold)
        scores = as_logits(self._population, self._choices)
        return np.where(selected[:, None] == np.arange(len(scores)), scores.max() + 1, scores)[row]

    def _chains(self, order: np.ndarray) -> list[tuple[int, ...]]:
        """Chains of LLM rows from cheap to strong, at most `_MAX_CHAINS`."""
        chains = list(itertools.combinations(order.tolist(), min(self._length, len(order))))
        chosen = np.random.default_rng(self._seed).permutation(len(chains))[:_MAX_CHAINS]
        return [chains[row] for row in sorted(chosen)]

    def _thresholds(self, chain: tuple[int, ...]) -> np.ndarray:
        """Thresholds to try: quantiles of the forecasts of all LLMs but the last."""
        earlier = self._forecast[:, chain[:-1]]
        return np.quantile(earlier, np.linspace(0, 1, _THRESHOLDS)) if earlier.size else np.zeros(1)

    def _select_llms(self, queries: np.ndarray, chain: tuple[int, ...], threshold: float) -> np.ndarray:
        """Row of the LLM that answers each query."""
        passed = self._forecast[queries][:, chain] >= threshold
        passed[:, -1] = True
        return np.array(chain)[passed.argmax(1)]


class Switch(Cascade):
    """A small and a large LLM: the best of the cheaper half and of the dearer half of LLMs by population reward.

    The large one answers where its forecast reward exceeds the small one's by a threshold that is tuned on validation.

    Args:
      penalty, text_weight: of the ridge regression, see `forecast.Ridge`.
    """

    name = "switch"

    def __init__(self, dataset: Dataset, penalty: float = 10.0, text_weight: float = 1.0):
        super().__init__(dataset, 2, penalty, text_weight)

    def _chains(self, order: np.ndarray) -> list[tuple[int, ...]]:
        halves = np.array_split(order, 2)
        return [tuple(int(half[self._population[half].argmax()]) for half in halves if len(half))]

    def _thresholds(self, chain: tuple[int, ...]) -> np.ndarray:
        gain = self._forecast[:, chain[-1]] - self._forecast[:, chain[0]]
        return np.quantile(gain, np.linspace(0, 1, 4 * _THRESHOLDS))

    def _select_llms(self, queries: np.ndarray, chain: tuple[int, ...], threshold: float) -> np.ndarray:
        gain = self._forecast[queries, chain[-1]] - self._forecast[queries, chain[0]]
        return np.where(gain >= threshold, chain[-1], chain[0])


def _forecast(train: Labelled, features: np.ndarray, population: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression of the population's mean reward on text and task, [queries, llms]."""
    total, count = group_sums(train.rewards, train.decisions.query, len(features))
    seen = count.sum(1) > 0
    targets = smooth(total[seen], count[seen], population, 1.0) - population
    return ridge_forecasts(features, seen, targets, [penalty])[0] + population
