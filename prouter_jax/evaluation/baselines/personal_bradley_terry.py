"""Bradley-Terry with personal deviations: LLM, side and length of the answer."""

import typing

import numpy as np
from jaxtyping import Float

from prouter_jax.data.rewards import DecisionArrays, outcome_matrix
from prouter_jax.data.style_features import FEATURES
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.evaluation.baselines.base import best_shares, first_decisions, select, select_decisions

_MAX_HISTORY = 1000  # decisions of a user to which its deviations are fitted
_MAX_FITTED = 100_000  # training decisions to which the population is fitted
_STEPS = 25
_POPULATION_PENALTY = 0.1  # of the population's squared side and length


class PersonalBradleyTerry:
    """Probability of a choice = softmax over the candidates of (theta + delta_u) . x.

    The features x of a candidate are its one-hot LLM, 1 for the answer shown first, and the answer's length. theta are
    the population's weights: the maximum a posteriori (MAP) of all training decisions with delta = 0. delta_u are the
    user's deviations: the MAP of the user's history under a Gaussian prior of mean 0, a ridge penalty on each. Without
    history delta_u = 0.

    Length is the standardised log number of words minus the query's mean. For answers that were not observed it is the
    LLM's mean over observed answers; without any text it is 0.

    Args:
      penalty: of the population's squared strengths of LLMs.
      llm_penalty, side_penalty, length_penalty: of the squared deviations of a user.
    """

    name = "personal_bradley_terry"

    def __init__(
        self,
        dataset: Dataset,
        penalty: float = 1.0,
        llm_penalty: float = 3.0,
        side_penalty: float = 2.0,
        length_penalty: float = 30.0,
    ):
        self._length = answer_lengths(dataset)
        num_llms = self._length.shape[1]
        self._population_penalty = np.append(np.full(num_llms, penalty), [_POPULATION_PENALTY] * 2)
        self._penalty = np.append(np.full(num_llms, llm_penalty), [side_penalty, length_penalty])

    def fit(self, train: Labelled, validation: Labelled) -> None:
        rows = len(train.rewards)
        if rows > _MAX_FITTED:
            train = select(train, np.sort(np.random.default_rng(0).choice(rows, _MAX_FITTED, replace=False)))
        zero = np.zeros(len(self._penalty))
        self._population = _most_likely(self._examples(train), zero, self._population_penalty)

    def score(self, history: Labelled, decisions: DecisionArrays) -> np.ndarray:
        asked, row = np.unique(decisions.user, return_inverse=True)
        history = first_decisions(select(history, np.isin(history.decisions.user, asked)), _MAX_HISTORY)
        order = np.argsort(history.decisions.user, kind="stable")
        ends = np.searchsorted(history.decisions.user[order], asked, side="right")
        weights = np.tile(self._population, (len(asked), 1))
        for number, own in enumerate(np.split(order, ends[:-1])):
            if len(own):
                weights[number] = _most_likely(self._examples(select(history, own)), self._population, self._penalty)
        weights = weights[row]
        extra = self._extra(decisions)
        return weights[:, :-2] + np.einsum("dlf,df->dl", extra, weights[:, -2:])

    def _examples(self, labelled: Labelled) -> "_Examples":
        shares = best_shares(labelled.rewards)
        kept = np.flatnonzero(~np.isnan(shares).all(1))
        shares = shares[kept]
        extra = self._extra(select_decisions(labelled.decisions, kept))
        return _Examples(np.nan_to_num(shares).astype(np.float64), ~np.isnan(shares), extra)

    def _extra(self, decisions: DecisionArrays) -> np.ndarray:
        """Side and length of each LLM's answer, float64 [decisions, llms, 2]."""
        first = decisions.first[:, None] == np.arange(self._length.shape[1])
        return np.stack([first, self._length[decisions.query]], axis=2)


def answer_lengths(dataset: Dataset) -> Float[np.ndarray, "queries llms"]:
    """Standardised log number of words of each answer minus the query's mean, float64.

    Answers outside the training world count as their LLM's mean over the others.
    """
    table = np.full((len(dataset.world_query), len(dataset.data.llms.ids)), np.nan)
    world, seen = dataset.world.interactions, dataset.world_query >= 0
    style = getattr(world.outcomes, "style", None)
    if style is not None:
        words = outcome_matrix(world, style[:, FEATURES.index("words")])
        table[seen] = words[dataset.world_query[seen]]
    known = ~np.isnan(table)
    table -= (np.nansum(table, axis=1) / np.maximum(known.sum(1), 1))[:, None]
    means = np.nansum(table, axis=0) / np.maximum(known.sum(0), 1)
    return np.where(known, table, means)


class _Examples(typing.NamedTuple):
    """Choices: shares and candidates [decisions, llms], side and length [decisions, llms, 2]."""

    shares: np.ndarray
    offered: np.ndarray
    extra: np.ndarray


def _most_likely(examples: _Examples, prior: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Weights [llms + 2] that maximise the log-likelihood - penalty / 2 * (weights - prior)^2, by damped Newton."""
    weights = prior.astype(np.float64)
    for _ in range(_STEPS):
        gradient, hessian = _derivatives(examples, weights)
        step = np.linalg.solve(hessian + np.diag(penalty), gradient - penalty * (weights - prior))
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _derivatives(examples: _Examples, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and negative Hessian of the log-likelihood in the weights."""
    shares, offered, extra = examples
    logits = np.where(offered, weights[:-2] + extra @ weights[-2:], -np.inf)
    probability = np.exp(logits - logits.max(1, keepdims=True))
    probability /= probability.sum(1, keepdims=True)
    error, mean = shares - probability, np.einsum("dl,dlf->df", probability, extra)
    weighted = probability[:, :, None] * extra
    of_llms = np.diag(probability.sum(0)) - probability.T @ probability
    between = weighted.sum(0) - probability.T @ mean
    of_extra = np.einsum("dlf,dlg->fg", weighted, extra) - mean.T @ mean
    gradient = np.append(error.sum(0), np.einsum("dl,dlf->f", error, extra))
    return gradient, np.block([[of_llms, between], [between.T, of_extra]])
