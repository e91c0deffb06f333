"""The checker of array shapes in annotations; pytest applies it to the modules that pyproject.toml names.

Only jaxtyping annotations are checked. NumPy and JAX arrays are both accepted: the code is called with either.
"""

import inspect

import jax
import numpy as np
from beartype import beartype
from jaxtyping import Shaped


def checked(function):
    """`function` with its array arguments and its array result checked: the same letter is the same size."""
    hints = {name: _any_array(hint) for name, hint in function.__annotations__.items() if hasattr(hint, "dim_str")}
    function.__annotations__ = hints
    parameters = inspect.signature(function).parameters
    return beartype(function) if hints.keys() & {*parameters, "return"} else function


def _any_array(hint):
    return Shaped[jax.Array, hint.dim_str] | Shaped[np.ndarray, hint.dim_str]
