"""Flops of single instructions, as XLA's own analysis counts them where there is no loop."""

import pytest
from aot_texts import entry

from prouter_jax.aot.cost import count_flops
from prouter_jax.aot.hlo import parse_module, root_of


def _flops(*lines):
    computation = parse_module(entry(*lines)).computations["main"]
    return count_flops(computation, root_of(computation))


def test_a_matrix_product_is_two_flops_for_each_pair():
    a, b = "%a = f32[32,64]{1,0} parameter(0)", "%b = f32[64,48]{1,0} parameter(1)"
    plain = "%c = f32[32,48]{1,0} convolution(%a, %b), dim_labels=bf_io->bf, backend_config={}"
    assert _flops(a, b, plain) == 2 * 32 * 64 * 48
    dot = "%c = f32[32,48]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}"
    assert _flops(a, b, dot) == 2 * 32 * 64 * 48


def test_a_batch_that_is_written_as_a_convolution_is_no_more_than_its_products():
    lines = (
        "%a = f32[6,32,64]{2,1,0} parameter(0)",
        "%b = f32[6,64,48]{2,1,0} parameter(1)",
        "%c = f32[6,32,48]{2,1,0} convolution(%a, %b), window={size=6 stride=5 pad=0_0 lhs_dilate=6}, "
        "dim_labels=0bf_0io->0bf",
    )
    assert _flops(*lines) == 2 * 6 * 32 * 64 * 48


def test_a_batch_of_a_million_products_is_counted_as_well():
    lines = (
        "%a = f32[1000000,2,3]{2,1,0} parameter(0)",
        "%b = f32[1000000,3,4]{2,1,0} parameter(1)",
        "%c = f32[1000000,2,4]{2,1,0} convolution(%a, %b), window={size=1000000 stride=999999 pad=0_0 "
        "lhs_dilate=1000000}, dim_labels=0bf_0io->0bf",
    )
    assert _flops(*lines) == 2 * 10**6 * 2 * 3 * 4


def test_a_convolution_does_not_count_its_padding():
    lines = (
        "%a = f32[10,1,1]{2,1,0} parameter(0)",
        "%b = f32[3,1,1]{2,1,0} parameter(1)",
        "%c = f32[10,1,1]{2,1,0} convolution(%a, %b), window={size=3 pad=1_1}, dim_labels=0bf_0io->0bf",
    )
    assert _flops(*lines) == 2 * (10 * 3 - 2)


@pytest.mark.parametrize(
    ("line", "flops"),
    [
        ("%c = f32[8,5]{1,0} tanh(%a)", 40),
        ("%c = f32[8,5]{1,0} add(%a, %a)", 40),
        ("%c = f32[8]{0} reduce(%a, %z), dimensions={1}, to_apply=%sum", 40),
        ("%c = f32[8,5]{1,0} copy(%a)", 0),
        ("%c = f32[5,8]{1,0} transpose(%a), dimensions={1,0}", 0),
    ],
)
def test_what_else_computes(line, flops):
    assert _flops("%a = f32[8,5]{1,0} parameter(0)", "%z = f32[] constant(0)", line) == flops
