"""Gradients against finite differences, in 64 bits."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads


def check_gradients(function: Callable, *arguments, modes: Sequence[str] = ("fwd", "rev")) -> None:
    """Fails where derivatives of `function` in its arguments, trees of floats, are not those of finite differences."""
    with jax.enable_x64():
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), arguments)
        check_grads(jax.jit(function), wide, order=1, modes=modes, eps=1e-6, atol=1e-4, rtol=1e-4)
