"""Users who weigh nothing but effect and cost and whose feedback is choices: a posterior over a grid of their weights.

Such users may never err: they choose the best answer. Then many weights explain their choices equally well (whoever
weighs effect at all chooses the cheapest right answer), and the posterior mode is an extreme one of these. So the whole
posterior counts: on a grid of directions d_g and inverse temperatures s_g, with the prior probabilities pi_g,

    p(g | history)   proportional to   pi_g * product over the decisions of softmax(s_g d_g . a)_choice

and the weights are the mean direction, sum of p(g | history) d_g, at one length for all users. The prior is estimated
from the histories of all users by EM (nonparametric maximum likelihood: Kiefer and Wolfowitz 1956), in few steps from
one that covers all directions, so what no history tells stays as it was.
"""

import dataclasses
import functools

import jax
import numpy as np
from jaxtyping import Array, Float

from prouter_jax.compilation import jit_program
from prouter_jax.graph.history import map_over_users, mask_feedback, read_histories
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import COST, EFFECT
from prouter_jax.model.likelihood import negative_log_likelihood, utilities
from prouter_jax.model.rounds import Rounds

_USUAL, _OTHER = 24, 12  # directions that like effect and dislike cost, and all others
_USUAL_SHARE = 0.9  # of the first in the prior before EM
_SCALES = (5.0, 30.0, 200.0)  # inverse temperatures: effect and scaled cost are in 0..1
_EM_STEPS = 10
_KEPT = 0.05  # of the prior before EM that stays
_LENGTH = 10.0  # of all users' weights


@dataclasses.dataclass(frozen=True)
class PreferenceGrid:
    """The grid with its prior.

    Attributes:
      sizes, params: the Bayesian rounds.
      directions: unit vectors, [points, features].
      scales: inverse temperatures, [points].
      prior: probabilities of the points, [points].
    """

    sizes: Rounds
    params: dict
    directions: np.ndarray
    scales: np.ndarray
    prior: np.ndarray

    def read(
        self, graph: RouterGraph, answers: Float[Array, "queries llms features"]
    ) -> Float[np.ndarray, "users features"]:
        """Returns the weights of a graph's users.

        Args:
          answers: features of the answers to the graph's queries.
        """
        likelihoods = _log_likelihoods(self.sizes, self.params, graph, answers, self._points())
        return self._mean(_posterior(np.asarray(likelihoods, np.float64), self.prior))

    def cold_start_user(self) -> Float[np.ndarray, " features"]:
        """Returns the weights of a user without history."""
        return self._mean(self.prior[None])[0]

    def fitted(self, graph: RouterGraph, answers: Float[Array, "queries llms features"]) -> "PreferenceGrid":
        """Returns the grid with the prior estimated from the users of training, the first of a graph."""
        likelihoods = _log_likelihoods(self.sizes, self.params, graph, answers, self._points())
        trained = np.flatnonzero(np.asarray(self.params["has_history"])[: len(likelihoods)])
        return dataclasses.replace(self, prior=_estimate(np.asarray(likelihoods, np.float64)[trained], self.prior))

    def _points(self) -> Float[np.ndarray, "points features"]:
        return (self.scales[:, None] * self.directions).astype(np.float32)

    def _mean(self, probabilities: Float[np.ndarray, "users points"]) -> Float[np.ndarray, "users features"]:
        mean = probabilities @ self.directions
        return (_LENGTH * mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def make_preference_grid(sizes: Rounds, params: dict) -> PreferenceGrid:
    """Makes the grid with the prior before EM."""
    quarter = np.pi / 2
    usual = -quarter * (np.arange(_USUAL) + 0.5) / _USUAL
    other = 3 * quarter * (np.arange(_OTHER) + 0.5) / _OTHER
    angles = np.concatenate([usual, other])
    directions = np.zeros((len(angles), sizes.features.size))
    directions[:, EFFECT], directions[:, COST] = np.cos(angles), np.sin(angles)
    shares = np.repeat([_USUAL_SHARE / _USUAL, (1 - _USUAL_SHARE) / _OTHER], [_USUAL, _OTHER])
    number = len(_SCALES)
    return PreferenceGrid(
        sizes=sizes,
        params=params,
        directions=np.repeat(directions, number, 0),
        scales=np.tile(_SCALES, len(angles)),
        prior=np.repeat(shares, number) / number,
    )


def _estimate(log_likelihoods: Float[np.ndarray, "users points"], first: np.ndarray) -> Float[np.ndarray, " points"]:
    """The prior after some steps of EM from `first`."""
    prior = first
    for _ in range(_EM_STEPS if len(log_likelihoods) else 0):
        prior = _posterior(log_likelihoods, prior).mean(0)
    return (1 - _KEPT) * prior + _KEPT * first


def _posterior(log_likelihoods: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Probabilities of the points for each user, [users, points]."""
    unnormed = prior * np.exp(log_likelihoods - log_likelihoods.max(1, keepdims=True)) + 1e-300
    return unnormed / unnormed.sum(1, keepdims=True)


@functools.partial(jit_program, static_argnums=0)
def _log_likelihoods(sizes: Rounds, params: dict, graph: RouterGraph, answers, points) -> jax.Array:
    """Log-likelihood of each history under the weights of each point, [users, points]."""
    population = sizes.bind(params).population()

    def of_user(answers, feedback, _, visible):
        feedback = mask_feedback(feedback, visible)

        def under(theta):
            utility = utilities(theta, answers)
            user_axis = [1] * (feedback.offered.ndim - utility.ndim)  # where users share the queries
            utility = utility.reshape(*utility.shape, *user_axis)
            return -negative_log_likelihood(utility, feedback, population)["choice"]

        return jax.lax.map(under, points)

    return map_over_users(graph, of_user, answers, read_histories(graph), graph.visibility.decisions)
