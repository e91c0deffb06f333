"""Compiles the train and score steps for TPUs that are not there, and says if they fit and how fast they would be.

python -m launch.compile --config=experiments/million.py --topology=v5p:4x4x4 [--slices=2] [--users=10M]
python -m launch.compile --config=experiments/million.py --scan [--topology=v5p] [--users_per_chip=1M]

--scan compiles for 8 to 2,048 chips of v5p and to 256 of v5e (or for one of these kinds), with the same number of users
for each chip, and writes OUTPUT/scan.md and scan.png. There config.train.users_per_step is of one chip. Every time is a
forecast: no chip is asked.
"""

import os
import pathlib
import sys
import tempfile

from absl import flags
from ml_collections import config_flags

from launch import entry

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment file; fields by --config.section.field=value.")
_TOPOLOGY = flags.DEFINE_string("topology", None, "Kind and shape of a slice, such as v5p:4x4x4; with --scan a kind.")
_SLICES = flags.DEFINE_integer("slices", 1, "So many slices, joined by the data centre's network.", lower_bound=1)
_USERS = flags.DEFINE_string("users", None, "In place of the users in the data, such as 10M.")
_SCAN = flags.DEFINE_boolean("scan", False, "Compile for more and more chips.")
_USERS_PER_CHIP = flags.DEFINE_string("users_per_chip", "1M", "Of a scan.")
_OUTPUT = flags.DEFINE_string("output", "runs/compile", "Folder that a scan writes.")
_JSON = flags.DEFINE_string("json", None, "Also write what was measured of one topology into this file.")


def main() -> None:
    from prouter_jax import config
    from prouter_jax.aot.topology import ENVIRONMENT

    os.environ.update(ENVIRONMENT)
    if _CONFIG.value is None:
        raise ValueError("flag --config=None: Flag --config must have a value other than None.")
    config.validate(_CONFIG.value)
    if _SCAN.value:
        _scan()
    else:
        _one()


def _one() -> None:
    """Compiles for one topology and prints the report."""
    from prouter_jax.aot.topology import parse_topology, topology_mesh
    from prouter_jax.aot.units import parse_count
    from prouter_jax.io import files

    if _TOPOLOGY.value is None:
        raise ValueError("flag --topology: expected a kind and a shape as in v5p:4x4x4, found none")
    topology = parse_topology(_TOPOLOGY.value, _SLICES.value)
    users = None if _USERS.value is None else parse_count("users", _USERS.value)
    mesh = topology_mesh(topology, _CONFIG.value.mesh.model)
    from prouter_jax.aot.lower import make_programs, measure, to_json
    from prouter_jax.aot.report import report_lines

    measured = []
    for program in make_programs(_CONFIG.value, mesh, users):
        print(f"compile: {program.name} for {topology}", file=sys.stderr, flush=True)
        measured.append(measure(program, topology, mesh))
    print("\n".join(report_lines(measured, topology, dict(mesh.shape))))
    if _JSON.value is not None:
        files.write_sealed(_JSON.value, {"programs": [to_json(one) for one in measured]})


def _scan() -> None:
    """Compiles for all topologies of a scan, each in a process of its own, and writes the table and the plot."""
    from prouter_jax.aot.lower import from_json
    from prouter_jax.aot.report import draw_scan, scan, table_lines
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
            batch = f"--config.train.users_per_step={_CONFIG.value.train.users_per_step * topology.chips}"
            return [sys.executable, "-m", "launch.compile", *_config_flags(), batch, *asked]

        def read(topology) -> list:
            return [from_json(one) for one in files.read_sealed(path(topology))["programs"]]

        scans = {kind: scan(scan_topologies(kind), command, read) for kind in kinds}
    lines = [line for points in scans.values() for line in ("", *table_lines(points))][1:]
    print("\n".join(lines))
    files.write_whole(output / "scan.md", "\n".join(lines) + "\n")
    files.write_whole(output / "scan.png", draw_scan(scans))
    print(f"plot: {output / 'scan.png'}")


def _config_flags() -> list[str]:
    """The configuration that was given, for a process that is to have the same."""
    flag = flags.FLAGS["config"]
    overrides = config_flags.get_override_values(flag)
    given = [f"--config.{name}={value}" for name, value in overrides.items()]
    return [f"--config={config_flags.get_config_filename(flag)}", *given]


if __name__ == "__main__":
    entry.start(main)
