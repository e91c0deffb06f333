"""Weak scaling from forecasts of each topology, and the processes that compile."""

import sys

import pytest
from aot_cases import LARGE, MIDDLE, SMALL, STEP, forecasts_on

from prouter_jax.aot.compiled import times_of
from prouter_jax.aot.scan import scan, table_lines, weak_scaling


def test_efficiency_is_a_chips_users_over_those_of_the_smallest():
    points = weak_scaling(
        [(SMALL, forecasts_on(SMALL)), (MIDDLE, forecasts_on(MIDDLE, slower=1.25)), (LARGE, forecasts_on(LARGE))]
    )
    assert [point.efficiency for point in points] == [1.0, pytest.approx(0.8), 1.0]
    assert [point.users for point in points] == [4096, 8192, 16384]
    assert points[2].rate == pytest.approx(16384 / times_of(STEP, SMALL).compute)
    assert points[0].memory == 3.5 * 2**30


def test_bytes_sent_are_those_of_a_step():
    (point,) = weak_scaling([(SMALL, [STEP])])
    assert point.sent == 2 * 10 * 15 / 8 * 2**20 + 1024
    assert point.wire == pytest.approx(9e-3)


def test_what_does_not_fit_has_no_speed_and_is_no_measure():
    refused = forecasts_on(SMALL, fits=False, refusal="exceeds", slower=0)
    points = weak_scaling([(SMALL, refused), (MIDDLE, forecasts_on(MIDDLE)), (LARGE, forecasts_on(LARGE))])
    assert [point.fits for point in points] == [False, True, True]
    assert [point.efficiency for point in points][1:] == [1.0, 1.0]
    lines = table_lines(points)
    assert lines[0].startswith("| chips | topology |")
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].endswith("| no |")
    assert "| 100.0 % | yes |" in lines[3]


def test_each_topology_has_a_process_of_its_own_and_time_left_is_told(capsys, tmp_path):
    def command(topology):
        code = f"import os; open(r'{tmp_path}/pids', 'a').write(f'{{os.getpid()}}\\n')"
        return [sys.executable, "-c", code, topology.name]

    points = scan([SMALL, MIDDLE, LARGE], command, forecasts_on)
    assert [point.topology for point in points] == [SMALL, MIDDLE, LARGE]
    assert len(set((tmp_path / "pids").read_text().split())) == 3
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(", about")[0] for line in told[1:]] == [
        f"compile: v5e:{shape}, {done} of 3" for done, shape in ((1, "2x4"), (2, "4x4"), (3, "4x8"))
    ]
    assert told[-1].endswith(", about 0 s left")


def test_a_scan_ends_where_a_topology_fails_and_keeps_what_it_has(capsys):
    def command(topology):
        code = "import sys; print('compile: too large', file=sys.stderr); sys.exit(1)"
        return [sys.executable, "-c", code if topology == LARGE else ""]

    assert [point.topology for point in scan([SMALL, MIDDLE, LARGE], command, forecasts_on)] == [SMALL, MIDDLE]
    assert capsys.readouterr().err.splitlines()[-1] == f"compile: {LARGE}: too large; the scan ends here"


def test_a_process_that_fails_gives_its_last_line():
    def command(_):
        return [sys.executable, "-c", "import sys; print('compile: flag --x: wrong', file=sys.stderr); sys.exit(1)"]

    with pytest.raises(ValueError, match=r"^v5e:2x4: flag --x: wrong$"):
        scan([SMALL], command, forecasts_on)
