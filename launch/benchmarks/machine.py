"""Measures the peak arithmetic and memory speed of this machine."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

_SIDE = 2048  # of the matrices: large enough that a product is limited by arithmetic, not by memory
_BYTES = 1 << 28  # far more than the caches of a processor hold
_RUNS = 10  # at most
_SECONDS = 0.4  # no run starts after this time


def measure_flops() -> float:
    """Peak float32 operations per second: products of matrices on all cores of the default device."""
    matrix = jnp.ones((_SIDE, _SIDE), jnp.float32)
    return 2 * _SIDE**3 / _fastest(jax.jit(jnp.matmul), matrix, matrix)


def measure_bandwidth() -> float:
    """Peak bytes per second read from the memory of the default device by all its cores."""
    values = jnp.ones(_BYTES // 4, jnp.float32)
    return _BYTES / _fastest(jax.jit(jnp.sum), values)


def _fastest(function: Callable, *arguments: jax.Array) -> float:
    """Seconds of the fastest run: other work of the machine makes runs longer, never shorter."""
    jax.block_until_ready(function(*arguments))
    seconds = []
    while len(seconds) < _RUNS and sum(seconds) < _SECONDS:
        begun = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
