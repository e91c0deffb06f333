"""Figures: their text, how they are kept and the table written of them; limits of the machine."""

import importlib
import json
import subprocess
import sys

import jax.numpy as jnp
import pytest

from launch.benchmarks import WORKS, figures, reading, training
from launch.benchmarks.figures import Figure, keep, line, read
from prouter_jax.data.public.registry import read_public
from prouter_jax.io.display import provenance


def test_every_work_has_a_module_that_measures():
    for work, module in WORKS.items():
        assert callable(getattr(importlib.import_module(f"launch.benchmarks.{module}"), f"measure_{work}"))


def test_a_figure_is_the_median_of_its_runs_beside_what_is_required():
    rate = Figure("rate", "pairs", "pairs/s", [1_234_567.0, 900_000.0, 2e6], at_least=1e6)
    expected = "pairs: 1,234,567 pairs/s (median of 3, 900,000 to 2,000,000); required: at least 1,000,000 pairs/s: met"
    assert line(rate.entry()) == expected
    slow = Figure("pass", "a pass", "s", [0.61234, 0.5, 0.7, 0.8], at_most=0.5)
    assert line(slow.entry()) == "a pass: 0.656 s (median of 4, 0.5 to 0.8); required: at most 0.5 s: missed"
    assert line(Figure("x", "once", "GB", [0.0]).entry()) == "once: 0 GB"


def test_the_newest_of_each_figure_is_kept_with_where_it_is_from(tmp_path, monkeypatch):
    path = tmp_path / "runs" / "bench.json"
    keep(Figure("a", "first", "s", [1.0, 3.0]), path)
    keep(Figure("b", "second", "s", [2.0]), path)
    monkeypatch.setattr(figures, "provenance", lambda: provenance() | {"commit": "later"})
    keep(Figure("a", "first", "s", [5.0, 4.0, 6.0]), path)
    entries = json.loads(path.read_text())
    assert list(entries) == ["a", "b"]
    assert {key: entries["a"][key] for key in ("unit", "median", "low", "high", "runs", "commit")} == {
        "unit": "s",
        "median": 5.0,
        "low": 4.0,
        "high": 6.0,
        "runs": 3,
        "commit": "later",
    }
    assert {"machine", "date", "versions"} < entries["b"].keys()
    assert read(path) == entries


@pytest.mark.parametrize("text", [None, "{", "[]", '{"a": 1}', '{"a": {"name": "x"}}'])
def test_what_is_not_kept_figures_is_named(tmp_path, text):
    path = tmp_path / "bench.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"bench.json: expected measured figures, found"):
        read(path)


def test_the_table_of_a_readme_is_written_from_what_is_kept(tmp_path):
    keep(Figure("a", "pairs | texts", "pairs/s", [1e6, 3e6, 2e6], at_least=1e6), tmp_path / "bench.json")
    keep(Figure("b", "memory", "GB", [1.25], at_most=1.0), tmp_path / "bench.json")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n")
    figures.write_speed(readme, tmp_path / "bench.json")
    rows = readme.read_text().splitlines()
    assert rows[:2] == ["before", "<!-- speed -->"]
    assert rows[-2:] == ["<!-- /speed -->", "after"]
    assert rows[4] == (
        r"| pairs \| texts | 2,000,000 pairs/s | 1,000,000 to 3,000,000, 3 runs | at least 1,000,000 pairs/s: met |"
    )
    assert rows[5] == "| memory | 1.25 GB | one run | at most 1 GB: missed |"
    facts = provenance()
    assert rows[7] == f"Measured by `make bench` ({'; '.join(f'{key} {facts[key]}' for key in figures._FACTS)})."


@pytest.mark.parametrize("flag", ["document", "readme"])  # the second is an older name of the first
def test_the_command_writes_the_table_of_a_document(tmp_path, flag):
    keep(Figure("a", "pairs", "pairs/s", [1e6]), tmp_path / "bench.json")
    (tmp_path / "speed.md").write_text("<!-- speed --><!-- /speed -->")
    command = [sys.executable, "-m", "launch.bench", f"--json={tmp_path}/bench.json", f"--{flag}={tmp_path}/speed.md"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"speed: {tmp_path}/speed.md\n"
    assert "| pairs | 1,000,000 pairs/s |" in (tmp_path / "speed.md").read_text()


def test_the_csv_that_is_read_has_every_user_and_llm_of_its_queries(tmp_path):
    rows = reading.write_csv(tmp_path / "a.csv", 2_000_000)
    assert (tmp_path / "a.csv").stat().st_size == pytest.approx(2_000_000, rel=0.7)
    read = read_public("personaroute", tmp_path / "a.csv")
    assert read.records == rows == len(read.data.queries.ids) * 90
    assert len(read.data.decisions.user) == len(read.data.queries.ids) * 9
    assert read.data.queries.vectors is not None
    assert read.data.queries.vectors.shape[1] == 384


def test_limits_are_of_the_order_of_any_computer():
    assert 1e9 < training.measure_flops() < 1e15
    assert 5e8 < training.measure_bandwidth() < 1e13


def test_the_fastest_run_counts_and_the_first_does_not(monkeypatch):
    clock = iter([0, 5, 10, 12, 20, 29] + [0] * 100)
    monkeypatch.setattr(training, "_RUNS", 3)
    monkeypatch.setattr(training, "_SECONDS", 100)
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    calls = []
    assert training._fastest(calls.append, jnp.ones(1)) == 2
    assert len(calls) == 4


def test_measuring_ends_when_its_time_is_up(monkeypatch):
    clock = iter([0, 5, 10, 12] + [0] * 100)
    monkeypatch.setattr(training, "_SECONDS", 6)
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    calls = []
    assert training._fastest(calls.append, jnp.ones(1)) == 2
    assert len(calls) == 3
