"""Flax modules used as functions of their parameters, which are plain dictionaries."""

import functools
from typing import Generic, TypeVar

import jax
from flax import nnx

Module = TypeVar("Module", bound=nnx.Module)


class Functional(Generic[Module]):
    """Sizes and hyperparameters of a module, which make it from parameters; subclasses are frozen dataclasses.

    They are hashable, so a subclass is a static argument of compiled functions.
    """

    def make(self, key: jax.Array) -> Module:
        """Returns the module with its initial parameters."""
        raise NotImplementedError

    def init(self, key: jax.Array) -> dict:
        """Returns the initial parameters, a nested dictionary."""
        return nnx.to_pure_dict(nnx.state(self.make(key)))

    def bind(self, params: dict) -> Module:
        """Returns the module with these parameters, also inside a transformation; others are ignored."""
        graphdef, state = _structure(self)
        return nnx.merge(graphdef, {name: params[name] for name in state})

    def kinds(self) -> dict:
        """Returns the type of each parameter's variable, in the structure of the parameters."""
        return nnx.to_pure_dict(_structure(self)[1], extract_fn=type)


@functools.lru_cache(maxsize=64)
def _structure(sizes: Functional) -> tuple[nnx.GraphDef, nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: sizes.make(jax.random.key(0))))
