"""95 % intervals of means whose terms are skewed, as importance-weighted rewards are."""

import math

import numpy as np
from scipy import special

from prouter_jax.metrics import Interval

_CONFIDENCE = 0.95


def interval_over_users(mean: float, influence: np.ndarray, user: np.ndarray) -> Interval:
    """The interval for other users: decisions of one user are alike, so each user's influences count as one sum.

    With n decisions of G users, s_g the sum of a user's influences beside their mean, of skewness c and kurtosis h:

        error^2 = G / (G - 1) * sum(s_g^2) / n^2,    k = c / sqrt(G)
        q of Student's t with 2 (G - 1) / (h - 1), at most G - 1, degrees of freedom
        limits = mean - error * 3 / k * (cbrt(1 + k (+-q - k / 6)) - 1)

    A few large sums make the error itself uncertain (degrees of freedom: Satterthwaite 1946; of normal sums h is 3),
    and skewed sums move it with the mean (Hall 1992, On the removal of skewness by transformation). Without both the
    limits are mean -+ q error.

    Args:
      influence: float [decisions], what each does to the mean; user: int [decisions].
    """
    _, place = np.unique(user, return_inverse=True)
    sums = np.bincount(place, influence - influence.mean())
    users = len(sums)
    if users < 2:
        return Interval(mean, math.nan, math.nan, users)
    spread = float(sums.std())
    error = users * spread / math.sqrt(users - 1) / len(influence)
    scaled = sums / spread if spread else sums
    skewness = float(np.power(scaled, 3).mean()) / math.sqrt(users)
    kurtosis = float(np.power(scaled, 4).mean())
    freedom = min(2 * (users - 1) / max(kurtosis - 1, 1e-9), users - 1)
    reach = float(special.stdtrit(freedom, (1 + _CONFIDENCE) / 2))
    low, high = (mean - error * _straightened(quantile, skewness) for quantile in (reach, -reach))
    return Interval(mean, low, high, users)


def _straightened(quantile: float, skewness: float) -> float:
    """The quantile of the skewed studentised mean that becomes `quantile` once it is straightened."""
    if abs(skewness) < 1e-6:
        return quantile
    return 3 / skewness * (float(np.cbrt(1 + skewness * (quantile - skewness / 6))) - 1)
