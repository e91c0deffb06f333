"""The report has all costs, whether the programs fit, users per second and hours."""

import dataclasses

import pytest
from aot_cases import MESH, SCORE, STEP, V5E

from prouter_jax.aot.compiled import from_json, times_of, to_json
from prouter_jax.aot.cost import Work
from prouter_jax.aot.report import epoch_seconds, report_lines, users_per_second
from prouter_jax.aot.topology import CHIPS, parse_topology


def test_times_add_up():
    times = times_of(STEP, V5E)
    assert times.compute == pytest.approx(3e6 / 1.5e9)
    assert times.by == "the compiler's cycles"
    assert (times.ici, times.dcn) == (pytest.approx(8e-3), pytest.approx(1e-3))
    assert times.total == pytest.approx(11e-3)
    assert epoch_seconds([STEP, SCORE], V5E) == pytest.approx(1.1)
    assert users_per_second([STEP, SCORE], V5E) == pytest.approx(4096 * 100 / 1.1)


@pytest.mark.parametrize(
    ("work", "seconds", "by"),
    [
        (Work(197e12, 8e8, 3e6, {}, 0.0), 1.0, "flops / peak"),
        (Work(2e9, 819e9, 3e6, {}, 0.0), 1.0, "bytes / HBM bandwidth"),
        (Work(2e9, 8e8, 1.5e9, {"sort": 1}, 819e9), 2.0, "the compiler's cycles"),
    ],
)
def test_the_longest_of_three_estimates_is_the_compute(work, seconds, by):
    times = times_of(dataclasses.replace(STEP, work=work), V5E)
    assert (times.compute, times.by) == (pytest.approx(seconds), by)


def test_the_report_names_all_of_it():
    text = "\n".join(report_lines([STEP, SCORE], V5E, MESH))
    for part in (
        "v5e:4x4: 16 chips, mesh data 16 x model 1",
        "train step: 4,096 users a call, 100 calls an epoch; compiled in 3.2 s",
        "score step: 4,096 users a call, no part of an epoch",
        "parameters 1.00 GiB, optimizer 2.00 GiB",
        "in all 3.50 GiB: fits in 15.8 GiB",
        "work: 2.00 GFLOP, 763 MiB from and to HBM, 3.00 Mcycles",
        "all-reduce over data, 16 chips by ICI: 1.00 MiB x 20, 37.5 MiB, 8.00 ms",
        "all-reduce over slices, 2 slices by DCN: 1.00 KiB x 1, 1.00 KiB, 1.00 ms",
        "compute 2.00 ms by the compiler's cycles, ICI 8.00 ms, DCN 1.00 ms; 372,364 users a second",
        "fits v5e:4x4: 372,364 users a second in training, 0.00031 hours (1.10 s) for an epoch",
    ):
        assert part in text
    assert "counted once" not in text
    assert "gives no cycles" not in text


def test_a_chip_of_two_devices_is_told_and_a_program_has_one_of_them():
    topology = parse_topology("tpu7x:2x2x2")
    text = "\n".join(report_lines([STEP, SCORE], topology, MESH))
    for part in (
        "tpu7x:2x2x2: 8 chips of 2 devices, mesh data 16 x model 1",
        "a chip: 190 GiB of HBM at 7,380 GB/s, 2,307 TFLOP/s, 2.2 GHz",
        "in all 3.50 GiB: fits in 94.8 GiB",
        "all-reduce over data, 16 devices by ICI",
        "all-reduce over slices, 2 slices by DCN",
    ):
        assert part in text
    work = Work(2e9, 3690e9, 3e6, {}, 0.0)
    assert times_of(dataclasses.replace(STEP, work=work), topology).compute == pytest.approx(1)


def test_what_is_not_known_is_told():
    uncosted = dataclasses.replace(STEP, work=Work(1, 1, 1, {"sort": 2, "gather": 30}, 5), unknown_loops=3)
    text = "\n".join(report_lines([uncosted], V5E, MESH))
    assert "the compiler gives no cycles for 30 gather, 2 sort" in text
    assert "3 loops are counted once" in text


def test_what_does_not_fit_is_told():
    big = dataclasses.replace(STEP, memory={"parameters": CHIPS["v5e"].hbm + 1}, fits=False)
    lines = report_lines([STEP, big], V5E, MESH)
    assert "does not fit in 15.8 GiB" in "\n".join(lines)
    assert lines[-1] == "does not fit v5e:4x4"
    refused = dataclasses.replace(STEP, fits=False, refusal="exceeds available HBM", work=Work(0, 0, 0, {}, 0))
    lines = report_lines([refused], V5E, MESH)
    assert any(line.strip() == "does not fit in 15.8 GiB: exceeds available HBM" for line in lines)
    assert lines[-1] == "does not fit v5e:4x4"


def test_a_forecast_survives_json():
    assert from_json(to_json(STEP)) == STEP
