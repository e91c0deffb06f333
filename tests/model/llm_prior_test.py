"""Outcomes of a new LLM are expected from those of the others until it has some of its own."""

import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.model.answer_features import COST, EFFECT, Observed
from prouter_jax.model.llm_prior import LlmPrior, make_llm_prior
from prouter_jax.model.llm_regression import LlmProperties

QUERIES, LLMS = 300, 14
NEW = np.arange(LLMS) == LLMS - 1
TASK = np.arange(QUERIES) % 2


def _observed(shown: int = 0, effect_of_new: float | None = None) -> tuple[Observed, LlmProperties, np.ndarray]:
    """LLMs whose effect and cost rise with the price; of the new one `shown` outcomes are observed."""
    rng = np.random.default_rng(0)
    prices = np.exp(np.linspace(-2, 2, LLMS))[:, None] * [1.0, 2.0]
    prices[-1] = np.exp([1.0, 1.7])
    mean = 0.5 + 0.1 * np.log(prices[:, 0]) - 0.2 * TASK[:, None]
    effect = (rng.random((QUERIES, LLMS)) < mean).astype(float)
    if effect_of_new is not None:
        effect[:, -1] = effect_of_new
    cost = 0.05 * prices.sum(1) * rng.lognormal(0, 0.2, (QUERIES, 1))
    values = np.stack([effect, cost], -1)
    seen = np.ones((QUERIES, LLMS, 2), np.float32)
    seen[shown:, -1] = 0
    observed = Observed(
        jnp.asarray(values * seen, jnp.float32), jnp.asarray(seen), jnp.asarray(TASK), jnp.zeros((0, 0)), 2
    )
    properties = LlmProperties(prices, np.eye(LLMS), np.zeros((LLMS, 4)))
    return observed, properties, np.stack([mean, np.broadcast_to(cost, mean.shape)], -1)


def _made(observed: Observed, properties: LlmProperties) -> LlmPrior:
    prior = make_llm_prior(observed, properties, NEW)
    assert prior is not None
    return prior


def _expected(prior: LlmPrior, observed: Observed) -> np.ndarray:
    return np.asarray(prior.expected(observed, jnp.full(observed.values.shape, 7.0)))


def test_effect_and_cost_of_an_llm_without_outcomes_are_predicted_by_task():
    observed, properties, truth = _observed()
    prior = _made(observed, properties)
    expected = _expected(prior, observed)
    np.testing.assert_array_equal(expected[:, ~NEW], 7.0)
    by_task = np.stack([expected[t == TASK, -1].mean(0) for t in (0, 1)])
    true = np.stack([truth[t == TASK, -1].mean(0) for t in (0, 1)])
    np.testing.assert_allclose(by_task[:, EFFECT], true[:, EFFECT], atol=0.08)
    np.testing.assert_allclose(by_task[:, COST], true[:, COST], rtol=0.15)
    # what makes a query dear for the others makes it dear for the new one
    assert np.corrcoef(expected[:, -1, COST], truth[:, -1, COST])[0, 1] > 0.95


def test_observed_outcomes_overrule_the_prediction_the_more_there_are():
    distance, errors = [], []
    for shown in (0, 4, 40, 300):
        observed, properties, _ = _observed(shown, effect_of_new=0.0)
        prior = _made(observed, properties)
        distance.append(float(_expected(prior, observed)[:, -1, EFFECT].mean()))
        errors.append(float(prior.effect_errors(observed.seen[..., EFFECT], jnp.full(LLMS, 9.0))[-1]))
    assert distance[0] > 0.35
    assert np.all(np.diff(distance) < 0)
    assert distance[-1] < 0.15
    assert np.all(np.diff(errors) < 0)
    assert errors[0] == pytest.approx(float(prior.error[-1]), rel=1e-5)


def test_errors_of_llms_that_are_not_predicted_stay():
    observed, properties, _ = _observed()
    prior = _made(observed, properties)
    np.testing.assert_array_equal(prior.effect_errors(observed.seen[..., EFFECT], jnp.full(LLMS, 9.0))[:-1], 9.0)


def test_equal_prices_and_descriptions_predict_nothing():
    observed, properties, _ = _observed()
    properties.prices[:] = 1.0
    assert make_llm_prior(observed, properties, NEW) is None


def test_an_llm_without_a_price_spoils_no_prediction():
    observed, properties, truth = _observed()
    properties.prices[3] = np.nan
    prior = _made(observed, properties)
    assert np.isfinite(prior.strength).all()
    assert not np.asarray(prior.weights)[COST, :, 3].any()
    np.testing.assert_allclose(_expected(prior, observed)[:, -1, COST].mean(), truth[:, -1, COST].mean(), rtol=0.15)
