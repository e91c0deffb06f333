"""`Program`: a compiled function of training or scoring with what it is called with, as shapes alone."""

import dataclasses
from typing import Any

KINDS: tuple[str, ...] = ("parameters", "optimizer", "world", "batch")


@dataclasses.dataclass(frozen=True)
class Program:
    """What is to be compiled.

    Attributes:
      name: such as "train step".
      function: of `jax.jit`, without static arguments.
      arguments: pytrees of jax.ShapeDtypeStruct with shardings, as the function takes them.
      kinds: one of `KINDS` for every array, as a prefix of `arguments`: ("world", ...) stands for all of a pytree.
      users: how many one call takes, on all chips together.
      calls: in an epoch; 0 for what is no part of training.
    """

    name: str
    function: Any
    arguments: tuple
    kinds: tuple
    users: int
    calls: float
