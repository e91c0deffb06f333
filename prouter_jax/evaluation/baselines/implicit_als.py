"""Implicit-feedback matrix factorisation by alternating least squares (Hu, Koren & Volinsky 2008)."""

import dataclasses

import numpy as np
from scipy import sparse

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import are_choices, as_logits, best_shares, select
from prouter_jax.evaluation.baselines.features import kernel_task_features
from prouter_jax.evaluation.baselines.forecast import ridge_forecasts

_INIT_SCALE = 0.1
_KERNEL = (1.0, 0.7)  # text weight and width, see `KernelRidge`


class ImplicitAls:
    """score = x_u . y_a for the user's factors x_u and the factors y_a of the answer a = (query, LLM).

    The factors minimise

        sum_(u, a) (1 + confidence * p_ua) (p_ua - x_u . y_a)^2 + penalty * (sum_u |x_u - m|^2 + sum_a |y_a - n_a|^2)

    in turns of least squares, with p_ua = 1 for the choice (ties share it) and 0 for the other candidates. As in Hu,
    Koren & Volinsky 2008, a choice weighs more than its absence. Two things differ. Answers that the user was not
    offered are left out. Factors shrink to those of the mean user, m, and of the LLM's mean answer, n_a: a user without
    history gets the population's scores, and few decisions on a query leave its answers near their LLM's mean.

    A new user is folded in by one least-squares step. Answers to unseen queries have the factors that kernel ridge
    regression on the text forecasts, see `KernelRidge`.

    Args:
      rank: number of factors.
      confidence: weight of a choice beyond 1.
      penalty: of the squared factors.
      steps: number of alternations.
      kernel_penalty: of the kernel ridge regression.
    """

    name = "implicit_als"

    def __init__(
        self,
        dataset: Dataset,
        rank: int = 16,
        confidence: float = 5.0,
        penalty: float = 3.0,
        steps: int = 8,
        kernel_penalty: float = 3.0,
    ):
        self._dataset, self._num_users = dataset, len(dataset.data.users.ids)
        self._rank, self._confidence, self._penalty, self._steps = rank, confidence, penalty, steps
        self._kernel_penalty = kernel_penalty

    def fit(self, train: Labelled, validation: Labelled) -> None:
        self._choices, rng = are_choices(train), np.random.default_rng(0)
        num_queries, num_llms = len(self._dataset.data.queries.ids), train.rewards.shape[1]
        known, row = np.unique(train.decisions.user, return_inverse=True)
        cells = _cells(train, row, (len(known), num_queries), self._confidence)
        # the first factor starts as a constant: its answers' factors become the population's shares
        constant = np.eye(1, self._rank)[0]
        users = constant + rng.normal(0, _INIT_SCALE, (len(known), self._rank))
        self._mean, llm = constant, np.tile(constant / num_llms, (num_llms, 1))
        answers = np.broadcast_to(llm, (num_queries, *llm.shape))
        for _ in range(self._steps):
            answers = _answer_step(cells, users, llm, self._penalty)
            llm = np.stack(
                [_mean_where(answers[:, number], seen, llm[number]) for number, seen in enumerate(cells.seen)]
            )
            users = _user_step(cells, answers, self._mean, self._penalty)
            self._mean = users.mean(0)
        self._answers = self._with_unseen(answers, np.isin(np.arange(num_queries), train.decisions.query))

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        asked, row = np.unique(decisions.user, return_inverse=True)
        history = select(history, np.isin(history.decisions.user, asked))
        user = np.searchsorted(asked, history.decisions.user)
        cells = _cells(history, user, (len(asked), len(self._answers)), self._confidence)
        users = _user_step(cells, self._answers, self._mean, self._penalty)[row]
        answers = self._answers.swapaxes(0, 1)
        scores = np.stack([np.einsum("df,df->d", users, of_llm[decisions.query]) for of_llm in answers], axis=1)
        return as_logits(scores, self._choices)

    def _with_unseen(self, answers: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The answers' factors [queries, llms, rank], forecast for the queries that are not in the mask `seen`."""
        features = kernel_task_features(self._dataset, seen, *_KERNEL)
        (found,) = ridge_forecasts(features, seen, answers[seen].reshape(seen.sum(), -1), [self._kernel_penalty])
        return np.where(seen[:, None, None], answers, found.reshape(answers.shape))


@dataclasses.dataclass(frozen=True)
class _Cells:
    """Decisions, grouped by pairs of a query and a set of candidates.

    Attributes:
      shape: number of users and of queries.
      counts: [users, pairs], number of decisions.
      query: [pairs].
      member: bool [pairs, llms], the candidates.
      weight: for each LLM [users, queries], confidence * p, summed over decisions.
      target: for each LLM [users, queries], (1 + confidence * p) * p, summed over decisions.
    """

    shape: tuple[int, int]
    counts: sparse.csr_matrix
    query: np.ndarray
    member: np.ndarray
    weight: list[sparse.csr_matrix]
    target: list[sparse.csr_matrix]

    @property
    def seen(self) -> np.ndarray:
        """Whether each answer was a candidate, bool [llms, queries]."""
        found = np.zeros((len(self.weight), self.shape[1]), bool)
        pair, llm = np.nonzero(self.member)
        found[llm, self.query[pair]] = True
        return found


def _cells(labelled: Labelled, user: np.ndarray, shape: tuple[int, int], confidence: float) -> _Cells:
    """Groups decisions of the given users (rows of `shape`); those without an observed reward are left out."""
    shares = best_shares(labelled.rewards)
    kept = ~np.isnan(shares).all(1)
    shares, user, query = shares[kept], user[kept], labelled.decisions.query[kept]
    sets, offer = distinct_sets(~np.isnan(shares))
    pairs, pair = np.unique(query.astype(np.int64) * max(len(sets), 1) + offer, return_inverse=True)
    counts = sparse.csr_matrix((np.ones(len(user)), (user, pair)), shape=(shape[0], len(pairs)))
    weight, target = [], []
    for p in np.nan_to_num(shares).T:
        rows = np.flatnonzero(p)
        for found, value in ((weight, confidence * p), (target, (1 + confidence * p) * p)):
            found.append(sparse.csr_matrix((value[rows], (user[rows], query[rows])), shape=shape))
    return _Cells(shape, counts, pairs // max(len(sets), 1), sets[pairs % max(len(sets), 1)], weight, target)


def _user_step(cells: _Cells, answers: np.ndarray, mean: np.ndarray, penalty: float) -> np.ndarray:
    """The users' factors [users, rank] that are best for the answers' factors [queries, llms, rank]."""
    squares = np.zeros((len(cells.query), len(mean) ** 2))
    total = np.zeros((cells.shape[0], len(mean) ** 2))
    right = np.tile(penalty * mean, (len(total), 1))
    for factors, member, weight, target in zip(
        answers.swapaxes(0, 1), cells.member.T, cells.weight, cells.target, strict=True
    ):
        outer = _outer(factors)
        squares += member[:, None] * outer[cells.query]
        total += weight @ outer
        right += target @ factors
    return _solve(total + cells.counts @ squares, right, penalty)


def _answer_step(cells: _Cells, users: np.ndarray, llm: np.ndarray, penalty: float) -> np.ndarray:
    """The answers' factors [queries, llms, rank] that are best for the users' factors [users, rank].

    Args:
      llm: [llms, rank], the mean factors of each LLM's answers.
    """
    outer = _outer(users)
    offered, found = cells.counts.T @ outer, []
    for mean, member, weight, target in zip(llm, cells.member.T, cells.weight, cells.target, strict=True):
        pair = np.flatnonzero(member)
        of_query = sparse.csr_matrix((np.ones(len(pair)), (cells.query[pair], pair)), (cells.shape[1], len(member)))
        found.append(_solve(of_query @ offered + weight.T @ outer, target.T @ users + penalty * mean, penalty))
    return np.stack(found, axis=1)


def _outer(factors: np.ndarray) -> np.ndarray:
    """Outer products of the rows with themselves, [rows, rank^2]."""
    return (factors[:, :, None] * factors[:, None]).reshape(len(factors), -1)


def _solve(squares: np.ndarray, right: np.ndarray, penalty: float) -> np.ndarray:
    """Solutions [rows, rank] of (squares + penalty * I) x = right, with squares [rows, rank^2]."""
    rank = right.shape[1]
    matrices = squares.reshape(-1, rank, rank) + penalty * np.eye(rank)
    return np.linalg.solve(matrices, right[:, :, None])[:, :, 0]


def _mean_where(values: np.ndarray, mask: np.ndarray, default: np.ndarray) -> np.ndarray:
    """Mean of the rows in the mask; `default` without any."""
    return values[mask].mean(0) if mask.any() else default
