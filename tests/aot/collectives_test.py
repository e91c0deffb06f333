"""Collectives in a compiled program: each once, with its bytes, groups and axis; and the ring formulas."""

import aot_texts
import numpy as np
import pytest
from aot_texts import entry

from prouter_jax.aot.collectives import find_collectives, read_groups, wire_bytes
from prouter_jax.aot.hlo import count_runs, parse_module, root_of
from prouter_jax.aot.topology import CHIPS, HOP_SECONDS, parse_topology

V5E = parse_topology("v5e:4x4")
MESH = {"data": 8, "model": 2}


def _found(text, topology=V5E, mesh=MESH):
    module = parse_module(text)
    return find_collectives(module, count_runs(module), topology, mesh)


def test_an_all_reduce_in_a_scan_of_ten_counts_ten_times():
    (one,) = _found(aot_texts.SCAN)
    assert (one.kind, one.network, one.axes, one.group) == ("all-reduce", "ICI", "data", 8)
    assert (one.bytes, one.times) == (128 * 256 * 4, 10)
    assert one.wire_bytes == 2 * 7 / 8 * 128 * 256 * 4


def test_an_asynchronous_collective_counts_once():
    gather, permute = _found(aot_texts.ASYNC, mesh={"data": 16, "model": 1})
    assert (gather.kind, gather.axes, gather.group, gather.times) == ("all-gather", "data", 16, 1)
    assert (gather.bytes, gather.wire_bytes) == (16 * 256 * 4, 15 * 256 * 4)
    assert (permute.kind, permute.axes, permute.times) == ("collective-permute", "data", 1)
    assert permute.bytes == permute.wire_bytes == 4873 * 4


def test_between_slices_the_transfer_goes_over_the_data_centre():
    two = parse_topology("v5e:4x4", 2)
    scatter, between, gather = _found(aot_texts.SLICES, two, {"data": 16, "model": 2})
    assert [one.network for one in (scatter, between, gather)] == ["ICI", "DCN", "ICI"]
    assert (scatter.kind, scatter.bytes) == ("reduce-scatter", 128 * 256 * 4)
    assert (between.kind, between.axes, between.group) == ("all-reduce", "slices", 2)
    assert between.bytes == between.wire_bytes == 4 * 8 * 128 * 4
    assert between.seconds == between.bytes / CHIPS["v5e"].dcn
    assert (gather.kind, gather.bytes) == ("all-gather", 128 * 256 * 4)


def test_a_group_with_chips_of_two_slices_goes_over_the_data_centre():
    line = "%r = f32[1024]{0} all-reduce(%p), replica_groups={{0,16},{1,17}}, to_apply=%sum"
    (one,) = _found(entry("%p = f32[1024]{0} parameter(0)", line), parse_topology("v5e:4x4", 2), {"data": 32})
    assert one.network == "DCN"
    (one,) = _found(entry("%p = f32[1024]{0} parameter(0)", line), parse_topology("v5e:4x8"), {"data": 32})
    assert one.network == "ICI"


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("all-reduce", 2 * 3 / 4 * 1000),
        ("reduce-scatter", 3 / 4 * 1000),
        ("all-gather", 3 / 4 * 1000),
        ("all-to-all", 3 / 4 * 1000),
        ("collective-permute", 1000),
    ],
)
def test_the_ring_formulas(kind, sent):
    assert wire_bytes(kind, 1000, 4) == sent
    assert wire_bytes(kind, 1000, 1) == (1000 if kind == "collective-permute" else 0)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("replica_groups={{0,2},{1,3}}", [[0, 2], [1, 3]]),
        ("replica_groups={}", [[0, 1, 2, 3]]),
        ("replica_groups=[2,2]<=[4]", [[0, 1], [2, 3]]),
        ("replica_groups=[2,2]<=[2,2]T(1,0)", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=2] {'axis_0'}", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=1,'axis_2'=2] {'axis_2','axis_1'}", [[0, 1], [2, 3]]),
        ("source_target_pairs={{0,1},{1,2}}", [[0, 1], [1, 2]]),
        ("replica_groups={{0,1,2},{3}}", None),
        ("replica_groups=mesh['axis_0'=4] {'axis_0':(1)2}", None),
        ("replica_groups=mesh['axis_0'=8] {'axis_0'}", None),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=2] {'axis_0'}, device_ids=([4]T(1,0))", None),
        ("replica_groups=somehow", None),
    ],
)
def test_groups_in_every_form(text, groups):
    line = f"%r = f32[8]{{0}} all-reduce(%p), channel_id=1, {text}, to_apply=%sum"
    found = read_groups(root_of(parse_module(entry(line)).computations["main"]), 4)
    assert (found is None) if groups is None else np.array_equal(found, groups)


def test_groups_that_are_not_understood_are_all_chips_and_say_so():
    line = "%r = f32[8]{0} all-reduce(%p), replica_groups=somehow, to_apply=%sum"
    (one,) = _found(entry("%p = f32[8]{0} parameter(0)", line))
    assert (one.axes, one.group) == ("?", 16)


def test_several_operands_add_up_and_axes_are_named():
    lines = ("%p = f32[1000]{0} parameter(0)", "%q = bf16[10,10]{1,0} parameter(1)")
    line = "%r = (f32[1000]{0}, bf16[10,10]{1,0}) all-reduce(%p, %q), replica_groups={}, to_apply=%sum"
    (one,) = _found(entry(*lines, line))
    assert (one.bytes, one.axes, one.group) == (4200, "data and model", 16)
    (one,) = _found(entry(*lines, line.replace("{}", "{{0,1},{2,3}}")))
    assert (one.axes, one.group) == ("model", 2)


def test_seconds_are_bytes_over_links_and_hops():
    line = "%r = f32[1000000]{0} all-reduce(%p), replica_groups={}, to_apply=%sum"
    text = entry("%p = f32[1000000]{0} parameter(0)", line)
    (open_ring,) = _found(text)  # 4 x 4 of v5e does not close: one link, 3 + 3 hops there and back
    assert open_ring.seconds == pytest.approx(2 * 15 / 16 * 4e6 / 50e9 + 12 * HOP_SECONDS)
    (closed,) = _found(text, parse_topology("v5p:4x4x8"), {"data": 128})  # both directions, 2 + 2 + 4 hops
    assert closed.seconds == pytest.approx(2 * 127 / 128 * 4e6 / 200e9 + 16 * HOP_SECONDS)


@pytest.mark.parametrize(
    ("text", "sent", "sharing", "hops"),
    [
        ("all-reduce(%p), replica_groups={}", 2 * 7 / 8, 1, 4),  # one ring through both devices of each chip
        ("all-reduce(%p), replica_groups={{0,2,4,6},{1,3,5,7}}", 2 * 3 / 4, 2, 4),  # two rings over the same links
        ("all-reduce(%p), replica_groups={{0,1},{2,3},{4,5},{6,7}}", 2 * 1 / 2, 1, 2),  # inside of chips
        ("collective-permute(%p), source_target_pairs={{0,1},{1,2},{2,3},{3,4}}", 1, 1, 1),
        ("collective-permute(%p), source_target_pairs={{0,2},{1,3},{2,4},{3,5}}", 1, 2, 1),
    ],
)
def test_devices_of_a_chip_share_its_links(text, sent, sharing, hops):
    program = entry("%p = f32[1000000]{0} parameter(0)", f"%r = f32[1000000]{{0}} {text}")
    (one,) = _found(program, parse_topology("tpu7x:2x2x1"), {"data": 8})
    assert one.wire_bytes == sent * 4e6
    assert one.seconds == pytest.approx(sharing * sent * 4e6 / 100e9 + hops * HOP_SECONDS)


def test_a_collective_on_a_sparse_core_counts_once_where_it_is_called():
    (one,) = _found(aot_texts.SPARSE, parse_topology("tpu7x:2x2x1"), {"data": 8})
    assert (one.kind, one.axes, one.group, one.bytes, one.times) == ("all-gather", "data", 8, 8 * 256 * 4, 1)


def test_devices_of_several_slices_divide_the_network_between_them():
    line = "%r = f32[1024]{0} all-reduce(%p), replica_groups={{0,8},{1,9}}, to_apply=%sum"
    two = parse_topology("tpu7x:2x2x1", 2)
    (one,) = _found(entry("%p = f32[1024]{0} parameter(0)", line), two, {"data": 16})
    assert (one.network, one.seconds) == ("DCN", one.wire_bytes / (CHIPS["tpu7x"].dcn / 2))
