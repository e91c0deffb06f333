"""Numbers that gradients train on top of EM: few enough that they transfer to users whom EM never saw.

    prior            mean + shift, S precision S with S = diag(exp(scale / 2)), one scale for all latent factors
    sharpness        exp(log_sharpness) times EM's, one for histories and one for predictions
    query kernel     inverse squared length scales of text and style, covariance of a task, noise
    similar users    weight g(k) of what `similar_users` would choose, and the sharpness of their weights
    temperature      factor on the logits

where k is the number of choices in the history, and g, the sharpness of weights and the temperature are
a + b log(1 + k) on their logit or log scale. All start such that EM's predictions hardly change.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.functional import Functional
from prouter_jax.model.likelihood import Population
from prouter_jax.model.query_kernel import Scales

_FIRST_WEIGHT = -2.0  # logit: similar users count for 0.12 before training
_FIRST_ERROR = -1.5  # logit


class Transferred(nnx.Param):
    """A number that gradients train on users whom EM never saw."""


class Gate(nnx.Variable):
    """1 if the trained numbers are used, 0 if EM's stay; nothing trains it, see `training.gate`."""


@dataclasses.dataclass(frozen=True)
class TransferSizes(Functional["Transfer"]):
    """Sizes and initial values of `Transfer`; hashable, so a static argument of compiled functions.

    Attributes:
      features: the features of an answer.
      kernel: text, style, task and noise of the query kernel that training starts from.
      known: number of known users among whom similar ones are looked for.
    """

    features: AnswerFeatures
    kernel: tuple[float, float, float, float]
    known: int

    def make(self, key: jax.Array) -> "Transfer":
        """Returns the module before training."""
        del key
        return Transfer(self)


class Transfer(nnx.Module):
    """The trained numbers; names and formulas are in the module docstring."""

    def __init__(self, sizes: TransferSizes):
        free = sizes.features.factor_start
        self.sizes = sizes
        self.prior_shift = Transferred(jnp.zeros(free))
        self.prior_scale = Transferred(jnp.zeros(free + 1))
        self.log_kernel = Transferred(jnp.log(jnp.array(sizes.kernel)))
        self.log_sharpness = Transferred(jnp.zeros(2))
        self.temperature = Transferred(jnp.zeros(2))
        self.similar_weight = Transferred(jnp.array([_FIRST_WEIGHT, 0.0]))
        self.similar_sharpness = Transferred(jnp.zeros(2))
        self.similar_error = Transferred(jnp.full((), _FIRST_ERROR))
        self.accepted = Gate(jnp.zeros(()))

    def population(self, population: Population) -> Population:
        """Returns the prior and the sharpness with which histories are read.

        Args:
          population: EM's.
        """
        features = self.sizes.features
        free, size = features.factor_start, features.size
        shift = jnp.pad(self.prior_shift[...], (0, size - free))
        scale = jnp.exp(self.prior_scale[...] / 2)
        scales = jnp.concatenate([scale[:free], jnp.broadcast_to(scale[free], (size - free,))])
        return Population(
            mean=population.mean + shift,
            precision=population.precision * scales[:, None] * scales,
            sharpness=population.sharpness * jnp.exp(self.log_sharpness[0]),
            rating_precision=population.rating_precision,
            threshold=population.threshold,
        )

    def gated(self, population: Population) -> Population:
        """Returns `population` of EM's if the trained numbers are used, else EM's."""
        tuned = self.population(population)
        return jax.tree.map(lambda new, old: jnp.where(self.accepted[...] > 0, new, old), tuned, population)

    def kernel(self) -> tuple[Scales, Float[Array, ""]]:
        """Returns the scales and the noise of the query kernel."""
        text, style, task, noise = jnp.exp(self.log_kernel[...])
        return Scales(text, style, task), noise

    def sharpness(self, sharpness: Float[Array, ""] | float) -> Float[Array, ""]:
        """Returns the inverse temperature of predicted choices.

        Args:
          sharpness: EM's.
        """
        return sharpness * jnp.exp(self.log_sharpness[1])

    def error(self) -> Float[Array, ""]:
        """Returns the probability that a choice is one of the mean known user."""
        return jax.nn.sigmoid(self.similar_error[...])

    def agreement_sharpness(self, length: Float[Array, "*users"]) -> Float[Array, "*users"]:
        """Returns the sharpness of the weights of similar users after `length` choices."""
        return jnp.exp(_linear(self.similar_sharpness, length))

    def similar_share(self, length: Float[Array, "*users"]) -> Float[Array, "*users"]:
        """Returns the weight g of similar users after `length` choices."""
        return jax.nn.sigmoid(_linear(self.similar_weight, length))

    def logit_scale(self, length: Float[Array, "*users"]) -> Float[Array, "*users"]:
        """Returns the factor on the logits after `length` choices."""
        return jnp.exp(_linear(self.temperature, length))


def extend_transfer(sizes: TransferSizes, params: dict, features: AnswerFeatures) -> tuple[TransferSizes, dict]:
    """Returns sizes and parameters for features with more LLMs, for whose columns the prior stays EM's."""
    at = sizes.features.llm_columns.stop
    columns = [at] * (features.own_columns - sizes.features.own_columns)
    padded = {name: np.insert(np.asarray(params[name]), columns, 0.0) for name in ("prior_shift", "prior_scale")}
    return dataclasses.replace(sizes, features=features), {**params, **padded}


def _linear(numbers: nnx.Variable, length: jax.Array) -> jax.Array:
    return numbers[0] + numbers[1] * jnp.log1p(length)
