"""Gradient boosting with LightGBM: pip install 'prouter-jax[baselines]'."""

import importlib
from typing import Any

import numpy as np

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import are_choices, select, select_decisions
from prouter_jax.evaluation.baselines.features import DecisionFeatures, is_warm, llm_features, principal_components
from prouter_jax.evaluation.baselines.forecast import QueryForecast, has_outcomes

_BLOCK = 8192
_CATEGORIES = 3  # first columns of the features


class Boosting:
    """Trees on features of user, text, task, LLM and, on queries that others decided on, of the answer.

    For choices each candidate is a row and the score the log odds of its being chosen; for rewards
    made of effects and costs, these are forecast and weighed by the preference that the history tells.

    Args:
      rounds, leaves, learning_rate, least_rows: of the trees (`num_leaves`, `min_data_in_leaf`).
      components: principal components of the text vectors.
      most_rows: training rows, drawn at random where there are more.

    Raises:
      ImportError: without LightGBM, at `fit`.
    """

    name = "boosting"

    def __init__(
        self,
        dataset: Dataset,
        rounds: int = 100,
        leaves: int = 7,
        learning_rate: float = 0.05,
        least_rows: int = 100,
        components: int = 32,
        most_rows: int = 200_000,
        seed: int = 0,
    ):
        self._prepared = dataset
        trees = {"num_leaves": leaves, "learning_rate": learning_rate, "min_data_in_leaf": least_rows, "seed": seed}
        self._trees = (trees, rounds)
        self._sizes = (components, most_rows, seed)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        kind = _Decisions if are_choices(train) or not has_outcomes(self._prepared) else _Outcomes
        self._inner = kind(self._prepared, self._trees, *self._sizes)
        self._inner.fit(train, validation)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return self._inner.score(history, decisions)


class BoostingTruePreference(Boosting):
    """The same forecasts of effect and cost, weighed by every user's true preference."""

    name = "boosting_true_preference"

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._inner = _Outcomes(self._prepared, self._trees, *self._sizes)
        self._inner.fit(train, validation)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        del history
        return self._inner.score_weighed(self._prepared.data.users.preference, decisions)


class _Decisions:
    """A row for each candidate of each decision."""

    def __init__(self, dataset: Dataset, trees: tuple[dict, int], components: int, most_rows: int, seed: int):
        self._prepared, self._trees = dataset, trees
        self._components, self._most_rows, self._seed = components, most_rows, seed

    def fit(self, train: Labelled, validation: Labelled) -> None:
        rng, choices = np.random.default_rng(self._seed), are_choices(train)
        self._train = train
        self._features = DecisionFeatures(self._prepared, self._components, choices, is_warm(train, validation))
        rows = _sample(train, self._most_rows, rng)
        found, rewards = [], []
        for known, some in self._features.folds(train, rows, rng):
            part = select(train, some)
            found.append(self._features.rows(known, part.decisions))
            rewards.append(part.rewards[part.decisions.offered])
        features, target = np.concatenate(found), np.concatenate(rewards)
        objective = "cross_entropy" if choices else "regression"
        told = ~np.isnan(target)
        self._model = _grow(features[told], target[told], self._trees, objective)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        known = self._features.known(history, self._train)
        scores = np.zeros(decisions.offered.shape)
        for start in range(0, len(scores), _BLOCK):
            some = slice(start, start + _BLOCK)
            part = select_decisions(decisions, some)
            scores[some][part.offered] = self._model.predict(self._features.rows(known, part), raw_score=True)
        return scores


class _Outcomes(QueryForecast):
    """A row for each query and LLM; trees learn what smoothed means of LLM x task leave, of effects and of costs."""

    def __init__(self, dataset: Dataset, trees: tuple[dict, int], components: int, most_rows: int, seed: int):
        super().__init__(dataset)
        self._trees, self._components, self._most_rows, self._seed = trees, components, most_rows, seed
        self._llms = llm_features(dataset)

    def _learn(self, seen: np.ndarray, deviation: np.ndarray, validation: Labelled) -> None:
        del validation
        known = np.zeros(self._num_queries, bool)
        known[seen] = True
        self._of_task = self._task_deviations(seen, deviation)
        self._text = principal_components(self._prepared.vectors.query, known, self._components)
        rng, num_llms = np.random.default_rng(self._seed), len(self._llms)
        self._models = []
        for first in (0, num_llms):
            row, llm = np.nonzero(self._count[seen, first : first + num_llms])
            chosen = np.sort(rng.permutation(len(row))[: self._most_rows])
            row, llm = row[chosen], llm[chosen]
            self._models.append(
                _grow(self._rows(seen[row], llm), deviation[row, first + llm], self._trees, "regression")
            )

    def _deviation(self, asked: np.ndarray) -> np.ndarray:
        num_llms = len(self._llms)
        rows = self._rows(np.repeat(asked, num_llms), np.tile(np.arange(num_llms), len(asked)))
        left = [model.predict(rows).reshape(-1, num_llms) for model in self._models]
        return self._of_task[asked] + np.concatenate(left, axis=1)

    def _rows(self, query: np.ndarray, llm: np.ndarray) -> np.ndarray:
        task = self._prepared.data.queries.task[query, None] + 1
        of_llm = self._llms[llm]
        return np.concatenate([of_llm[:, :2], task, of_llm[:, 2:], self._text[query]], axis=1, dtype=np.float32)


def _sample(train: Labelled, most_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of decisions with about `most_rows` candidates together, in order."""
    share = most_rows / max(int(train.decisions.offered.sum()), 1)
    number = len(train.rewards)
    return np.sort(rng.permutation(number)[: max(1, int(min(share, 1) * number))])


def _grow(features: np.ndarray, target: np.ndarray, trees: tuple[dict, int], objective: str) -> Any:
    try:
        lightgbm = importlib.import_module("lightgbm")
    except ImportError as error:
        raise ImportError("boosting needs LightGBM: pip install 'prouter-jax[baselines]'") from error
    settings = {"objective": objective, "verbosity": -1, "deterministic": True, "force_row_wise": True, **trees[0]}
    data = lightgbm.Dataset(features, target, categorical_feature=list(range(_CATEGORIES)))
    return lightgbm.train(settings, data, num_boost_round=trees[1])
