"""What training minimises: how badly hidden decisions and hidden outcomes were foreseen."""

import jax
import jax.numpy as jnp
from flax import nnx, struct

from prouter_jax.graph import RouterGraph, Visibility, hide
from prouter_jax.histories import Histories, only, over_users, read_histories
from prouter_jax.model import RouterModel, RouterStates, observed_outcomes, with_observed, with_tastes
from prouter_jax.reader import CONSTANT, Said, log_choice_probabilities, utilities

_NOISE_FLOOR = 1e-2  # feedback without noise would drive a learnt noise to zero and the loss to minus infinity


@struct.dataclass
class Labels:
    """What the model must foresee and therefore never sees.

    Attributes:
      histories: all feedback; only that of the scored decisions is used.
      scored: [users, decisions], 1 for the decisions to foresee.
      outcomes, known: effect and scaled cost of every answer and whether each is known, [queries, llms, 2].
      hidden: [queries, llms, 2], 1 for the outcomes to foresee.
    """

    histories: Histories
    scored: jax.Array
    outcomes: jax.Array
    known: jax.Array
    hidden: jax.Array


class Noise(nnx.Module):
    """Learnt spread of effects and costs around their expectation; not part of the served model."""

    def __init__(self):
        self.log_scale = nnx.Param(jnp.log(jnp.array([0.3, 0.1])))


def split_labels(graph: RouterGraph, visibility: Visibility, scored: jax.Array) -> tuple[RouterGraph, Labels]:
    """The graph with the hidden parts taken out, and what was taken out.

    Args:
      scored: [users, decisions], 1 for the decisions to foresee; none of them may be visible.
    """
    outcomes, known = observed_outcomes(graph)
    hidden = known * (1 - visibility.outcomes)[:, None, None]
    return hide(graph, visibility), Labels(read_histories(graph), scored, outcomes, known, hidden)


def routing_loss(
    model: RouterModel, noise: Noise, graph: RouterGraph, labels: Labels
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Negative log likelihood of hidden choices and ratings given the answers, and of hidden outcomes.

    A user chose after seeing the answers, so a choice is explained by what the answers turned out to be;
    what they would turn out to be is learnt separately, and the router scores with the expectation.
    The calibration term moves only the sharpness of the served softmax.
    """
    states = model(graph)
    tastes = states.shared.tastes[-1]
    seen = with_tastes(with_observed(states.predicted, labels.outcomes, labels.known), tastes)
    expected = jax.lax.stop_gradient(with_tastes(states.predicted, tastes))

    size = expected.shape[-1]

    @jax.checkpoint
    def of_user(answers, said, _, scored, theta):
        said = only(said, scored)
        losses = feedback_losses(model, utilities(theta, answers[..., :size]), said)
        served = utilities(jax.lax.stop_gradient(theta), answers[..., size:])
        return *losses, calibration_loss(model, served, said)

    both = jnp.concatenate([seen, expected], -1)
    by_user = over_users(graph, of_user, both, labels.histories, labels.scored, states.users)
    choice, choices, rating, ratings, calibration = (x.sum() for x in by_user)
    parts = {
        "feedback": choice / jnp.maximum(choices, 1) + rating / jnp.maximum(ratings, 1),
        "outcome": outcome_loss(noise, states, labels),
        "calibration": calibration / jnp.maximum(choices, 1),
    }
    return parts["feedback"] + parts["outcome"] + parts["calibration"], parts


def feedback_losses(model: RouterModel, utility: jax.Array, said: Said) -> tuple[jax.Array, ...]:
    """Negative log likelihood of choices and their number, then of ratings and theirs, each summed by user."""
    reader = model.reader
    share = log_choice_probabilities(jnp.exp(reader.log_sharpness[...]) * utility, said.offered)
    choice = -(said.target * share).sum((0, 1))
    if said.rating is None or said.rated is None:
        return choice, said.target.sum((0, 1)), jnp.zeros_like(choice), jnp.zeros_like(choice)
    log_noise = jnp.maximum(reader.log_noise[...], jnp.log(_NOISE_FLOOR))
    rating = said.rated * (0.5 * ((said.rating - utility) * jnp.exp(-log_noise)) ** 2 + log_noise)
    return choice, said.target.sum((0, 1)), rating.sum((0, 1)), said.rated.sum((0, 1))


def calibration_loss(model: RouterModel, utility: jax.Array, said: Said) -> jax.Array:
    """Negative log likelihood of the served softmax, by user."""
    share = log_choice_probabilities(jnp.exp(model.log_score_sharpness[...]) * utility, said.offered)
    return -(said.target * share).sum((0, 1))


def outcome_loss(noise: Noise, states: RouterStates, labels: Labels) -> jax.Array:
    """Mean Gaussian negative log likelihood of the hidden effects and scaled costs."""
    log_scale = jnp.maximum(noise.log_scale[...], jnp.log(_NOISE_FLOOR))
    error = (states.predicted[..., :CONSTANT] - labels.outcomes) * jnp.exp(-log_scale)
    return (labels.hidden * (0.5 * error**2 + log_scale)).sum() / jnp.maximum(labels.hidden.sum(), 1)
