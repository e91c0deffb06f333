"""Routers in the manner of FrugalGPT and HybridLLM: a forecast from the text decides whether a cheap LLM will do.

Both are blind to users: what they forecast is the population's mean reward of an answer. LLMs
are ordered by their mean cost in training, or, where no cost is known, by their mean reward (the population's share).
"""

import itertools

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import are_choices, as_logits, group_sums, population_means, smooth
from prouter_jax.evaluation.baselines.features import query_features
from prouter_jax.evaluation.baselines.forecast import seen_outcomes
from prouter_jax.evaluation.baselines.ridge import ridge_forecasts

_THRESHOLDS = 12
_CHAINS = 60  # orders tried, drawn at random where there are more


class Cascade:
    """Asks LLMs from cheap to strong and ends with the first whose forecast reward passes a threshold, or the last.

    Orders of `length` LLMs and thresholds are tried on validation. Measured as the LLM it ends with:
    what the earlier ones cost is not charged.

    Args:
      length: LLMs in the chain, 2 or more.
      penalty, text_weight: of the ridge regression that forecasts.
    """

    name = "cascade"

    def __init__(
        self, dataset: Dataset, length: int = 3, penalty: float = 10.0, text_weight: float = 1.0, seed: int = 0
    ):
        self._prepared, self._length, self._penalty, self._seed = dataset, length, penalty, seed
        self._features = query_features(dataset, text_weight)
        self._cost = np.nan_to_num([metrics.mean(column) for column in seen_outcomes(dataset)[1].T], nan=np.inf)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._choices, self._population = are_choices(train), population_means(train.rewards)
        self._forecast = _forecast(train, self._features, self._population, self._penalty)
        order = np.lexsort((self._population, self._cost))
        asked, reward = _mean_rewards(validation, len(self._features))
        best = (-np.inf, (int(self._population.argmax()),), np.inf)
        for chain in self._chains(order):
            for threshold in self._thresholds(chain):
                value = metrics.mean(metrics.values_of_selected(reward, self._end(asked, chain, threshold)))
                best = max(best, (value, chain, threshold), key=lambda found: found[0])
        _, self._chain, self._threshold = best

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        """The population's mean rewards (of choices as logits); one more than the best of them where it ends."""
        del history
        asked, row = np.unique(decisions.query, return_inverse=True)
        end = self._end(asked, self._chain, self._threshold)
        scores = as_logits(self._population, self._choices)
        return np.where(end[:, None] == np.arange(len(scores)), scores.max() + 1, scores)[row]

    def _chains(self, order: np.ndarray) -> list[tuple[int, ...]]:
        """Chains from cheap to strong; of very many a random few."""
        chains = list(itertools.combinations(order.tolist(), min(self._length, len(order))))
        chosen = np.random.default_rng(self._seed).permutation(len(chains))[:_CHAINS]
        return [chains[row] for row in sorted(chosen)]

    def _thresholds(self, chain: tuple[int, ...]) -> np.ndarray:
        earlier = self._forecast[:, chain[:-1]]
        return np.quantile(earlier, np.linspace(0, 1, _THRESHOLDS)) if earlier.size else np.zeros(1)

    def _end(self, asked: np.ndarray, chain: tuple[int, ...], threshold: float) -> np.ndarray:
        """LLM rows [asked] where the chain ends."""
        passed = self._forecast[asked][:, chain] >= threshold
        passed[:, -1] = True
        return np.array(chain)[passed.argmax(1)]


class Switch(Cascade):
    """A small and a large LLM: the best of the cheaper half and the best of the dearer half by population reward.

    The large one answers where its forecast reward exceeds the small one's by a threshold, tried on validation.
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

    def _end(self, asked: np.ndarray, chain: tuple[int, ...], threshold: float) -> np.ndarray:
        gain = self._forecast[asked, chain[-1]] - self._forecast[asked, chain[0]]
        return np.where(gain >= threshold, chain[-1], chain[0])


def _forecast(train: Labelled, features: np.ndarray, population: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression of the population's mean reward on the query's text and task, [queries, llms]."""
    total, count = group_sums(train.rewards, train.decisions.query, len(features))
    seen = count.sum(1) > 0
    targets = smooth(total[seen], count[seen], population, 1.0) - population
    return ridge_forecasts(features, seen, targets, [penalty])[0] + population


def _mean_rewards(labelled: Labelled, num_queries: int) -> tuple[np.ndarray, np.ndarray]:
    """The queries asked about and everybody's mean reward of each LLM there, NaN where unknown."""
    total, count = group_sums(labelled.rewards, labelled.decisions.query, num_queries)
    asked = np.flatnonzero(count.any(1))
    total, count = total[asked], count[asked]
    return asked, np.where(count > 0, total / np.maximum(count, 1), np.nan)
