"""Which kind of argument takes how many bytes of a chip."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aot_texts import entry
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from prouter_jax.aot.compiled import count_memory, shape_bytes
from prouter_jax.aot.hlo import parse_module
from prouter_jax.aot.lower import Program

STATS = types.SimpleNamespace(
    output_size_in_bytes=1000, alias_size_in_bytes=400, temp_size_in_bytes=70, generated_code_size_in_bytes=8
)


@pytest.fixture(scope="module")
def program():
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))

    def of(shape, *spec, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, P(*spec)))

    state = {"params": {"w": of((128, 256), None, "model")}, "opt": [of((128, 256), None, "model")] * 2}
    batch = (of((64, 10), "data", dtype=jnp.bfloat16), of((), dtype=jax.random.key(0).dtype))
    arguments = (state, of((300, 128)), batch)
    kinds = ({"params": "parameters", "opt": "optimizer"}, "world", "batch")
    return Program("train step", None, arguments, kinds, 64, 1)


def test_a_chips_part_by_shapes(program):
    assert shape_bytes(program) == {
        "parameters": 128 * 128 * 4,
        "optimizer": 2 * 128 * 128 * 4,
        "world": 300 * 128 * 4,
        "batch": 16 * 10 * 2 + 8,
    }


def test_a_chips_part_as_it_is_laid_out_and_unused_arguments_take_none(program):
    # the world is not used; the optimizer's come first, as JAX orders the keys of a dictionary
    text = entry(
        "%w = f32[128,128]{1,0:T(8,128)} parameter(2)",
        "%m = f32[128,128]{1,0:T(8,128)} parameter(0)",
        "%n = f32[128,128]{1,0:T(8,128)} parameter(1)",
        "%x = bf16[16,10]{1,0:T(8,128)(2,1)} parameter(3)",
        "%k = u32[2]{0:T(128)} parameter(4)",
        "%s = f32[128,128]{1,0:T(8,128)} add(%w, %m)",
    )
    assert count_memory(program, parse_module(text), STATS) == {
        "parameters": 65536,
        "optimizer": 2 * 65536,
        "world": 0,
        "batch": 16 * 128 * 2 + 512,
        "results": 600,
        "temporaries": 70,
        "program code": 8,
    }
