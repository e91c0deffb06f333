"""Reading the compiler's text: computations, instructions, shapes as a chip holds them."""

import aot_texts
import pytest

from prouter_jax.aot.hlo import parse_module, parse_shapes, root_of


def test_computations_and_instructions_are_read():
    module = parse_module(aot_texts.SCAN)
    assert module.entry == "main"
    assert set(module.computations) == {"main", "body", "condition", "region_2.2", "fused_computation.clone.1"}
    entry = module.computations["main"]
    assert root_of(entry).name == "copy-done"
    loop = entry["while.10"]
    assert (loop.opcode, loop.operands) == ("while", ("tuple.19",))
    assert loop.attribute(r"body=%?([\w.\-]+)") == "body"
    assert [shape.dims for shape in loop.shapes] == [(), (128, 256), (10, 8), ()]
    assert entry["tuple.19"].operands == ("copy.12", "copy-done.1", "param.5", "param.6")
    assert entry["constant.11"].inner == "0"


@pytest.mark.parametrize(
    ("text", "plain", "padded", "space"),
    [
        ("f32[128,256]{1,0:T(8,128)}", 131072, 131072, 0),
        ("f32[10,8]{0,1:T(8,128)S(1)}", 320, 4096, 1),  # axis 0 is the fastest: 10 becomes 128
        ("f32[10,8]{1,0:T(8,128)}", 320, 16 * 128 * 4, 0),
        ("bf16[512,300,1]{1,0,2:T(8,128)(2,1)}", 512 * 300 * 2, 512 * 384 * 2, 0),
        ("f32[]{:T(128)}", 4, 512, 0),
        ("pred[3]{0:T(512)}", 3, 512, 0),
        ("s32[5,7]", 140, 140, 0),
        ("token[]", 0, 0, 0),
    ],
)
def test_bytes_of_a_shape_with_and_without_padding(text, plain, padded, space):
    (shape,) = parse_shapes(text)
    assert (shape.bytes, shape.padded_bytes, shape.space) == (plain, padded, space)


def test_what_is_no_program_is_told():
    with pytest.raises(ValueError, match="expected an entry computation, found none"):
        parse_module("nothing")
