"""Features of queries for linear and nearest-neighbour baselines, and of decisions for boosting and the MLP."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from prouter_jax.data.distinct import first_seen
from prouter_jax.data.rewards import DecisionArrays, outcome_matrix
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    as_logits,
    first_decisions,
    group_sums,
    population_means,
    select,
    smooth,
    task_sums,
)
from prouter_jax.evaluation.baselines.preference import observed_outcomes

_FOLDS = 4
_USER_STRENGTH, _TASK_STRENGTH, _QUERY_STRENGTH = 8.0, 10.0, 10.0  # decisions that the wider mean counts for


def query_features(dataset: Dataset, text_weight: float = 1.0) -> Float[np.ndarray, "queries features"]:
    """Text vector times `text_weight`, then the one-hot task, of every query, float64."""
    return np.concatenate([text_weight * dataset.vectors.query, task_columns(dataset)], axis=1).astype(np.float64)


def task_columns(dataset: Dataset) -> Float[np.ndarray, "queries tasks"]:
    """One-hot task of every query, float32; all zeros for queries without a task."""
    task = dataset.data.queries.task
    return (task[:, None] == np.arange(len(dataset.data.tasks.ids))).astype(np.float32)


def unit_vectors(vectors: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Vectors scaled to length 1, float32; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def kernel_features(
    vectors: Float[np.ndarray, "queries dim"],
    seen: Bool[np.ndarray, " queries"],
    width: float,
    landmarks: int,
    seed: int = 0,
) -> Float[np.ndarray, "queries features"]:
    """Nystroem features of the kernel k(x, y) = exp((cosine(x, y) - 1) / width^2).

    phi(x) = K(x, Z) K(Z, Z)^-1/2 with landmarks Z drawn from the seen queries (Williams & Seeger 2001). Inner products
    are exact where all seen queries are landmarks. sklearn's Nystroem has no cosine kernel and keeps directions of
    eigenvalues near zero.
    """
    unit, rows = unit_vectors(vectors), np.flatnonzero(seen)
    if len(rows) > landmarks:
        rows = np.sort(np.random.default_rng(seed).choice(rows, landmarks, replace=False))
    kernel = np.exp((unit.astype(np.float64) @ unit[rows].T - 1) / width**2)
    spectrum, basis = np.linalg.eigh(kernel[rows])
    kept = spectrum > 1e-8 * max(spectrum.max(initial=0), 1e-300)
    return kernel @ (basis[:, kept] / np.sqrt(spectrum[kept]))


def kernel_task_features(
    dataset: Dataset, seen: Bool[np.ndarray, " queries"], text_weight: float, width: float, landmarks: int = 600
) -> Float[np.ndarray, "queries features"]:
    """`kernel_features` of the queries' text vectors times `text_weight`, then the one-hot task, float64."""
    kernel = kernel_features(dataset.vectors.query, seen, width, landmarks)
    return np.concatenate([text_weight * kernel, task_columns(dataset)], axis=1)


def principal_components(
    vectors: Float[np.ndarray, "queries dim"], seen: Bool[np.ndarray, " queries"], number: int
) -> Float[np.ndarray, "queries components"]:
    """Projections on the first principal components of the seen rows, with standard deviation 1 there, float32."""
    centred = vectors.astype(np.float64) - vectors[seen].mean(0)
    spectrum, basis = np.linalg.eigh(centred[seen].T @ centred[seen] / max(seen.sum(), 1))
    kept = np.argsort(-spectrum)[:number]
    scale = np.sqrt(np.maximum(spectrum[kept], 1e-12))
    return (centred @ basis[:, kept] / scale).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of training decisions and user histories, float32. Means are smoothed; of choices they are log shares.

    Attributes:
      by_user: mean reward of each LLM for each user.
      by_user_task: the same for each user and task.
      by_task: the same for each task, over all users.
      by_query: the same for each query, over all users.
      query_count: log(1 + number of decisions) for each query and LLM.
      history_length: log(1 + number of decisions) of each user.
      preferred: mean effect and mean scaled cost of the answers with the highest reward, and mean reward of the answer
        shown first; NaN where unobserved.
    """

    by_user: Float[np.ndarray, "users llms"]
    by_user_task: Float[np.ndarray, "users tasks llms"]
    by_task: Float[np.ndarray, "tasks llms"]
    by_query: Float[np.ndarray, "queries llms"]
    query_count: Float[np.ndarray, "queries llms"]
    history_length: Float[np.ndarray, " users"]
    preferred: Float[np.ndarray, "users 3"]


class DecisionFeatures:
    """Builds features of decisions from training decisions and histories.

    Args:
      components: number of principal components of the text vectors.
      choices: whether rewards are shares of choices.
      warm: whether the queries to score have training decisions and outcomes, see `is_warm`.
    """

    def __init__(self, dataset: Dataset, components: int, choices: bool, warm: bool):
        data = dataset.data
        self._choices, self._warm = choices, warm
        self._shape = (len(data.users.ids), len(data.queries.ids), len(data.llms.ids))
        self.task, self.num_tasks = data.queries.task + 1, len(data.tasks.ids) + 1
        self._effect, self._cost = observed_outcomes(dataset)
        self.text = principal_components(dataset.vectors.query, dataset.world_query >= 0, components)
        self._llm, self._answers = llm_features(dataset), _answer_features(dataset) if warm else None

    def statistics(self, history: Labelled, train: Labelled) -> Statistics:
        """Statistics of the users' histories and of all users' training decisions."""
        num_users, num_queries, num_llms = self._shape
        population, user = population_means(train.rewards), history.decisions.user
        by_task = group_sums(train.rewards, self.task[train.decisions.query], self.num_tasks)
        by_task = smooth(*by_task, population, _TASK_STRENGTH)
        total, count = group_sums(train.rewards, train.decisions.query, num_queries)
        by_query = smooth(total, count, by_task[self.task], _QUERY_STRENGTH)
        by_user = smooth(*group_sums(history.rewards, user, num_users), population, _USER_STRENGTH)
        cell = user.astype(np.int64) * self.num_tasks + self.task[history.decisions.query]
        prior = (by_user[:, None] + by_task - population).reshape(-1, num_llms)
        by_user_task = smooth(*group_sums(history.rewards, cell, len(prior)), prior, _TASK_STRENGTH)
        means = (by_user, by_user_task.reshape(num_users, -1, num_llms), by_task, by_query)
        arrays = [as_logits(values, self._choices) for values in means]
        arrays += [np.log1p(count), np.log1p(np.bincount(user, minlength=num_users)), self._preferred(history)]
        return Statistics(*(values.astype(np.float32) for values in arrays))

    def candidate_features(
        self, statistics: Statistics, decisions: DecisionArrays
    ) -> Float[np.ndarray, "candidates features"]:
        """Features of each candidate of each decision in turn, float32, NaN where unobserved.

        The first three columns are categorical: LLM, LLM family and task.
        """
        row, llm = np.nonzero(decisions.offered)
        user, query = decisions.user[row], decisions.query[row]
        task, first = self.task[query], decisions.first[row]
        single = (self._llm[llm, 0], self._llm[llm, 1], task)
        single += (statistics.by_user[user, llm], statistics.by_user_task[user, task, llm])
        single += (statistics.by_task[task, llm], statistics.history_length[user])
        single += (np.where(first < 0, np.nan, first == llm),)
        columns = [np.stack(single, 1), statistics.preferred[user], self._llm[llm, 2:], self.text[query]]
        if self._answers is not None:
            columns += [np.stack([statistics.by_query[query, llm], statistics.query_count[query, llm]], 1)]
            columns += [self._answers[query, llm]]
        return np.concatenate(columns, axis=1, dtype=np.float32)

    def decision_features(
        self, statistics: Statistics, decisions: DecisionArrays
    ) -> Float[np.ndarray, "decisions features"]:
        """Features of each decision as a whole, float32, without NaN."""
        user, query = decisions.user, decisions.query
        task = self.task[query]
        columns = [statistics.by_user[user], statistics.by_user_task[user, task], statistics.by_task[task]]
        columns += [statistics.history_length[user, None]]
        columns += [self.text[query], np.eye(self.num_tasks, dtype=np.float32)[task]]
        columns += [statistics.by_query[query]] if self._warm else []
        return np.concatenate(columns, axis=1, dtype=np.float32)

    def folds(
        self, train: Labelled, rows: Int[np.ndarray, " rows"], rng: np.random.Generator
    ) -> Iterator[tuple[Statistics, Int[np.ndarray, " fold_rows"]]]:
        """Cross-fitted statistics: yields (statistics without the fold, the fold's part of `rows`) for each fold.

        Folds are made of queries where the queries to score have no decisions, else of single decisions. Half of the
        users keep only a random part of their history, with lengths even on a log scale, so that models also see
        short histories.
        """
        unit = train.decisions.query if not self._warm else np.arange(len(train.decisions.query))
        fold = rng.integers(_FOLDS, size=int(unit.max(initial=0)) + 1)[unit]
        for number in range(_FOLDS):
            visible = select(train, np.flatnonzero(fold != number))
            yield self.statistics(_shortened(visible, rng), visible), rows[fold[rows] == number]

    def _preferred(self, history: Labelled) -> np.ndarray:
        """`Statistics.preferred` of the users."""
        rewards, query, first = history.rewards, history.decisions.query, history.decisions.first
        best = np.where(np.isnan(rewards), -np.inf, rewards).argmax(1)
        observed = (~np.isnan(rewards)).any(1)
        values = [np.where(observed, table[query, best], np.nan) for table in (self._effect, self._cost)]
        values.append(np.where(first >= 0, rewards[np.arange(len(first)), first], np.nan))
        total, count = group_sums(np.stack(values, 1), history.decisions.user, self._shape[0])
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def is_warm(train: Labelled, validation: Labelled) -> bool:
    """Whether most validation decisions are on queries with training decisions."""
    if not len(validation.rewards):
        return False
    return bool(np.isin(validation.decisions.query, train.decisions.query).mean() > 0.5)


def llm_features(dataset: Dataset) -> Float[np.ndarray, "llms 6"]:
    """Row, family number, log input and output price, mean effect and mean scaled cost of each LLM, float32.

    Prices, effects and costs are NaN where unobserved.
    """
    llms = dataset.data.llms
    means = []
    for table in observed_outcomes(dataset):
        total, count = task_sums(table, np.zeros(len(table), int), 1)
        means.append((total / np.where(count > 0, count, np.nan))[0])
    family, _ = first_seen(llms.families)
    prices = (np.log1p(llms.input_price), np.log1p(llms.output_price))
    return np.stack([np.arange(len(family)), family, *prices, *means], 1).astype(np.float32)


def _answer_features(dataset: Dataset) -> np.ndarray:
    """Effect, scaled cost and style of each answer of the training world, float32 [queries, llms, features]."""
    tables, world = list(observed_outcomes(dataset)), dataset.world.interactions
    style = getattr(world.outcomes, "style", None)
    seen = dataset.world_query >= 0
    for column in () if style is None else style.T:
        table = np.full(tables[0].shape, np.nan, np.float32)
        table[seen] = outcome_matrix(world, column)[dataset.world_query[seen]]
        tables.append(table)
    return np.stack(tables, axis=2)


def _shortened(labelled: Labelled, rng: np.random.Generator) -> Labelled:
    """Keeps a random part of the decisions of half of the users."""
    user = labelled.decisions.user
    count = np.bincount(user)
    length = np.where(rng.random(len(count)) < 0.5, count, np.exp(rng.random(len(count)) * np.log(count + 1.0)) - 1)
    return first_decisions(labelled, length, rng.random(len(user)))
