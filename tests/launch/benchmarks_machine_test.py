"""Limits of the machine: of the right order, and those of its fastest runs."""

import jax.numpy as jnp

from launch.benchmarks import machine


def test_limits_are_of_the_order_of_any_computer():
    assert 1e9 < machine.measure_flops() < 1e15
    assert 5e8 < machine.measure_bandwidth() < 1e13


def test_the_fastest_run_counts_and_the_first_does_not(monkeypatch):
    clock = iter([0, 5, 10, 12, 20, 29] + [0] * 100)
    monkeypatch.setattr(machine, "_RUNS", 3)
    monkeypatch.setattr(machine, "_SECONDS", 100)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
    calls = []
    assert machine._fastest(calls.append, jnp.ones(1)) == 2
    assert len(calls) == 4


def test_measuring_ends_when_its_time_is_up(monkeypatch):
    clock = iter([0, 5, 10, 12] + [0] * 100)
    monkeypatch.setattr(machine, "_SECONDS", 6)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
    calls = []
    assert machine._fastest(calls.append, jnp.ones(1)) == 2
    assert len(calls) == 3
