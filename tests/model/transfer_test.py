"""The trained numbers: what they are before training, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite_differences import check_gradients

from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.likelihood import Population
from prouter_jax.model.transfer import TransferSizes

FEATURES = AnswerFeatures(style=2, llm_state=3, own_columns=0, shown_first=1, population_utility=1, latent_factors=2)
SIZES = TransferSizes(FEATURES, (1.5, 0.1, 0.2, 0.5), known=4)
EM = Population(
    mean=jnp.linspace(-1, 1, FEATURES.size),
    precision=jnp.eye(FEATURES.size) + 0.1,
    sharpness=jnp.float32(2),
    rating_precision=jnp.float32(4),
    threshold=jnp.float32(0.3),
)


def _noisy():
    random = np.random.default_rng(0)
    start = SIZES.init(jax.random.key(0))
    return {name: value + 0.3 * random.normal(size=value.shape) for name, value in start.items()}


def _values(numbers, population=EM):
    """All that depends on the numbers."""
    transfer, length = SIZES.bind(numbers), jnp.arange(4.0)
    of_length = (transfer.similar_share, transfer.agreement_sharpness, transfer.logit_scale)
    return (
        transfer.population(population),
        transfer.kernel(),
        transfer.sharpness(population.sharpness),
        transfer.error(),
        [function(length) for function in of_length],
    )


def test_before_training_the_prior_the_kernel_and_the_sharpness_are_those_given():
    population, (scales, noise), sharpness, *_ = _values(SIZES.init(jax.random.key(0)))
    jax.tree.map(np.testing.assert_array_equal, population, EM)
    np.testing.assert_allclose([*scales, noise], SIZES.kernel, rtol=1e-6)
    assert sharpness == EM.sharpness


def test_one_scale_of_the_precision_is_for_all_latent_factors():
    numbers = SIZES.init(jax.random.key(0))
    numbers["prior_scale"] = numbers["prior_scale"].at[-1].set(2 * np.log(3.0))
    scales = np.sqrt(np.diagonal(_values(numbers)[0].precision / EM.precision))
    np.testing.assert_allclose(scales[FEATURES.factor_start :], 3, rtol=1e-6)
    np.testing.assert_allclose(scales[: FEATURES.factor_start], 1, rtol=1e-6)


@pytest.mark.parametrize("accepted", [0.0, 1.0])
def test_the_prior_is_em_s_unless_the_numbers_are_accepted(accepted):
    numbers = _noisy() | {"accepted": jnp.float32(accepted)}
    gated = SIZES.bind(numbers).gated(EM)
    assert (np.asarray(gated.mean) != EM.mean).any() == bool(accepted)
    assert (np.asarray(gated.precision) != EM.precision).any() == bool(accepted)


def test_gradients_are_those_of_finite_differences():
    check_gradients(_values, _noisy(), EM)
