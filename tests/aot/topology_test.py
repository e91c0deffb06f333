"""Topologies by name, and what is asked of a name."""

import importlib.util
import math

import pytest

from prouter_jax.aot.topology import CHIPS, parse_topology, scan_topologies, topology_mesh


def test_a_name_gives_kind_shape_and_chips():
    topology = parse_topology("v5p:4x4x8", slices=2)
    assert (topology.kind, topology.shape, topology.slices, topology.chips) == ("v5p", (4, 4, 8), 2, 256)
    assert (topology.name, str(topology)) == ("v5p:4x4x8", "2 slices of v5p:4x4x8")
    assert str(parse_topology("v5e:4x4")) == "v5e:4x4"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("v5p", "expected one of v5e, v5p, v6e, tpu7x and a shape as in v5p:4x4x4, found 'v5p'"),
        ("v9:4x4", "expected one of v5e, v5p, v6e, tpu7x and"),
        ("v5p:4x", "expected one of v5e, v5p, v6e, tpu7x and"),
        ("v5e:4x4x4", "expected 2 axes of v5e, found 'v5e:4x4x4'"),
        ("v5e:32x32", "expected 1 to 256 chips of v5e, found 'v5e:32x32'"),
        ("v5e:0x4", "expected 1 to 256 chips of v5e"),
        ("v6e:2x2x1", "expected 2 axes of v6e, found 'v6e:2x2x1'"),
        ("v6e:16x32", "expected 1 to 256 chips of v6e"),
        ("tpu7x:4x4", "expected 3 axes of tpu7x, found 'tpu7x:4x4'"),
        ("tpu7x:16x16x64", "expected 1 to 9216 chips of tpu7x"),
    ],
)
def test_a_wrong_name_is_one_line(text, found):
    with pytest.raises(ValueError, match=r"^flag --topology: ") as error:
        parse_topology(text)
    assert found in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kind", "most"), [("v5p", 2048), ("v5e", 256), ("v6e", 256), ("tpu7x", 2048)])
def test_a_scan_doubles_the_chips_from_8(kind, most):
    chips = [topology.chips for topology in scan_topologies(kind)]
    assert chips == [2**power for power in range(3, round(math.log2(most)) + 1)]


@pytest.mark.parametrize(("kind", "links"), [("v5e", 400e9), ("v5p", 1200e9), ("v6e", 800e9), ("tpu7x", 1200e9)])
def test_the_links_of_a_chip_have_the_published_sum(kind, links):
    assert CHIPS[kind].ici_link * 2 * 2 * CHIPS[kind].axes == links


@pytest.mark.parametrize(
    ("kind", "products"),  # multiply-adds a cycle: matrix units times their size
    [("v5e", 4 * 128 * 128), ("v5p", 8 * 128 * 128), ("v6e", 4 * 256 * 256), ("tpu7x", 2 * 4 * 256 * 256)],
)
def test_the_clock_gives_the_published_peak(kind, products):
    assert CHIPS[kind].clock * products * 2 == pytest.approx(CHIPS[kind].peak_flops, rel=0.01)


def test_a_device_of_tpu7x_has_half_of_a_chip_and_all_of_its_links():
    topology = parse_topology("tpu7x:2x2x4", slices=2)
    assert (topology.chips, topology.devices, topology.unit) == (32, 64, "devices")
    chip, device = topology.chip, topology.device
    assert (device.hbm, device.hbm_bandwidth, device.peak_flops) == (94.75 * 2**30, 3690e9, 1153.5e12)
    assert (device.dcn, device.ici_link, device.clock) == (chip.dcn / 2, chip.ici_link, chip.clock)


@pytest.mark.parametrize("kind", ["v5e", "v5p", "v6e"])
def test_a_device_of_the_others_is_a_chip(kind):
    topology = scan_topologies(kind)[0]
    assert (topology.devices, topology.device, topology.unit) == (8, topology.chip, "chips")


def test_without_the_compiler_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"^the TPU compiler is missing: pip install 'prouter-jax\[ahead\]'$"):
        topology_mesh(parse_topology("v5e:4x4"))
