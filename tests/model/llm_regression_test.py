"""New LLMs are predicted from prices, families and descriptions where these tell something, else not at all."""

import numpy as np
import pytest

from prouter_jax.model.llm_regression import LlmProperties, predict_by_kernel, predict_by_price

LLMS = 24
KNOWN = np.arange(LLMS) < LLMS - 3


def _properties(rng, families: int = 6) -> LlmProperties:
    prices = np.exp(rng.uniform(-2, 2, (LLMS, 1))) * [1.0, 3.0]
    family = rng.integers(0, families, LLMS)
    vectors = rng.normal(size=(LLMS, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return LlmProperties(prices, (family[:, None] == family[None]).astype(float), vectors)


def _dear_are_good(properties: LlmProperties, rng) -> np.ndarray:
    """Effects by task that rise with the log price, [llms, 3]."""
    quality = 0.5 + 0.1 * np.log(properties.prices[:, :1])
    return quality + np.array([0.1, 0.0, -0.2]) + rng.normal(0, 0.02, (LLMS, 3))


def test_effects_that_follow_the_price_are_predicted():
    rng = np.random.default_rng(0)
    properties = _properties(rng)
    values = _dear_are_good(properties, rng)
    found = predict_by_kernel(properties, values, KNOWN, ~KNOWN)
    assert found is not None
    error = (found.weights @ values - values)[~KNOWN]
    error_of_mean = values[KNOWN].mean(0) - values[~KNOWN]
    assert np.abs(error).mean() < 0.5 * np.abs(error_of_mean).mean()
    assert np.sqrt(found.variance[~KNOWN]).max() < 2 * values[KNOWN].std(0).mean()
    np.testing.assert_allclose(found.weights[~KNOWN].sum(1), 1, rtol=1e-6)
    assert not found.weights[KNOWN].any()
    assert not found.weights[:, ~KNOWN].any()


def test_the_error_that_is_expected_is_the_error_that_is_made():
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        properties = _properties(rng)
        values = _dear_are_good(properties, rng) + 0.05 * rng.normal(size=(LLMS, 1))
        found = predict_by_kernel(properties, values, KNOWN, ~KNOWN)
        if found is not None:
            ratios.append(np.square(found.weights @ values - values)[~KNOWN].mean(1) / found.variance[~KNOWN])
    assert len(ratios) > 15
    assert 0.5 < np.mean(ratios) < 2


@pytest.mark.parametrize("families", [2, 24])
def test_properties_that_tell_nothing_predict_nothing(families):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(40):
        values = rng.normal(0.5, 0.1, (LLMS, 1)) + rng.normal(0, 0.03, (LLMS, 3))
        found.append(predict_by_kernel(_properties(rng, families), values, KNOWN, ~KNOWN) is not None)
    assert np.mean(found) < 0.1


def test_few_llms_predict_nothing():
    rng = np.random.default_rng(0)
    properties = _properties(rng)
    assert predict_by_kernel(properties, _dear_are_good(properties, rng), np.arange(LLMS) < 9, ~KNOWN) is None
    assert predict_by_price(properties, properties.prices[:, :1], np.arange(LLMS) < 9, ~KNOWN) is None


def test_costs_are_tokens_times_price():
    rng = np.random.default_rng(2)
    properties = _properties(rng)
    tokens = rng.lognormal(0, 0.2, (LLMS, 2, 4)) * np.array([200, 300])[:, None]
    cost = 1e-3 * (np.einsum("lp,lpt->lt", properties.prices, tokens) - 40)
    found = predict_by_price(properties, cost, KNOWN, ~KNOWN)
    assert found is not None
    error, scale = (found.weights @ cost - cost)[~KNOWN], cost[~KNOWN] + 0.04
    assert np.abs(error / scale).mean() < 0.3
    dear, cheap = np.argmax(found.scale * ~KNOWN), np.argmin(np.where(~KNOWN, found.scale, np.inf))
    assert found.variance[dear] > found.variance[cheap]


def test_llms_without_a_price_are_neither_predicted_nor_learnt_from():
    rng = np.random.default_rng(3)
    properties = _properties(rng)
    cost = properties.prices.sum(1, keepdims=True)
    properties.prices[[0, LLMS - 1]] = np.nan
    cost[0] = 1e6
    found = predict_by_price(properties, cost, KNOWN, ~KNOWN)
    assert found is not None
    assert not found.weights[LLMS - 1].any()
    assert not found.weights[:, 0].any()
    np.testing.assert_allclose((found.weights @ cost)[LLMS - 2], cost[LLMS - 2], rtol=0.1)
    by_kernel = predict_by_kernel(properties, _dear_are_good(_properties(np.random.default_rng(3)), rng), KNOWN, ~KNOWN)
    assert by_kernel is None or np.isfinite(by_kernel.weights).all()
