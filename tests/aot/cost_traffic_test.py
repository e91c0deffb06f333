"""Bytes between HBM and a chip: what lives in faster memory, and what of an array is not touched, costs nothing."""

from aot_texts import entry

from prouter_jax.aot.cost import anywhere, count_bytes, in_hbm
from prouter_jax.aot.hlo import parse_module, root_of

HBM, FAST = "f32[128,256]{1,0:T(8,128)}", "f32[128,256]{1,0:T(8,128)S(1)}"
SIZE = 128 * 256 * 4


def _bytes(text, counts=in_hbm, name=None):
    module = parse_module(text)
    computation = module.computations["main"]
    return count_bytes(module, computation, computation[name] if name else root_of(computation), counts)


def test_only_what_lives_in_hbm_counts():
    fast = entry(f"%a = {HBM} parameter(0)", f"%b = {FAST} add(%a, %a)")
    assert _bytes(fast) == 2 * SIZE
    assert _bytes(fast, anywhere) == 3 * SIZE
    assert _bytes(entry(f"%a = {FAST} parameter(0)", f"%b = {FAST} add(%a, %a)")) == 0


def test_a_slice_on_its_way_counts_as_the_slice():
    piece = "f32[8,256]{1,0:T(8,128)S(1)}"
    text = entry(
        f"%a = {HBM} parameter(0)",
        "%i = s32[]{:T(128)} parameter(1)",
        f"%s = (({HBM}, s32[]{{:T(128)}}, s32[]{{:T(128)}}), {piece}, s32[]{{:S(2)}}) dynamic-slice-start(%a, %i, %i)",
        f"%d = {piece} dynamic-slice-done(%s)",
    )
    assert _bytes(text, name="s") == 8 * 256 * 4
    assert _bytes(text, name="d") == 0


def test_padding_is_moved_too():
    assert _bytes(entry("%a = f32[3,5]{1,0:T(8,128)} parameter(0)", "%b = f32[3,5]{1,0:T(8,128)} tanh(%a)")) == 8192


def test_a_copy_counts_where_it_starts_and_on_the_side_of_hbm():
    text = entry(
        f"%a = {HBM} parameter(0)",
        f"%s = ({FAST}, {HBM}, u32[]{{:S(2)}}) copy-start(%a)",
        f"%d = {FAST} copy-done(%s)",
    )
    assert _bytes(text, name="s") == SIZE
    assert _bytes(text, name="d") == 0


def test_a_piece_counts_as_the_piece():
    table, piece = "f32[64,1024,1024]{2,1,0:T(8,128)}", "f32[1,1024,1024]{2,1,0:T(8,128)}"
    lines = (f"%t = {table} parameter(0)", "%i = s32[]{:T(128)S(6)} parameter(1)")
    cut = f"%s = {piece} dynamic-slice(%t, %i, %i, %i), dynamic_slice_sizes={{1,1024,1024}}"
    assert _bytes(entry(*lines, cut)) == 2 * 2**22
    put = f"%u = {piece} parameter(2)", f"%s = {table} dynamic-update-slice(%t, %u, %i, %i, %i)"
    assert _bytes(entry(*lines, *put)) == 2 * 2**22


FUSED = """HloModule m

%%inside (param_0: f32[64,1024,1024], param_1: s32[], param_2: f32[1,1024,1024]) -> f32[1,1024,1024] {
  %%param_0 = f32[64,1024,1024]{2,1,0:T(8,128)} parameter(0)
  %%param_1 = s32[]{:T(128)S(6)} parameter(1)
  %%param_2 = f32[1,1024,1024]{2,1,0:T(8,128)} parameter(2)
%s
}

ENTRY %%main (t: f32[64,1024,1024], i: s32[], u: f32[1,1024,1024]) -> f32[1,1024,1024] {
  %%t = f32[64,1024,1024]{2,1,0:T(8,128)} parameter(0)
  %%i = s32[]{:T(128)S(6)} parameter(1)
  %%u = f32[1,1024,1024]{2,1,0:T(8,128)} parameter(2)
  ROOT %%f = %s fusion(%%t, %%i, %%u), kind=kLoop, calls=%%inside
}
"""


def test_so_it_does_inside_a_fusion():
    piece, table = "f32[1,1024,1024]{2,1,0:T(8,128)}", "f32[64,1024,1024]{2,1,0:T(8,128)}"
    cut = f"""  %cut = {piece} dynamic-slice(%param_0, %param_1, %param_1, %param_1)
  ROOT %sum = {piece} add(%cut, %param_2)"""
    assert _bytes(FUSED % (cut, piece)) == 3 * 2**22
    put = f"  ROOT %put = {table} dynamic-update-slice(%param_0, %param_2, %param_1, %param_1, %param_1)"
    assert _bytes(FUSED % (put, table)) == 2 * 2**22
    added = f"""  %cut = {piece} dynamic-slice(%param_0, %param_1, %param_1, %param_1)
  %sum = {piece} add(%cut, %param_2)
  ROOT %put = {table} dynamic-update-slice(%param_0, %sum, %param_1, %param_1, %param_1)"""
    assert _bytes(FUSED % (added, table)) == 3 * 2**22
    both = f"""  %cut = {piece} dynamic-slice(%param_0, %param_1, %param_1, %param_1)
  %all = {piece} reduce-window(%param_0, %param_1)
  ROOT %sum = {piece} add(%cut, %all)"""
    assert _bytes(FUSED % (both, piece)) == (64 + 1 + 1) * 2**22
