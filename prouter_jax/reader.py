"""What a history says about its user: messages of surprise, answered with Bayesian caution.

A user weighs an answer's properties a (effect, cost, a constant, tastes) by theta: utility = theta . a.
A choice follows softmax(sharpness * utility) over the candidates on offer, a rating is utility plus
noise. Reading a history is a few Newton steps towards the most probable theta; each is one round of
messages along the history edges:

    message = (what the user said - what theta predicts) * a          per candidate on offer
    theta'  = theta + (prior precision + summed curvature)^-1 (sum of messages - precision (theta - mean))

so few observations move a user little, many move it far, and a user without any keeps the mean: the
user-blind answer. The same messages read backwards, (said - predicted) * theta, move an LLM's tastes.

Axes: [decisions, candidates] for one user, [decisions, candidates, users] where users share the
queries; the functions for one take either, and then the sums are matrix products over all users.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx, struct

EFFECT, COST, CONSTANT = 0, 1, 2
NUM_FIXED = 3
_EVENNESS = 0.002  # share of an even prediction in the curvature: keeps it from vanishing where choices are certain
_LONGEST_STEP = 3.0  # in logits, root mean square over candidates: Newton's method overshoots beyond


@struct.dataclass
class Said:
    """Feedback on the candidates of decisions, zero where hidden or not given.

    Attributes:
      offered: [decisions, candidates, ...], 1 for the candidates.
      target: the same shape, shares of the choice.
      rating, rated: the same shape, and whether it was given; None where nobody rates.
    """

    offered: jax.Array
    target: jax.Array
    rating: jax.Array | None
    rated: jax.Array | None


class HistoryReader(nnx.Module):
    """Holds what is common to all users: the prior over theta, and how sharply users choose and rate."""

    def __init__(self, taste_dim: int):
        self.mean = nnx.Param(jnp.concatenate([jnp.array([0.5, -0.5, 0.0]), jnp.zeros(taste_dim)]))
        precision = jnp.concatenate([jnp.full(NUM_FIXED, 1.0), jnp.full(taste_dim, 2000.0)])
        self.log_precision = nnx.Param(jnp.log(precision))
        self.log_sharpness = nnx.Param(jnp.log(10.0))
        self.log_noise = nnx.Param(jnp.log(0.1))
        self.log_taste_precision = nnx.Param(jnp.log(10.0))

    def read(self, theta: jax.Array, answers: jax.Array, said: Said, steps: int, learning: bool) -> jax.Array:
        """Moves theta [properties, ...] by `steps` Newton steps.

        Args:
          answers: properties of the candidates, [decisions, candidates, properties].
          learning: whether the last step is differentiated. At a fixed point of Newton's method a step
            does not depend on where it started, so its derivative is that of the whole iteration.
        """

        even = _even_shares(said)
        spread = _covariance(answers, even)

        def step(_, theta):
            return self._newton_step(theta, answers, said, even, spread)

        theta = jax.lax.stop_gradient(jax.lax.fori_loop(0, steps - learning, step, theta))
        return jax.checkpoint(functools.partial(step, 0))(theta) if learning else theta

    def residuals(self, utility: jax.Array, said: Said) -> tuple[jax.Array, jax.Array]:
        """Said minus predicted, and the curvature in each utility; the shape of `said`, scaled to utilities."""
        share, sharpness = self._shares(utility, said)
        surprise = sharpness * (said.target - share)
        weight = sharpness**2 * share * (1 - share)
        if said.rating is not None and said.rated is not None:
            certainty = jnp.exp(-2 * self.log_noise[...])
            surprise += certainty * said.rated * (said.rating - utility)
            weight += certainty * said.rated
        return surprise, weight

    def taste_step(self, tastes: jax.Array, theta: jax.Array, surprise: jax.Array, weight: jax.Array) -> jax.Array:
        """One Newton step of the LLMs' tastes [llms, taste_dim] from all users' messages.

        Args:
          theta: [users, properties].
          surprise, weight: `residuals` summed over each user's decisions, [users, llms].
        """
        liking = theta[:, NUM_FIXED:]
        outer = liking[:, :, None] * liking[:, None, :]
        curvature = jnp.einsum("ul,ude->lde", weight, outer)
        curvature += jnp.exp(self.log_taste_precision[...]) * jnp.eye(tastes.shape[1])
        return tastes + _solve(curvature, jnp.einsum("ul,ud->ld", surprise, liking))

    def _shares(self, utility: jax.Array, said: Said) -> tuple[jax.Array, jax.Array]:
        """Predicted shares of the choice, zero for decisions without one; and the sharpness."""
        sharpness = jnp.exp(self.log_sharpness[...])
        chosen = said.target.sum(1, keepdims=True)
        return chosen * choice_probabilities(sharpness * utility, said.offered), sharpness

    def _newton_step(self, theta: jax.Array, answers: jax.Array, said: Said, even: jax.Array, spread: jax.Array):
        precision, mean = (p[...].reshape(-1, *[1] * (theta.ndim - 1)) for p in (self.log_precision, self.mean))
        precision = jnp.exp(precision)
        utility = utilities(theta, answers)
        surprise, _ = self.residuals(utility, said)
        flat = answers.reshape(-1, answers.shape[-1])
        push = flat.T @ surprise.reshape(len(flat), *theta.shape[1:]) - precision * (theta - mean)
        curvature = self._curvature(utility, answers, said, even) + jnp.diag(precision.reshape(-1))
        step = _solve(curvature, jnp.moveaxis(push, 0, -1))
        return theta + jnp.moveaxis(step * self._shortened(step, spread, said), -1, 0)

    def _curvature(self, utility: jax.Array, answers: jax.Array, said: Said, even: jax.Array) -> jax.Array:
        """Curvature of the log likelihood in theta, [..., properties, properties]."""
        share, sharpness = self._shares(utility, said)
        curvature = sharpness**2 * _covariance(answers, (1 - _EVENNESS) * share + _EVENNESS * even)
        if said.rated is not None:
            curvature += jnp.exp(-2 * self.log_noise[...]) * _second_moment(answers, said.rated)
        return curvature

    def _shortened(self, step: jax.Array, spread: jax.Array, said: Said) -> jax.Array:
        """What a step [..., properties] is multiplied with, so that it moves logits by `_LONGEST_STEP` at most."""
        moved = jnp.einsum("...a,...ab,...b->...", step, spread, step)
        logits = jnp.exp(self.log_sharpness[...]) * jnp.sqrt(moved / jnp.maximum(said.target.sum((0, 1)), 1) + 1e-12)
        return jax.lax.stop_gradient(jnp.minimum(1, _LONGEST_STEP / logits))[..., None]


def _even_shares(said: Said) -> jax.Array:
    """The prediction of somebody who knows nothing, for the decisions with a choice."""
    chosen = said.target.sum(1, keepdims=True)
    return chosen * said.offered / jnp.maximum(said.offered.sum(1, keepdims=True), 1)


def _second_moment(answers: jax.Array, weight: jax.Array) -> jax.Array:
    """Sum of weight a a', [..., properties, properties]; one matrix product where users share the answers."""
    size, users = answers.shape[-1], weight.shape[2:]
    outer = (answers[..., :, None] * answers[..., None, :]).reshape(-1, size**2)
    total = outer.T @ weight.reshape(len(outer), *users)
    return jnp.moveaxis(total.reshape(size, size, *users), (0, 1), (-2, -1))


def _covariance(answers: jax.Array, share: jax.Array) -> jax.Array:
    """Covariance of a under the shares of each decision, summed over decisions, [..., properties, properties]."""
    mean = jnp.einsum("kca,kc...->ka...", answers, share)
    return _second_moment(answers, share) - jnp.einsum("ka...,kb...->...ab", mean, mean)


def utilities(theta: jax.Array, answers: jax.Array) -> jax.Array:
    """theta [properties, ...] . answers [decisions, candidates, properties] -> [decisions, candidates, ...]."""
    return (answers.reshape(-1, len(theta)) @ theta).reshape(*answers.shape[:2], *theta.shape[1:])


def choice_probabilities(logits: jax.Array, offered: jax.Array) -> jax.Array:
    """Softmax over the candidates (axis 1) on offer; zero elsewhere."""
    masked = jnp.where(offered > 0, logits, -1e9)
    unnormed = jnp.exp(masked - jax.lax.stop_gradient(masked.max(1, keepdims=True))) * (offered > 0)
    return unnormed / jnp.maximum(unnormed.sum(1, keepdims=True), 1e-30)


def log_choice_probabilities(logits: jax.Array, offered: jax.Array) -> jax.Array:
    """Log softmax over the candidates (axis 1) on offer; zero elsewhere."""
    masked = jnp.where(offered > 0, logits, -1e9)
    return jnp.where(offered > 0, jax.nn.log_softmax(masked, axis=1), 0.0)


def _solve(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """Solves a batch of small positive definite systems [..., n, n] x = [..., n]."""
    factor = jax.scipy.linalg.cho_factor(matrix)
    return jax.scipy.linalg.cho_solve(factor, vector[..., None])[..., 0]
