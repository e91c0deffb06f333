"""What is known of decisions before they are made, as tables that learners of any kind read features from."""

import dataclasses

import numpy as np
from scipy import sparse

from prouter_jax.data.interactions import first_seen
from prouter_jax.data.rewards import DecisionArrays, outcome_matrix
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import (
    as_logits,
    first_decisions,
    group_sums,
    population_means,
    select,
    smooth,
)
from prouter_jax.evaluation.baselines.forecast import seen_outcomes, task_sums

_BLOCK = 2048


def query_features(dataset: Dataset, text_weight: float = 1.0) -> np.ndarray:
    """Weighted text vector and task (one column each, none for no task) of every query, float64 [queries, features]."""
    return np.concatenate([text_weight * dataset.vectors.query, task_columns(dataset)], axis=1).astype(np.float64)


def task_columns(dataset: Dataset) -> np.ndarray:
    """1 for the task of each query, float32 [queries, tasks]."""
    task = dataset.data.queries.task
    return (task[:, None] == np.arange(len(dataset.data.tasks.ids))).astype(np.float32)


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float32; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def kernel_features(vectors: np.ndarray, seen: np.ndarray, width: float, landmarks: int, seed: int = 0) -> np.ndarray:
    """Features whose inner products are the kernel exp((cosine - 1) / width^2) of the texts (Nystroem).

    phi(x) = K(x, Z) K(Z, Z)^-1/2 with landmarks Z, at most so many of the seen queries: exact where
    they are all of them.

    Returns:
      float64 [queries, landmarks].
    """
    unit, rows = unit_vectors(vectors), np.flatnonzero(seen)
    if len(rows) > landmarks:
        rows = np.sort(np.random.default_rng(seed).choice(rows, landmarks, replace=False))
    kernel = np.exp((unit.astype(np.float64) @ unit[rows].T - 1) / width**2)
    spectrum, basis = np.linalg.eigh(kernel[rows])
    kept = spectrum > 1e-8 * max(spectrum.max(initial=0), 1e-300)
    return kernel @ (basis[:, kept] / np.sqrt(spectrum[kept]))


def principal_components(vectors: np.ndarray, seen: np.ndarray, number: int) -> np.ndarray:
    """Projections on the first principal components of the seen rows, each of standard deviation 1 there, float32."""
    centred = vectors.astype(np.float64) - vectors[seen].mean(0)
    spectrum, basis = np.linalg.eigh(centred[seen].T @ centred[seen] / max(seen.sum(), 1))
    kept = np.argsort(-spectrum)[:number]
    scale = np.sqrt(np.maximum(spectrum[kept], 1e-12))
    return (centred @ basis[:, kept] / scale).astype(np.float32)


def nearest(
    dataset: Dataset, asked: np.ndarray, seen: np.ndarray, number: int, sharpness: float, task_bonus: float
) -> sparse.csr_matrix:
    """Weights of each asked query's nearest seen ones other than itself, rows sum to 1; [asked, queries].

    weight = softmax(sharpness * (cosine + task_bonus where the task is the same)) over the `number` nearest.

    Args:
      asked, seen: rows of queries.
    """
    unit, task = unit_vectors(dataset.vectors.query), dataset.data.queries.task
    number = min(number, len(seen))
    columns, weights = [np.zeros((0, number), int)], [np.zeros((0, number))]
    for start in range(0, len(asked), _BLOCK):
        rows = asked[start : start + _BLOCK]
        near = unit[rows] @ unit[seen].T + task_bonus * (task[rows, None] == task[seen])
        near[rows[:, None] == seen] = -np.inf
        place = np.argpartition(near, -number, axis=1)[:, len(seen) - number :] if number < len(seen) else None
        place = np.broadcast_to(np.arange(number), near.shape) if place is None else place
        closeness = sharpness * np.take_along_axis(near, place, 1).astype(np.float64)
        closeness -= np.where(np.isfinite(closeness), closeness, -1e9).max(1, keepdims=True)
        weight = np.exp(closeness)
        columns.append(seen[place])
        weights.append(weight / np.maximum(weight.sum(1, keepdims=True), 1e-300))
    ends = np.arange(len(asked) + 1) * number
    shape = (len(asked), len(unit))
    return sparse.csr_matrix((np.concatenate(weights).ravel(), np.concatenate(columns).ravel(), ends), shape=shape)


_FOLDS = 4
_OWN, _TASK, _QUERY = 8.0, 10.0, 10.0  # decisions that a wider mean counts for


@dataclasses.dataclass(frozen=True)
class Known:
    """Of a given history: smoothed mean rewards (of choices as logits) and what the users' picks were like.

    Attributes:
      own: [users, llms]; own_task: [users, tasks, llms]; of_task: [tasks, llms]; of_query: [queries, llms].
      on_query: log(1 + number of decisions) on each query and LLM; length: the same of each user.
      taste: [users, 3], mean effect and scaled cost of what the user liked best, and its mean reward of
        what was shown first.
    """

    own: np.ndarray
    own_task: np.ndarray
    of_task: np.ndarray
    of_query: np.ndarray
    on_query: np.ndarray
    length: np.ndarray
    taste: np.ndarray


class DecisionFeatures:
    """Makes features of decisions from histories.

    Args:
      components: principal components of the text vectors that are kept.
      choices: whether rewards are shares of choices.
      warm: whether the decisions to score are on queries that others decided on and whose outcomes are known.
    """

    def __init__(self, dataset: Dataset, components: int, choices: bool, warm: bool):
        data = dataset.data
        self._choices, self._warm = choices, warm
        self._shape = (len(data.users.ids), len(data.queries.ids), len(data.llms.ids))
        self.task, self.num_tasks = data.queries.task + 1, len(data.tasks.ids) + 1
        self._effect, self._cost = seen_outcomes(dataset)
        self.text = principal_components(dataset.vectors.query, dataset.world_query >= 0, components)
        self._llm, self._answers = llm_features(dataset), _answer_features(dataset) if warm else None

    def known(self, history: Labelled, train: Labelled) -> Known:
        """What `history` tells of its users, and `train` of everybody."""
        num_users, num_queries, num_llms = self._shape
        population, user = population_means(train.rewards), history.decisions.user
        of_task = smooth(
            *group_sums(train.rewards, self.task[train.decisions.query], self.num_tasks), population, _TASK
        )
        total, count = group_sums(train.rewards, train.decisions.query, num_queries)
        of_query = smooth(total, count, of_task[self.task], _QUERY)
        own = smooth(*group_sums(history.rewards, user, num_users), population, _OWN)
        cell = user.astype(np.int64) * self.num_tasks + self.task[history.decisions.query]
        prior = (own[:, None] + of_task - population).reshape(-1, num_llms)
        own_task = smooth(*group_sums(history.rewards, cell, len(prior)), prior, _TASK)
        means = (own, own_task.reshape(num_users, -1, num_llms), of_task, of_query)
        logits = [as_logits(values, self._choices).astype(np.float32) for values in means]
        length, on_query = np.log1p(np.bincount(user, minlength=num_users)), np.log1p(count)
        own, own_task, of_task, of_query = logits
        taste = self._taste(history)
        return Known(own, own_task, of_task, of_query, on_query.astype(np.float32), length.astype(np.float32), taste)

    def rows(self, known: Known, decisions: DecisionArrays) -> np.ndarray:
        """Features of each candidate of each decision in turn, float32 [candidates of all decisions, features].

        The first three columns are categories: LLM, its family, the task; NaN is for what is not known.
        """
        row, llm = np.nonzero(decisions.offered)
        user, query = decisions.user[row], decisions.query[row]
        task = self.task[query]
        single = (self._llm[llm, 0], self._llm[llm, 1], task, known.own[user, llm], known.own_task[user, task, llm])
        columns = [np.stack([*single, known.of_task[task, llm], known.length[user]], 1)]
        first = decisions.first[row]
        columns += [np.where(first < 0, np.nan, first == llm)[:, None]]
        columns += [known.taste[user], self._llm[llm, 2:], self.text[query]]
        if self._answers is not None:
            columns += [np.stack([known.of_query[query, llm], known.on_query[query, llm]], 1)]
            columns += [self._answers[query, llm]]
        return np.concatenate(columns, axis=1, dtype=np.float32)

    def vectors(self, known: Known, decisions: DecisionArrays) -> np.ndarray:
        """Features of each decision as a whole, float32 [decisions, features]; nothing is NaN."""
        user, query = decisions.user, decisions.query
        task = self.task[query]
        columns = [known.own[user], known.own_task[user, task], known.of_task[task], known.length[user, None]]
        columns += [self.text[query], np.eye(self.num_tasks, dtype=np.float32)[task]]
        columns += [known.of_query[query]] if self._warm else []
        return np.concatenate(columns, axis=1, dtype=np.float32)

    def folds(self, train: Labelled, rows: np.ndarray, rng: np.random.Generator):
        """Training decisions with features that do not know them: yields (known, some of `rows`) for each fold.

        A fold's decisions are hidden: on queries nobody is seen to decide on, if that is how it will be,
        else single ones. Half of the users show a part of their history, of a length drawn evenly over
        orders of magnitude, so that short histories are learnt from too.
        """
        place = train.decisions.query if not self._warm else np.arange(len(train.decisions.query))
        fold = rng.integers(_FOLDS, size=int(place.max(initial=0)) + 1)[place]
        for number in range(_FOLDS):
            visible = select(train, np.flatnonzero(fold != number))
            yield self.known(_shortened(visible, rng), visible), rows[fold[rows] == number]

    def _taste(self, history: Labelled) -> np.ndarray:
        """NaN where nothing is known."""
        best = np.where(np.isnan(history.rewards), -np.inf, history.rewards).argmax(1)
        told = (~np.isnan(history.rewards)).any(1, keepdims=True)
        liked = (table[history.decisions.query, best][:, None] for table in (self._effect, self._cost))
        first = history.decisions.first
        of_first = np.where(first >= 0, history.rewards[np.arange(len(first)), first], np.nan)[:, None]
        shown = [*(np.where(told, values, np.nan) for values in liked), of_first]
        sums = [group_sums(values, history.decisions.user, self._shape[0]) for values in shown]
        taste = [np.where(count > 0, total / np.maximum(count, 1), np.nan) for total, count in sums]
        return np.concatenate(taste, axis=1, dtype=np.float32)


def is_warm(train: Labelled, validation: Labelled) -> bool:
    """Whether most decisions to come are on queries that train decided on."""
    return (
        bool(np.isin(validation.decisions.query, train.decisions.query).mean() > 0.5)
        if len(validation.rewards)
        else False
    )


def llm_features(dataset: Dataset) -> np.ndarray:
    """Row, family row, log prices, mean effect and mean scaled cost of each LLM; float32 [llms, 6], NaN if unknown."""
    llms, (effect, cost) = dataset.data.llms, seen_outcomes(dataset)
    everything = np.zeros(len(effect), int)
    means = [
        total / np.where(count > 0, count, np.nan)
        for total, count in (task_sums(t, everything, 1) for t in (effect, cost))
    ]
    family, _ = first_seen(llms.families)
    prices = (np.log1p(llms.input_price), np.log1p(llms.output_price))
    return np.stack([np.arange(len(family)), family, *prices, means[0][0], means[1][0]], 1).astype(np.float32)


def _answer_features(dataset: Dataset) -> np.ndarray:
    """Effect, scaled cost and style of each answer the world holds, float32 [queries, llms, features]."""
    tables, world = list(seen_outcomes(dataset)), dataset.world.interactions
    style = getattr(world.outcomes, "style", None)
    seen = dataset.world_query >= 0
    for column in () if style is None else style.T:
        table = np.full(tables[0].shape, np.nan, np.float32)
        table[seen] = outcome_matrix(world, column)[dataset.world_query[seen]]
        tables.append(table)
    return np.stack(tables, axis=2)


def _shortened(labelled: Labelled, rng: np.random.Generator) -> Labelled:
    """Half of the users keep a random part of their decisions."""
    user = labelled.decisions.user
    count = np.bincount(user)
    length = np.where(rng.random(len(count)) < 0.5, count, np.exp(rng.random(len(count)) * np.log(count + 1.0)) - 1)
    return first_decisions(labelled, length, rng.random(len(user)))
