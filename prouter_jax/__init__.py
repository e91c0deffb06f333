"""Personal routing: pick, for each user and each query, the LLM that this user would want."""

import typing

if typing.TYPE_CHECKING:
    from prouter_jax.serving.router import Router, Scores

__version__ = "0.1.0"  # read by pyproject.toml as well
__all__ = ["Router", "Scores"]


def __getattr__(name: str):
    """`from prouter_jax import Router` without loading JAX for those who only want, say, the configuration."""
    if name in __all__:
        from prouter_jax.serving import router

        return getattr(router, name)
    raise AttributeError(f"module 'prouter_jax' has no attribute {name!r}")
