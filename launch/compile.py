"""Compiles training and scoring steps for absent TPUs; forecasts memory and speed.

prouter compile --config=million --topology=v5p:4x4x4 [--slices=2] [--users=10M]
prouter compile --config=million --scan [--topology=v5p] [--users_per_chip=1M]

The kinds are v5e and v6e, of two axes, and v5p and tpu7x, of three. --scan compiles for 8 to 2,048 chips of v5p and
tpu7x and 8 to 256 of v5e and v6e (or for one of these kinds), with the same number of users for each chip, and writes
OUTPUT/scan.md and scan.png. In a scan config.train.users_per_step counts the users of one chip. A chip of tpu7x is two
devices: its memory, work and collectives are those of one. All times are forecasts: no TPU runs.
"""

import os
import pathlib
import sys
import tempfile

from absl import flags

from prouter_jax.config import ExperimentConfig

from . import entry
from .config_flag import config_source, define_config, read_config

_CONFIG = define_config()
_TOPOLOGY = flags.DEFINE_string(
    "topology", None, "Kind and shape of a slice, such as v5p:4x4x4 or v6e:4x4; with --scan a kind."
)
_SLICES = flags.DEFINE_integer("slices", 1, "Number of slices, connected by the data centre's network.", lower_bound=1)
_USERS = flags.DEFINE_string("users", None, "Number of users in place of those of the data, such as 10M.")
_SCAN = flags.DEFINE_boolean("scan", False, "Compile for a growing number of chips.")
_USERS_PER_CHIP = flags.DEFINE_string("users_per_chip", "1M", "Number of users for each chip of a scan.")
_OUTPUT = flags.DEFINE_string("output", "runs/compile", "Output folder of a scan.")
_JSON = flags.DEFINE_string("json", None, "File for the forecast of one topology as JSON.")


def main() -> None:
    from prouter_jax.aot.topology import ENVIRONMENT

    os.environ.update(ENVIRONMENT)
    config = read_config(_CONFIG)
    if _SCAN.value:
        _scan(config)
    else:
        _one(config)


def _one(config: ExperimentConfig) -> None:
    """Compiles for one topology and prints the report."""
    from prouter_jax.aot.topology import parse_topology, topology_mesh
    from prouter_jax.aot.units import parse_count
    from prouter_jax.io import files

    if _TOPOLOGY.value is None:
        raise ValueError("flag --topology: expected a kind and a shape as in v5p:4x4x4, found none")
    topology = parse_topology(_TOPOLOGY.value, _SLICES.value)
    users = None if _USERS.value is None else parse_count("users", _USERS.value)
    mesh = topology_mesh(topology, config.mesh.model)
    from prouter_jax.aot.compiled import forecast, to_json
    from prouter_jax.aot.lower import make_programs
    from prouter_jax.aot.report import report_lines

    forecasts = []
    for program in make_programs(config, mesh, users):
        print(f"compile: {program.name} for {topology}", file=sys.stderr, flush=True)
        forecasts.append(forecast(program, topology, mesh))
    print("\n".join(report_lines(forecasts, topology, dict(mesh.shape))))
    if _JSON.value is not None:
        files.write_sealed(_JSON.value, {"programs": [to_json(one) for one in forecasts]})


def _scan(config: ExperimentConfig) -> None:
    """Compiles for all topologies of a scan, each in a process of its own, and writes the table and the plot."""
    from prouter_jax.aot.compiled import from_json
    from prouter_jax.aot.scan import draw_scan, scan, table_lines
    from prouter_jax.aot.topology import CHIPS, scan_topologies
    from prouter_jax.aot.units import parse_count
    from prouter_jax.io import files

    kinds = list(CHIPS) if _TOPOLOGY.value is None else [_TOPOLOGY.value]
    if not set(kinds) <= set(CHIPS):
        raise ValueError(f"flag --topology: expected one of {', '.join(CHIPS)} with --scan, found {_TOPOLOGY.value!r}")
    each = parse_count("users_per_chip", _USERS_PER_CHIP.value)
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:

        def path(topology) -> pathlib.Path:
            return pathlib.Path(folder) / f"{topology.name}.json"

        def command(topology) -> list[str]:
            asked = [f"--topology={topology.name}", f"--users={each * topology.chips}", f"--json={path(topology)}"]
            batch = f"--config.train.users_per_step={config.train.users_per_step * topology.chips}"
            return [*entry.module_command("compile"), *_config_flags(), batch, *asked]

        def read(topology) -> list:
            return [from_json(one) for one in files.read_sealed(path(topology))["programs"]]

        scans = {kind: scan(scan_topologies(kind), command, read) for kind in kinds}
    lines = [line for points in scans.values() for line in ("", *table_lines(points))][1:]
    print("\n".join(lines))
    files.write_whole(output / "scan.md", "\n".join(lines) + "\n")
    files.write_whole(output / "scan.png", draw_scan(scans))
    print(f"plot: {output / 'scan.png'}")


def _config_flags() -> list[str]:
    """The flags of this configuration, for another process."""
    source, overrides = config_source()
    return [f"--config={source}", *(f"--config.{name}={value}" for name, value in overrides.items())]


if __name__ == "__main__":
    entry.start(main)
