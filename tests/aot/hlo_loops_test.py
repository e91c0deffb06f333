"""How often what is inside loops runs."""

import aot_texts
import pytest

from prouter_jax.aot.hlo import count_runs, parse_module


def test_a_scan_of_ten_runs_ten_times():
    runs = count_runs(parse_module(aot_texts.SCAN))
    assert runs.times == {"main": 1, "body": 10, "condition": 10, "fused_computation.clone.1": 10}
    assert runs.fused == {"fused_computation.clone.1"}
    assert runs.unknown == ()


@pytest.mark.parametrize(
    ("change", "rounds"),
    [
        (("constant(1)", "constant(2)"), 5),
        (("constant(1)", "constant(3)"), 4),
        (("%constant.11 = s32[]{:T(128)} constant(0)", "%constant.11 = s32[]{:T(128)} constant(4)"), 6),
        (("add(%copy.5, %constant.4)", "add(%constant.4, %copy.5)"), 10),
    ],
)
def test_start_and_step_count(change, rounds):
    assert count_runs(parse_module(aot_texts.SCAN.replace(*change))).times["body"] == rounds


@pytest.mark.parametrize(
    "change",
    [
        ("compare(%get-tuple-element.28, %constant.10), direction=LT", "custom-call(%get-tuple-element.28)"),
        ("direction=LT", "direction=NE"),
        ("%add.11 = s32[]{:T(128)} add(", "%add.11 = s32[]{:T(128)} multiply("),
        ("%constant.11 = s32[]{:T(128)} constant(0)", "%constant.11 = s32[]{:T(128)} parameter(3)"),
    ],
)
def test_a_loop_that_is_not_understood_counts_once_and_is_told(change):
    assert change[0] in aot_texts.SCAN
    runs = count_runs(parse_module(aot_texts.SCAN.replace(*change)))
    assert runs.times["body"] == 1
    assert runs.unknown == ("while.10",)


def test_the_compiler_s_own_count_is_taken():
    line = next(line for line in aot_texts.SCAN.splitlines() if " while(" in line)
    told = aot_texts.SCAN.replace(line, line + ', backend_config={"known_trip_count":{"n":"40"}}')
    runs = count_runs(parse_module(told.replace("direction=LT", "direction=NE")))
    assert runs.times["body"] == 40
    assert runs.unknown == ()


def test_a_limit_may_be_carried_but_must_not_change():
    carried = aot_texts.SCAN.replace("f32[])", "s32[])").replace("f32[]) \\\n", "s32[]) \\\n")
    carried = carried.replace(
        "compare(%get-tuple-element.28, %constant.10)", "compare(%get-tuple-element.28, %limit)"
    ).replace(
        "  %constant.10 =", "  %limit = s32[]{:T(128)} get-tuple-element(%wide.param.1), index=3\n  %constant.10 ="
    )
    carried = carried.replace("%param.6 = f32[]{:T(128)} parameter(2)", "%param.6 = s32[]{:T(128)} constant(7)")
    assert count_runs(parse_module(carried)).times["body"] == 7
    changed = carried.replace("%get-tuple-element.54, %get-tuple-element.55)", "%get-tuple-element.54, %add.11)")
    assert count_runs(parse_module(changed)).unknown == ("while.10",)


def test_a_loop_in_a_loop_multiplies():
    inner = aot_texts.SCAN.replace("ENTRY %main (", "%once (").replace("%copy-done =", "%copy-done.7 =")
    outer = aot_texts.SCAN[aot_texts.SCAN.index("%body") :]
    for name in ("%body", "%condition"):
        outer = outer.replace(name, f"{name}.outer")
    call = "call(%get-tuple-element.49), to_apply=%once"
    outer = outer.replace("add(%get-tuple-element.49, %psum.9)", call)
    runs = count_runs(parse_module(inner + outer))
    assert runs.times["body.outer"] == 10
    assert runs.times["body"] == 100
