"""What this machine can do at most, as measured: the limits that a program's speed is a share of."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

_SIDE = 2048  # of the matrices: large enough that a product is arithmetic, not memory
_BYTES = 1 << 28  # far more than a processor caches
_RUNS = 10  # at most
_SECONDS = 0.4  # after which no other run begins


def measure_flops() -> float:
    """The most float32 operations a second, as products of matrices reach them on all cores of the default device."""
    matrix = jnp.ones((_SIDE, _SIDE), jnp.float32)
    return 2 * _SIDE**3 / _fastest(jax.jit(jnp.matmul), matrix, matrix)


def measure_bandwidth() -> float:
    """The most bytes a second that are read from the memory of the default device, by all its cores."""
    values = jnp.ones(_BYTES // 4, jnp.float32)
    return _BYTES / _fastest(jax.jit(jnp.sum), values)


def _fastest(function: Callable, *arguments: jax.Array) -> float:
    """Seconds of the fastest run: whatever else the machine does makes runs longer, never shorter."""
    jax.block_until_ready(function(*arguments))
    seconds = []
    while len(seconds) < _RUNS and sum(seconds) < _SECONDS:
        begun = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
