"""Bradley-Terry (Plackett-Luce): one strength for each LLM, told by who is chosen over whom; blind to users."""

import numpy as np

from prouter_jax.data.interactions import distinct_sets
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import best_shares, group_sums

_ROUNDS = 30


class BradleyTerry:
    """probability of a choice = softmax of the strengths of the candidates; the best reward counts as the choice.

    Elo ratings are an online estimate of the same strengths.

    Args:
      penalty: / 2 * the squares of the strengths, so that few decisions make no LLM infinitely strong.
    """

    name = "bradley_terry"

    def __init__(self, dataset: Dataset, penalty: float = 1.0):
        del dataset
        self._penalty = penalty

    def fit(self, train: Labelled, validation: Labelled) -> None:
        del validation
        everything = np.zeros(len(train.rewards), int)
        start = np.zeros((1, train.rewards.shape[1]))
        self._strength = fit_strengths(train, everything, start, self._penalty)[0]

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        del history
        return np.broadcast_to(self._strength, decisions.offered.shape)


class BradleyTerryTask(BradleyTerry):
    """The same for each task, pulled towards the overall strengths by `task_penalty`."""

    name = "bradley_terry_task"

    def __init__(self, dataset: Dataset, penalty: float = 1.0, task_penalty: float = 10.0):
        super().__init__(dataset, penalty)
        self._task, self._num_tasks = dataset.data.queries.task + 1, len(dataset.data.tasks.ids) + 1
        self._task_penalty = task_penalty

    def fit(self, train: Labelled, validation: Labelled) -> None:
        super().fit(train, validation)
        prior = np.tile(self._strength, (self._num_tasks, 1))
        self._by_task = fit_strengths(train, self._task[train.decisions.query], prior, self._task_penalty)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        del history
        return self._by_task[self._task[decisions.query]]


def fit_strengths(labelled: Labelled, group: np.ndarray, prior: np.ndarray, penalty: float) -> np.ndarray:
    """Strengths of largest penalised likelihood in each group of decisions, by damped Newton steps.

    Args:
      group: int [decisions]; prior: float [groups, llms], what the penalty pulls to.

    Returns:
      float64 [groups, llms].
    """
    shares = best_shares(labelled.rewards)
    told = np.flatnonzero(~np.isnan(shares).all(1))
    wins, _ = group_sums(shares[told], group[told], len(prior))
    sets, which = distinct_sets(~np.isnan(shares[told]))
    pairs, count = np.unique(group[told].astype(np.int64) * len(sets) + which, return_counts=True)
    strengths = prior.astype(np.float64)
    for row in range(len(prior)):
        mine = pairs // max(len(sets), 1) == row
        offers = sets[pairs[mine] % max(len(sets), 1)]
        strengths[row] = _newton(wins[row], offers, count[mine].astype(np.float64), prior[row], penalty)
    return strengths


def _newton(wins: np.ndarray, offers: np.ndarray, count: np.ndarray, prior: np.ndarray, penalty: float) -> np.ndarray:
    """Maximises wins . s - sum of count * log sum of exp(s) over the offer - penalty / 2 |s - prior|^2."""
    strength = prior.copy()
    if not len(offers):
        return strength
    for _ in range(_ROUNDS):
        weight = offers * np.exp(strength - strength.max())
        share = weight / weight.sum(1, keepdims=True)
        expected = count @ share
        curvature = np.diag(expected + penalty) - (share * count[:, None]).T @ share
        move = np.linalg.solve(curvature, wins - expected - penalty * (strength - prior))
        strength = strength + move / max(1.0, float(np.abs(move).max()))
        if np.abs(move).max() < 1e-6:
            break
    return strength
