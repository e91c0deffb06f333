"""Gradient-boosting baselines with LightGBM: pip install 'prouter-jax[baselines]'."""

import importlib
from typing import Any

import numpy as np

from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import are_choices, select, select_decisions
from prouter_jax.evaluation.baselines.features import DecisionFeatures, is_warm, llm_features, principal_components
from prouter_jax.evaluation.baselines.forecast import QueryForecast
from prouter_jax.evaluation.baselines.preference import has_outcomes

_BLOCK = 8192
_CATEGORICAL = 3  # the first columns of the features


class Boosting:
    """Trees on features of user, text, task, LLM and, for queries with training decisions, of the answer.

    For choices, and for rewards without outcomes, each candidate is a row; for choices the score is the log odds of
    the choice. For rewards made of effects and costs, trees forecast these, and the user's estimated weight combines
    them (see `QueryForecast`).

    Args:
      rounds: number of trees.
      leaves: leaves of a tree (`num_leaves`).
      least_rows: minimum number of rows in a leaf (`min_data_in_leaf`).
      components: number of principal components of the text vectors.
      most_rows: maximum number of training rows; larger training sets are sampled.

    Raises:
      ImportError: at `fit`, if LightGBM is not installed.
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
        self._dataset = dataset
        trees = {"num_leaves": leaves, "learning_rate": learning_rate, "min_data_in_leaf": least_rows, "seed": seed}
        self._arguments = ((trees, rounds), components, most_rows, seed)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        kind = _CandidateTrees if are_choices(train) or not has_outcomes(self._dataset) else _OutcomeTrees
        self._model = kind(self._dataset, *self._arguments)
        self._model.fit(train, validation)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return self._model.score(history, decisions)


class BoostingTruePreference(Boosting):
    """Forecasts of effect and cost as in `Boosting`, combined by every user's true preference."""

    name = "boosting_true_preference"

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._model = _OutcomeTrees(self._dataset, *self._arguments)
        self._model.fit(train, validation)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return self._model.score_with_preferences(self._dataset.data.users.preference, decisions)


class _CandidateTrees:
    """Trees on one row for each candidate of each decision."""

    def __init__(self, dataset: Dataset, trees: tuple[dict, int], components: int, most_rows: int, seed: int):
        self._dataset, self._trees = dataset, trees
        self._components, self._most_rows, self._seed = components, most_rows, seed

    def fit(self, train: Labelled, validation: Labelled) -> None:
        rng, choices = np.random.default_rng(self._seed), are_choices(train)
        self._train = train
        self._features = DecisionFeatures(self._dataset, self._components, choices, is_warm(train, validation))
        rows = _sample(train, self._most_rows, rng)
        features, rewards = [], []
        for statistics, fold_rows in self._features.folds(train, rows, rng):
            part = select(train, fold_rows)
            features.append(self._features.candidate_features(statistics, part.decisions))
            rewards.append(part.rewards[part.decisions.offered])
        inputs, target = np.concatenate(features), np.concatenate(rewards)
        observed = ~np.isnan(target)
        objective = "cross_entropy" if choices else "regression"
        self._model = _fit_trees(inputs[observed], target[observed], self._trees, objective)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        statistics = self._features.statistics(history, self._train)
        scores = np.zeros(decisions.offered.shape)
        for start in range(0, len(scores), _BLOCK):
            rows = slice(start, start + _BLOCK)
            part = select_decisions(decisions, rows)
            inputs = self._features.candidate_features(statistics, part)
            scores[rows][part.offered] = self._model.predict(inputs, raw_score=True)
        return scores


class _OutcomeTrees(QueryForecast):
    """Trees on one row for each query and LLM: residuals of effects and costs from smoothed means of LLM x task."""

    def __init__(self, dataset: Dataset, trees: tuple[dict, int], components: int, most_rows: int, seed: int):
        super().__init__(dataset)
        self._trees, self._components, self._most_rows, self._seed = trees, components, most_rows, seed
        self._llms = llm_features(dataset)

    def _fit_deviations(self, seen: np.ndarray, deviation: np.ndarray) -> None:
        self._of_task = self._task_deviations(seen, deviation)
        self._text = principal_components(self._dataset.vectors.query, self._mask(seen), self._components)
        rng, num_llms = np.random.default_rng(self._seed), len(self._llms)
        self._models = []
        for first in (0, num_llms):  # columns of effects, then of costs
            row, llm = np.nonzero(self._count[seen, first : first + num_llms])
            kept = np.sort(rng.permutation(len(row))[: self._most_rows])
            row, llm = row[kept], llm[kept]
            inputs, target = self._inputs(seen[row], llm), deviation[row, first + llm]
            self._models.append(_fit_trees(inputs, target, self._trees, "regression"))

    def _predict_deviations(self, queries: np.ndarray) -> np.ndarray:
        num_llms = len(self._llms)
        inputs = self._inputs(np.repeat(queries, num_llms), np.tile(np.arange(num_llms), len(queries)))
        residuals = [model.predict(inputs).reshape(-1, num_llms) for model in self._models]
        return self._of_task[queries] + np.concatenate(residuals, axis=1)

    def _inputs(self, query: np.ndarray, llm: np.ndarray) -> np.ndarray:
        task = self._dataset.data.queries.task[query, None] + 1
        of_llm = self._llms[llm]
        return np.concatenate([of_llm[:, :2], task, of_llm[:, 2:], self._text[query]], axis=1, dtype=np.float32)


def _sample(train: Labelled, most_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted random rows of decisions that have about `most_rows` candidates together."""
    share = most_rows / max(int(train.decisions.offered.sum()), 1)
    number = len(train.rewards)
    return np.sort(rng.permutation(number)[: max(1, int(min(share, 1) * number))])


def _fit_trees(inputs: np.ndarray, target: np.ndarray, trees: tuple[dict, int], objective: str) -> Any:
    """A LightGBM model; `trees` has the settings of the trees and their number."""
    try:
        lightgbm = importlib.import_module("lightgbm")
    except ImportError as error:
        raise ImportError("boosting needs LightGBM: pip install 'prouter-jax[baselines]'") from error
    settings = {"objective": objective, "verbosity": -1, "deterministic": True, "force_row_wise": True, **trees[0]}
    data = lightgbm.Dataset(inputs, target, categorical_feature=list(range(_CATEGORICAL)))
    return lightgbm.train(settings, data, num_boost_round=trees[1])
