"""What lives in a chip's memory while a compiled program runs."""

import math
from collections.abc import Iterator

import jax

from prouter_jax.ahead.hlo import Module
from prouter_jax.ahead.program import KINDS, Program

RESULTS, TEMPORARIES, CODE = "results", "temporaries", "program code"


def count_memory(program: Program, module: Module, stats) -> dict[str, float]:
    """Bytes of a chip by kind: the arguments', then results that take no argument's place, temporaries and code.

    Args:
      stats: of `compiled.memory_analysis()`.
    """
    held: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    entry = module.computations[module.entry]
    parameters = [(int(one.inner), one.shapes) for one in entry.values() if one.opcode == "parameter"]
    wanted = _leaves(program)
    for _, (shape,) in sorted(parameters):
        # arguments that the function does not use are no parameters; those that it uses come in their order
        kind = next(kind for kind, dtype, dims in wanted if (dtype, dims) == (shape.dtype, shape.dims))
        held[kind] += shape.padded_bytes
    return held | {
        RESULTS: float(stats.output_size_in_bytes - stats.alias_size_in_bytes),
        TEMPORARIES: float(stats.temp_size_in_bytes),
        CODE: float(stats.generated_code_size_in_bytes),
    }


def shape_bytes(program: Program) -> dict[str, float]:
    """Bytes of a chip's part of the arguments by kind, as their shapes say, without the padding of a layout."""
    held: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for struct, kind in _structs(program):
        local, dtype = _local(struct)
        held[kind] += float(dtype.itemsize * math.prod(local))
    return held


def _leaves(program: Program) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Kind, the compiler's name of the type, and a chip's part of each argument."""
    for struct, kind in _structs(program):
        local, dtype = _local(struct)
        letter = {"f": "f", "i": "s", "u": "u", "b": "pred"}.get(dtype.kind, "bf")
        yield kind, letter if letter == "pred" else f"{letter}{dtype.itemsize * 8}", local


def _structs(program: Program):
    kinds = jax.tree.leaves(jax.tree.broadcast(program.kinds, program.arguments))
    return zip(jax.tree.leaves(program.arguments), kinds, strict=True)


def _local(struct: jax.ShapeDtypeStruct):
    """A chip's part of an array; of a random key the numbers behind it."""
    local = struct.shape if struct.sharding is None else struct.sharding.shard_shape(struct.shape)
    if not jax.numpy.issubdtype(struct.dtype, jax.dtypes.prng_key):
        return local, jax.numpy.dtype(struct.dtype)
    behind = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), struct.dtype))
    return (*local, *behind.shape), jax.numpy.dtype(behind.dtype)
