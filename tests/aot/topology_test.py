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
        ("v5p", "expected one of v5e, v5p and a shape as in v5p:4x4x4, found 'v5p'"),
        ("v9:4x4", "expected one of v5e, v5p"),
        ("v5p:4x", "expected one of v5e, v5p"),
        ("v5e:4x4x4", "expected 2 axes of v5e, found 'v5e:4x4x4'"),
        ("v5e:32x32", "expected 1 to 256 chips of v5e, found 'v5e:32x32'"),
        ("v5e:0x4", "expected 1 to 256 chips of v5e"),
    ],
)
def test_a_wrong_name_is_one_line(text, found):
    with pytest.raises(ValueError, match=r"^flag --topology: ") as error:
        parse_topology(text)
    assert found in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kind", "most"), [("v5p", 2048), ("v5e", 256)])
def test_a_scan_doubles_the_chips_from_8(kind, most):
    chips = [topology.chips for topology in scan_topologies(kind)]
    assert chips == [2**power for power in range(3, round(math.log2(most)) + 1)]


def test_the_published_sums_of_links():
    assert CHIPS["v5e"].ici_link * 2 * 2 * CHIPS["v5e"].axes == 400e9
    assert CHIPS["v5p"].ici_link * 2 * 2 * CHIPS["v5p"].axes == 1200e9
    # 8 matrix units of 128 x 128 multiply-adds a cycle
    assert CHIPS["v5p"].clock * 8 * 128 * 128 * 2 == pytest.approx(CHIPS["v5p"].peak_flops, rel=0.001)
    assert CHIPS["v5e"].clock * 4 * 128 * 128 * 2 == pytest.approx(CHIPS["v5e"].peak_flops, rel=0.01)


def test_without_the_compiler_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"^the TPU compiler is missing: pip install 'prouter-jax\[ahead\]'$"):
        topology_mesh(parse_topology("v5e:4x4"))
