"""Regression over LLMs: predicts numbers of new LLMs from their prices, families and descriptions.

A prediction is a weighted sum of the known LLMs' numbers. Two regressions are judged by their leave-one-out errors,
which have closed forms:

    by kernel   Gaussian process with an unknown mean and the kernel between LLMs l and m
                k = exp(-0.3 |p_l - p_m|^2) + family [same family] + text exp(-|v_l - v_m|^2)
                for p the mean log price and the log ratio of output to input price, and v the text vector of the
                description; averaged over values of family, text and the noise, each weighted by
                error^(-n / 2) for the mean squared error of n LLMs. The plain mean has half of the prior weight.
    by price    ridge regression on input and output price with an intercept, for cost = tokens * price; residuals are
                relative to the price

Where errors are not smaller than those of the plain mean by two standard errors, nothing is predicted.
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from prouter_jax.graph.build import LLM_NUMBERS
from prouter_jax.graph.schema import RouterGraph

_PRICE_SCALE = 0.3  # inverse squared length scale of log prices
_FAMILY, _TEXT, _NOISE = (0.0, 0.3, 1.0), (0.0, 1.0, 3.0), (0.1, 0.3, 1.0)
_MIN_LLMS = 10  # fewer cannot tell whether properties predict anything
_MIN_GAIN = 2.0  # over the plain mean, in standard errors
_COST_RIDGE = 0.03  # relative to the sum of squares of each coefficient's input
_MIN_PRICE = 0.01  # USD per million tokens, bounds the logarithm of free LLMs' prices


@dataclasses.dataclass(frozen=True)
class LlmProperties:
    """What is known of LLMs without any outcome.

    Attributes:
      prices: USD per million input and output tokens, NaN if missing, [llms, 2].
      same_family: whether two LLMs are of one family, [llms, llms].
      vectors: text vectors of the descriptions, [llms, width].
    """

    prices: np.ndarray
    same_family: np.ndarray
    vectors: np.ndarray


class Prediction(NamedTuple):
    """Predictions as weighted sums of the known LLMs' numbers.

    Attributes:
      weights: zero for LLMs that are not new in rows, and for those that are not known in columns, [llms, llms].
      variance: of the error of each new LLM's prediction, 0 for others, [llms].
      scale: factor of the variance of each LLM, [llms].
    """

    weights: np.ndarray
    variance: np.ndarray
    scale: np.ndarray


def llm_properties(graph: RouterGraph) -> LlmProperties:
    """Reads the properties of the LLMs from their nodes and from the edges between LLMs of one family."""
    nodes, edges = np.asarray(graph.nodes("llm"), np.float64), graph.edges("family")
    numbers = nodes[:, -LLM_NUMBERS:]
    prices = np.where(numbers[:, 2:] > 0, np.expm1(numbers[:, :2]), np.nan)
    same_family = np.eye(len(nodes))
    kept = np.asarray(edges.weight) > 0
    same_family[np.asarray(edges.senders)[kept], np.asarray(edges.receivers)[kept]] = 1.0
    return LlmProperties(prices, same_family, nodes[:, :-LLM_NUMBERS])


def predict_by_kernel(
    properties: LlmProperties,
    values: Float[np.ndarray, "llms columns"],
    known: Bool[np.ndarray, " llms"],
    new: Bool[np.ndarray, " llms"],
) -> Prediction | None:
    """Predicts by a Gaussian process; None if it is not better than the plain mean.

    Args:
      values: the numbers; those of LLMs that are not known are ignored.
      known: LLMs to learn from.
      new: LLMs to predict.
    """
    if known.sum() < _MIN_LLMS:
        return None
    count, flat = int(known.sum()), np.zeros((len(known), len(known)))
    models = [(flat, 1.0), *_kernels(properties)]
    fits = [_fit_process(kernel, noise, values[known], known, new) for kernel, noise in models]
    errors, weights, variances = (np.array(x) for x in zip(*fits, strict=True))
    log_share = -count / 2 * np.log(np.square(errors).mean((1, 2)) + 1e-12)
    log_share[0] += np.log(len(models) - 1)
    share = np.exp(log_share - log_share.max())
    share /= share.sum()
    if _gain(errors[0], np.tensordot(share, errors, 1)) < _MIN_GAIN:
        return None
    return Prediction(
        *_spread(share @ weights.reshape(len(share), -1), share @ variances, known, new), np.ones(len(new))
    )


def predict_by_price(
    properties: LlmProperties,
    values: Float[np.ndarray, "llms columns"],
    known: Bool[np.ndarray, " llms"],
    new: Bool[np.ndarray, " llms"],
) -> Prediction | None:
    """Predicts costs by least squares on prices; None if it is not better than the plain mean.

    LLMs without a price are neither learnt from nor predicted. Args: see `predict_by_kernel`.
    """
    priced = np.all(~np.isnan(properties.prices), axis=1)
    known, new = known & priced, new & priced
    if known.sum() < _MIN_LLMS or not new.any():
        return None
    inputs = np.column_stack([np.ones(len(known)), properties.prices])
    scale = np.maximum(properties.prices.mean(1), _MIN_PRICE)
    relative = inputs[known] / scale[known, None]
    squares = relative.T @ relative
    inverse = np.linalg.inv(squares + _COST_RIDGE * np.diag(np.diag(squares)))
    hat = relative @ inverse @ relative.T
    scaled = values[known] / scale[known, None]
    errors = (scaled - hat @ scaled) / (1 - np.diag(hat))[:, None]
    if _gain(_errors_of_mean(values[known]), errors * scale[known, None]) < _MIN_GAIN:
        return None
    weights = inputs[new] @ inverse @ relative.T / scale[known]
    variance = np.square(errors).mean() * np.square(scale[new])
    return Prediction(*_spread(weights, variance, known, new), np.square(scale))


def _kernels(properties: LlmProperties):
    """Kernels between all LLMs with the variance of their noise."""
    logs = np.log(np.maximum(properties.prices, _MIN_PRICE))
    prices = np.column_stack([logs.mean(1), logs[:, 1] - logs[:, 0]])
    missing = np.isnan(prices)
    prices = np.where(missing, prices[~missing.any(1)].mean(0) if (~missing.any(1)).any() else 0.0, prices)
    near, alike = np.exp(-_PRICE_SCALE * _distances(prices)), np.exp(-_distances(properties.vectors))
    for family, text, noise in itertools.product(_FAMILY, _TEXT, _NOISE):
        yield near + family * properties.same_family + text * alike, noise


def _distances(rows: np.ndarray) -> np.ndarray:
    return np.square(rows[:, None] - rows[None]).sum(-1)


def _fit_process(kernel: np.ndarray, noise: float, values: np.ndarray, known: np.ndarray, new: np.ndarray):
    """Leave-one-out errors [known, columns], weights [new, known] and error variances [new] of a Gaussian process.

    The variances are scaled such that the leave-one-out errors have the variances that the process expects.
    """
    inverse = np.linalg.inv(kernel[np.ix_(known, known)] + noise * np.eye(len(values)))
    of_mean = inverse.sum(1)
    without_mean = inverse - np.outer(of_mean, of_mean) / of_mean.sum()
    precision = np.diag(without_mean)[:, None]
    errors = without_mean @ values / precision
    to_new = kernel[np.ix_(new, known)]
    direct = to_new @ inverse
    rest = 1 - direct.sum(1)
    variance = np.diag(kernel)[new] + noise - (direct * to_new).sum(1) + rest**2 / of_mean.sum()
    return errors, direct + np.outer(rest, of_mean / of_mean.sum()), variance * (errors**2 * precision).mean()


def _errors_of_mean(values: np.ndarray) -> np.ndarray:
    """Errors of the mean of the other LLMs."""
    return (values - values.mean(0)) * len(values) / (len(values) - 1)


def _gain(before: np.ndarray, after: np.ndarray) -> float:
    """How much smaller LLMs' errors are than before, in standard errors of the mean over LLMs.

    The gain of an LLM is (before - after) / (before + after), so no LLM decides alone.
    """
    first, second = (np.sqrt(np.square(x).mean(1)) for x in (before, after))
    gains = (first - second) / np.maximum(first + second, 1e-12)
    return float(gains.mean() / max(gains.std() / np.sqrt(len(gains)), 1e-12))


def _spread(weights: np.ndarray, variance: np.ndarray, known: np.ndarray, new: np.ndarray):
    """Weights [new, known] and variances [new] as arrays over all LLMs."""
    all_weights, all_variances = np.zeros((len(new), len(new))), np.zeros(len(new))
    all_weights[np.ix_(new, known)] = weights.reshape(int(new.sum()), int(known.sum()))
    all_variances[new] = variance
    return all_weights, all_variances
