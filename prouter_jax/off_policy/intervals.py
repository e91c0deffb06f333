"""95 % intervals of means whose terms are skewed, as importance-weighted rewards are."""

import math

import numpy as np
from scipy import special

from prouter_jax.metrics import Interval

_CONFIDENCE = 0.95


def interval_over_users(mean: float, influence: np.ndarray, user: np.ndarray) -> Interval:
    """The interval for other users: decisions of one user are alike, so each user's influences count as one sum.

    With n decisions of G users, s_g the sum of a user's influences beside their mean, and skewness c of these sums:

        error^2 = G / (G - 1) * sum(s_g^2) / n^2,    k = c / sqrt(G),    q of Student's t with G - 1
        limits = mean - error * 3 / k * (cbrt(1 + k (+-q - k / 6)) - 1)

    (Hall 1992, On the removal of skewness by transformation); without skewness these are mean -+ q error.

    Args:
      influence: float [decisions], what each does to the mean; user: int [decisions].
    """
    _, place = np.unique(user, return_inverse=True)
    sums = np.bincount(place, influence - influence.mean())
    users = len(sums)
    if users < 2:
        return Interval(mean, math.nan, math.nan, users)
    squares = float(np.square(sums).sum())
    error = math.sqrt(users / (users - 1) * squares) / len(influence)
    reach = float(special.stdtrit(users - 1, (1 + _CONFIDENCE) / 2))
    skewness = float(np.power(sums, 3).mean()) / max((squares / users) ** 1.5, 1e-300) / math.sqrt(users)
    low, high = (mean - error * _straightened(quantile, skewness) for quantile in (reach, -reach))
    return Interval(mean, low, high, users)


def _straightened(quantile: float, skewness: float) -> float:
    """The quantile of the skewed studentised mean that becomes `quantile` once it is straightened."""
    if abs(skewness) < 1e-6:
        return quantile
    return 3 / skewness * (float(np.cbrt(1 + skewness * (quantile - skewness / 6))) - 1)
