"""Bradley-Terry baselines: strengths of LLMs, overall or per task, fitted to choices; the same for all users."""

import numpy as np
from jaxtyping import Float, Int

from prouter_jax.data.distinct import distinct_sets
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import best_shares, group_sums

_NEWTON_STEPS = 30


class BradleyTerry:
    """Probability of a choice = softmax of the candidates' strengths; the LLM with the best reward is the choice.

    Of pairs this is Bradley & Terry 1952, of larger sets Luce 1959. Elo ratings estimate the same strengths online.

    Args:
      dataset: unused.
      penalty: penalty / 2 * the sum of squared strengths is added to the loss, so that strengths stay finite.
    """

    name = "bradley_terry"

    def __init__(self, dataset: Dataset, penalty: float = 1.0):
        self._penalty = penalty

    def fit(self, train: Labelled, validation: Labelled) -> None:
        group, prior = np.zeros(len(train.rewards), int), np.zeros((1, train.rewards.shape[1]))
        self._strength = fit_strengths(train, group, prior, self._penalty)[0]

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        return np.broadcast_to(self._strength, decisions.offered.shape)


class BradleyTerryTask(BradleyTerry):
    """Strengths for each task, shrunk towards the overall strengths.

    Args:
      dataset: has the tasks of the queries.
      penalty: of the squared overall strengths.
      task_penalty: of the squared differences between a task's strengths and the overall ones.
    """

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
        return self._by_task[self._task[decisions.query]]


def fit_strengths(
    labelled: Labelled, group: Int[np.ndarray, " decisions"], prior: Float[np.ndarray, "groups llms"], penalty: float
) -> Float[np.ndarray, "groups llms"]:
    """Strengths that maximise the penalised likelihood in each group of decisions, float64.

    Args:
      prior: strengths that the penalty shrinks towards.
      penalty: of the squared differences from the prior.
    """
    shares = best_shares(labelled.rewards)
    observed = np.flatnonzero(~np.isnan(shares).all(1))
    wins, _ = group_sums(shares[observed], group[observed], len(prior))
    sets, offer = distinct_sets(~np.isnan(shares[observed]))
    pairs, count = np.unique(group[observed].astype(np.int64) * len(sets) + offer, return_counts=True)
    strengths = prior.astype(np.float64)
    for row in range(len(prior)):
        in_group = pairs // max(len(sets), 1) == row
        offers = sets[pairs[in_group] % max(len(sets), 1)]
        strengths[row] = _newton(wins[row], offers, count[in_group].astype(np.float64), prior[row], penalty)
    return strengths


def _newton(wins: np.ndarray, offers: np.ndarray, count: np.ndarray, prior: np.ndarray, penalty: float) -> np.ndarray:
    """Maximises wins . s - sum over offers of count * log sum exp(s) - penalty / 2 |s - prior|^2 by damped steps.

    Args:
      wins: [llms], number of times that each LLM was chosen.
      offers: [offers, llms], candidates of each distinct offer.
      count: [offers], number of decisions on each offer.
      prior: [llms].
      penalty: of the squared differences from the prior.
    """
    strength = prior.copy()
    if not len(offers):
        return strength
    for _ in range(_NEWTON_STEPS):
        weight = offers * np.exp(strength - strength.max())
        share = weight / weight.sum(1, keepdims=True)
        expected = count @ share
        hessian = np.diag(expected + penalty) - (share * count[:, None]).T @ share
        step = np.linalg.solve(hessian, wins - expected - penalty * (strength - prior))
        strength = strength + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-6:
            break
    return strength
