"""Mixture of the known users who agree with the user on the same and near queries."""

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import as_logits, first_decisions, group_sums, select, smooth, user_means
from prouter_jax.evaluation.baselines.features import unit_vectors
from prouter_jax.evaluation.baselines.forecast import KernelRidge, ridge_forecasts

_MAX_HISTORY = 300  # decisions of a user that are compared with those of known users
_MAX_ENTRIES = 40_000_000  # entries of a table [llms, known users, queries]
_MIN_SHARE = 1e-3


class AgreeingUsers(KernelRidge):
    """Expected rewards of known users on the query, averaged over them by how well they explain the user's history.

    The expected reward of a known user v is

        m_v(q, l) = (sum_r K(q, r) reward_v(r, l) + near_strength * f_v(q, l)) / (sum_r K(q, r) + near_strength)
        K(q, r) = exp((cosine - 1) / near_width^2)

    over the queries r of v's training decisions. So v's own choice on the same query counts most. f_v is the
    population's share of the answer by `KernelRidge` * v's mean share / the population's mean share of the LLM (for
    rewards other than choices with + and -), and a kernel ridge of v's deviations from that. Then

        score_u(q, l) = log sum_v w_uv m_v(q, l) + log of the user's own mean - log sum_v w_uv mean_v(l)
        log w_uv = log-likelihood of u's history under m_v / (temperature * sqrt(decisions in the history)) + constant

    The root tempers long histories: no known user is equal to u. The likelihood is that of the choice among its
    candidates; for other rewards it is Gaussian.

    Args:
      strength: number of decisions that the population's mean counts for beside a known user's mean.
      near_width, near_strength, temperature: see above.
      personal_penalty: of the kernel ridge of a known user's deviations.
      own_strength: number of decisions that the weighted mean counts for beside the user's own mean.
      query_strength: see `QueryForecast`.
      kernel: `penalty`, `text_weight`, `width` and `landmarks` of `KernelRidge`.
    """

    name = "agreeing_users"
    _reads_outcomes = False

    def __init__(
        self,
        dataset: Dataset,
        strength: float = 8.0,
        near_width: float = 0.4,
        near_strength: float = 2.0,
        temperature: float = 0.4,
        personal_penalty: float = 30.0,
        own_strength: float = 100.0,
        query_strength: float = 50.0,
        **kernel,
    ):
        super().__init__(dataset, **kernel, own_strength=own_strength, query_strength=query_strength)
        self._strength, self._temperature, self._personal_penalty = strength, temperature, personal_penalty
        self._near_width, self._near_strength = near_width, near_strength
        self._unit = unit_vectors(dataset.vectors.query)

    def fit(self, train: Labelled, validation: Labelled) -> None:
        super().fit(train, validation)
        self._users = _limited(np.unique(train.decisions.user), self._num_queries * train.rewards.shape[1])
        known = select(train, np.isin(train.decisions.user, self._users))
        self._seen, column = np.unique(known.decisions.query, return_inverse=True)
        row = np.searchsorted(self._users, known.decisions.user)
        shape = (len(self._users), len(self._seen))
        self._rewards, self._number = _tables(known.rewards, row, column, shape)
        means = user_means(known, self._num_users, self._population, self._strength)
        self._means = means[self._users].astype(np.float32)
        self._forecasts = self._personal_forecasts()

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        asked, row = np.unique(decisions.user, return_inverse=True)
        queries, column = np.unique(decisions.query, return_inverse=True)
        rated = ~np.isnan(history.rewards).all(1)
        history = select(history, np.isin(history.decisions.user, asked) & rated)
        weights = self._weights(first_decisions(history, _MAX_HISTORY), asked)
        average = weights @ self._means
        sums = group_sums(history.rewards, np.searchsorted(asked, history.decisions.user), len(asked))
        own = smooth(*sums, average, self._own_strength)
        offset = as_logits(own, self._choices) - as_logits(average, self._choices)
        mixed = [(weights @ expected)[row, column] for expected in self._expected(queries)]
        return as_logits(np.stack(mixed, axis=1), self._choices) + offset[row]

    def _personal_forecasts(self) -> np.ndarray:
        """f_v of the known users on every query, float32 [llms, known users, queries]."""
        queries = np.arange(self._num_queries)
        means, base = self._means.T[:, :, None], self._forecast_of(queries).T[:, None].astype(np.float32)
        population = self._population[:, None, None].astype(np.float32)
        if self._choices:
            base = self._as_shares(means * np.maximum(base, _MIN_SHARE) / np.maximum(population, _MIN_SHARE))
        else:
            base = means + base - population
        observed = self._number > 0
        deviation = np.where(observed, self._rewards / np.maximum(self._number, 1) - base[:, :, self._seen], 0)
        self._variance = max(float(np.square(deviation).sum() / max(observed.sum(), 1)), 1e-12)
        mask, shape = self._mask(self._seen), deviation.shape
        targets = deviation.reshape(-1, shape[2]).T
        (found,) = ridge_forecasts(self._features(mask), mask, targets, [self._personal_penalty])
        values = base + found.T.reshape(*shape[:2], -1).astype(np.float32)
        return self._as_shares(values) if self._choices else values

    def _as_shares(self, values: np.ndarray) -> np.ndarray:
        """Positive shares [llms, known users, queries] whose sum over LLMs is that of the user's mean shares."""
        values = np.maximum(values, _MIN_SHARE)
        return values * (self._means.sum(1)[:, None] / values.sum(0))

    def _expected(self, queries: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "llms known_users rows"]:
        """m_v of the known users on the given query rows, float32."""
        kernel = np.exp((self._unit[self._seen] @ self._unit[queries].T - 1) / self._near_width**2)
        strength, found = self._near_strength, self._forecasts[:, :, queries]
        for values, rewards, number in zip(found, self._rewards, self._number, strict=True):
            values[:] = (rewards @ kernel + strength * values) / (number @ kernel + strength)
        return found

    def _weights(self, history: Labelled, asked: np.ndarray) -> np.ndarray:
        """w_uv, float64 [asked users, known users]; rows sum to 1 and nobody is compared with itself."""
        user = np.searchsorted(asked, history.decisions.user)
        length = np.bincount(user, minlength=len(asked))[:, None]
        fit = self._log_likelihood(history, user, len(asked)) / (self._temperature * np.sqrt(np.maximum(length, 1)))
        if len(self._users) > 1:
            fit[asked[:, None] == self._users] = -np.inf
        weights = np.exp(fit - fit.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)

    def _log_likelihood(self, history: Labelled, user: np.ndarray, num_asked: int) -> np.ndarray:
        """Log-likelihood of the histories under each known user's m_v, [asked users, known users]."""
        queries, column = np.unique(history.decisions.query, return_inverse=True)
        expected = self._expected(queries)
        rewards, number = _tables(history.rewards, user, column, (num_asked, len(queries)))
        fit = np.zeros((num_asked, len(self._users)))
        for values, reward, count in zip(expected, rewards, number, strict=True):
            if self._choices:
                fit += reward @ np.log(values).T
            else:
                fit += (reward @ values.T - count @ np.square(values).T / 2) / self._variance
        if self._choices:
            fit -= _offer_totals(expected, ~np.isnan(history.rewards), user, column, num_asked)
        return fit


def _limited(users: np.ndarray, entries: int) -> np.ndarray:
    """The users, or a sorted sample of those for whom tables of `entries` numbers each are not too large."""
    most = max(_MAX_ENTRIES // entries, 50)
    return users if len(users) <= most else np.sort(np.random.default_rng(0).choice(users, most, replace=False))


def _tables(
    rewards: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the observed rewards of each LLM in each cell, float32 [llms, *shape] each."""
    sums = group_sums(rewards, row * shape[1] + column, shape[0] * shape[1])
    total, number = (values.T.reshape(rewards.shape[1], *shape).astype(np.float32) for values in sums)
    return total, number


def _offer_totals(
    expected: np.ndarray, offered: np.ndarray, user: np.ndarray, column: np.ndarray, num_asked: int
) -> np.ndarray:
    """Sum over each user's decisions of the log of the candidates' expected shares, [asked users, known users]."""
    sets, offer = distinct_sets(offered)
    pairs, pair = np.unique(column * max(len(sets), 1) + offer, return_inverse=True)
    total = np.zeros((len(pairs), expected.shape[1]), np.float32)
    for values, member in zip(expected, sets.T, strict=True):
        total += member[pairs % max(len(sets), 1), None] * values[:, pairs // max(len(sets), 1)].T
    counts = sparse.csr_matrix((np.ones(len(user)), (user, pair)), shape=(num_asked, len(pairs)))
    return counts @ np.log(np.maximum(total, 1e-9))
