"""Waits before asking again: they double, are partly random, and are never shorter than the server asks."""

import numpy as np
import pytest

from prouter_jax.asking.retry import Retry


def _delays(attempt, wait=None, base=1.0):
    rng = np.random.default_rng(0)
    return [Retry(attempts=20, base=base).delay(attempt, wait, rng) for _ in range(200)]


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (19, 60)])
def test_waits_double_up_to_a_minute_and_half_is_chance(attempt, longest):
    delays = _delays(attempt)
    assert longest / 2 <= min(delays) < 0.55 * longest
    assert 0.95 * longest < max(delays) <= longest


def test_the_server_is_obeyed():
    assert min(_delays(1, wait=30.0)) >= 30
    assert max(_delays(1, wait=30.0)) <= 31
    assert min(_delays(1, wait=0.0, base=0.0)) == 0


def test_giving_up():
    rng = np.random.default_rng(0)
    assert Retry(3, 1.0).delay(2, None, rng) is not None
    assert Retry(3, 1.0).delay(3, None, rng) is None
    assert Retry(3, 1.0).delay(1, 600.0, rng) is not None
    assert Retry(3, 1.0).delay(1, 601.0, rng) is None
