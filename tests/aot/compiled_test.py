"""What the real TPU compiler makes of small programs is what their shapes say, on v5e:4x4 and on every kind of chip."""

import importlib.util
import json
import os
import pathlib
import re
import sys

import processes
import pytest
from aot_programs import BATCH, KINDS, ROUNDS, WIDTH

from prouter_jax.aot.compiled import from_json, times_of
from prouter_jax.aot.topology import ENVIRONMENT, parse_topology

ROOT = pathlib.Path(__file__).parents[1]
V5E = parse_topology("v5e:4x4")
_OF_TESTS = ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")  # eight virtual devices, no optimisation

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="no TPU compiler: pip install 'prouter-jax[ahead]'"
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The forecast of each program by its name; one process compiles all, for one slice and for two."""
    cache = tmp_path_factory.mktemp("compiled")
    settings = {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    kept = {name: value for name, value in os.environ.items() if name not in _OF_TESTS}
    environment = kept | {"PYTHONPATH": str(ROOT.parent)} | settings | ENVIRONMENT
    done = processes.run([sys.executable, str(ROOT / "aot_programs.py")], env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not list(cache.iterdir())  # what JAX would warn of in the next process
    return {name: from_json(values) for name, values in json.loads(done.stdout.splitlines()[-1]).items()}


def test_bytes_of_a_chip_are_those_of_the_shapes(compiled):
    memory = compiled["step"].memory
    assert memory["parameters"] == WIDTH * WIDTH * 4
    assert memory["optimizer"] == WIDTH * WIDTH * 4 / 8
    assert memory["world"] == 256 * WIDTH * 4
    assert memory["batch"] == BATCH * WIDTH * 4 / 8
    assert memory["results"] < 1024  # the new parameters and moment take the places of the old
    assert compiled["step"].fits


def test_the_gradient_is_found_with_its_bytes(compiled):
    size = WIDTH * WIDTH * 4
    found = {(one.kind, one.axes, one.bytes): one for one in compiled["step"].collectives}
    kinds = {kind for kind, _, size_found in found if size_found >= size / 2}
    assert kinds <= {"all-reduce", "reduce-scatter", "all-gather"}
    gathered = [one for one in found.values() if one.kind == "all-gather" and one.bytes == size]
    summed = [one for one in found.values() if one.kind in ("all-reduce", "reduce-scatter") and one.bytes == size]
    assert len(gathered) == len(summed) == 1
    assert {one.group for one in gathered + summed} == {8}
    assert {one.axes for one in gathered + summed} == {"data"}


def test_flops_of_a_chip_are_its_products(compiled):
    products = 2 * 2 * BATCH / 8 * WIDTH * WIDTH  # forward, and of the gradient that of the weights
    assert products < compiled["step"].work.flops < 1.05 * products


def test_a_psum_in_a_scan_of_ten_counts_ten_times(compiled):
    (one,) = compiled["scan"].collectives
    assert (one.kind, one.axes, one.group, one.bytes, one.times) == ("all-reduce", "data", 8, 128 * 256 * 4, ROUNDS)
    assert compiled["scan"].unknown_loops == 0
    assert compiled["scan"].work.flops == pytest.approx(ROUNDS * 3 * 128 * 256, rel=0.01)
    times = times_of(compiled["scan"], V5E)
    assert times.ici == pytest.approx(ROUNDS * one.seconds)
    assert times.compute > 0


def test_on_two_slices_a_part_of_it_goes_between_them(compiled):
    (between,) = [one for one in compiled["scan on two slices"].collectives if one.network == "DCN"]
    assert (between.kind, between.group, between.times) == ("all-reduce", 2, ROUNDS)
    assert between.bytes == 128 * 256 * 4 / 8  # after a reduce-scatter over the 8 of a slice


def test_what_does_not_fit_is_refused_by_the_compiler_and_told(compiled):
    big = compiled["big"]
    assert not big.fits
    assert "exceeds available HBM (15.75G)" in big.refusal
    assert big.memory["world"] == 2 * 12 * 2**30
    assert big.collectives == ()


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_chip_counts_a_psum_in_a_scan(compiled, name):
    topology, scan = parse_topology(name), compiled[f"scan on {name}"]
    (one,) = scan.collectives
    assert (one.kind, one.network, one.axes, one.group) == ("all-reduce", "ICI", "data", topology.devices)
    assert (one.bytes, one.times, scan.unknown_loops) == (128 * 256 * 4, ROUNDS, 0)
    assert scan.work.flops == pytest.approx(ROUNDS * 3 * 128 * 256, rel=0.01)
    assert 1e-6 < times_of(scan, topology).compute < 1e-3


@pytest.mark.parametrize("name", KINDS)
def test_the_memory_of_every_kind_is_what_the_compiler_allows(compiled, name):
    refusal = compiled[f"big on {name}"].refusal
    (allowed,) = map(float, re.findall(r"exceeds available HBM \(([\d.]+)G\)", refusal))
    # Google's page says 95 GiB of v5p where the compiler allows 95.74
    assert parse_topology(name).device.hbm / 2**30 == pytest.approx(allowed, abs=0.75 if name.startswith("v5p") else 0)
