"""Array shapes in annotations are checked while tests run."""

import jax.numpy as jnp
import jaxtyping
import pytest

from prouter_jax.model.likelihood import utilities


def test_a_wrong_shape_is_an_error():
    assert utilities(jnp.ones(3), jnp.ones((2, 4, 3))).shape == (2, 4)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"theta|answers"):
        utilities(jnp.ones((3, 5)), jnp.ones((2, 4)))
