"""Forecasts of a compiled train step, for tests."""

import dataclasses

from prouter_jax.aot.collectives import Collective
from prouter_jax.aot.compiled import Forecast
from prouter_jax.aot.cost import Work
from prouter_jax.aot.topology import parse_topology

V5E = parse_topology("v5e:4x4")
MESH = {"data": 16, "model": 1}
_REDUCE = Collective("all-reduce", "ICI", "data", 16, 2.0**20, 10, 15 / 8 * 2**20, 4e-4)
_BETWEEN = Collective("all-reduce", "DCN", "slices", 2, 1024, 1, 1024, 1e-3)
STEP = Forecast(
    *("train step", 4096, 100),
    memory={"parameters": 2.0**30, "optimizer": 2.0**31, "world": 0.0, "batch": 0.0, "temporaries": 2.0**29},
    fits=True,
    refusal="",
    work=Work(2e9, 8e8, 3e6, {}, 0.0),
    collectives=(_REDUCE, _REDUCE, _BETWEEN),
    unknown_loops=0,
    compile_seconds=3.2,
)
SCORE = dataclasses.replace(STEP, name="score step", calls=0, collectives=())


SMALL, MIDDLE, LARGE = (parse_topology(f"v5e:{shape}") for shape in ("2x4", "4x4", "4x8"))


def forecasts_on(topology, slower=1.0, **changes):
    work = dataclasses.replace(STEP.work, cycles=STEP.work.cycles * slower)
    return [dataclasses.replace(STEP, users=512 * topology.chips, work=work, collectives=(), **changes)]
