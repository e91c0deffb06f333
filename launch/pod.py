"""Trains with several processes: on this machine, on Slurm, on TPU pods.

prouter pod --backend=local --processes=2 -- --config=million --workdir=DIR --config.mesh.data=2
prouter pod --backend=gke --topology=v5p:4x4x4 --dry_run -- --config=NAME --workdir=gs://BUCKET/DIR

The flags after -- are passed to train unchanged. After a crash all processes of the job are restarted and resume from
the newest intact checkpoint. On this machine the output of the first process is shown, and of a failure the line that
says why; the logs have all.
"""

import pathlib
import re
import sys
from typing import Any

from absl import flags

from prouter_jax.config_fields import hint

from . import entry
from .config_flag import load_experiment

_BACKEND = flags.DEFINE_enum("backend", "local", ["local", "slurm", "gke", "tpu_vm"], "Where the processes run.")
_PROCESSES = flags.DEFINE_integer(
    "processes", 1, "Number of processes on this machine, or of Slurm nodes.", lower_bound=1
)
_PIN = flags.DEFINE_boolean("pin", False, "On this machine: bind each process to a core.")
_RESTARTS = flags.DEFINE_integer("restarts", 5, "Maximum number of restarts after a crash.", lower_bound=0)
_TOPOLOGY = flags.DEFINE_string("topology", None, "Topology of TPUs, such as v5p:4x4x4.")
_OPTION = flags.DEFINE_multi_string("option", [], "Option of sbatch, xpk or gcloud; may be repeated.")
_NAME = flags.DEFINE_string("name", "prouter", "Name of the job.")
_LOGS = flags.DEFINE_string("logs", None, "Folder of logs; WORKDIR.logs if the workdir is local.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Check the files, print the commands, and start nothing.")


def main() -> None:
    from .backends.job import Job, supervise

    arguments = entry.passed_on(sys.argv)
    if not arguments:
        raise ValueError("expected the flags of train after --, found none")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?", _NAME.value):
        raise ValueError(f"--name: expected small letters, digits and hyphens, found {_NAME.value!r}")
    _check_mesh(arguments)
    if _BACKEND.value in ("local", "slurm"):
        _check_files(arguments)
    command = (*entry.module_command("train"), *arguments)
    job = Job(_NAME.value, command, _folder(arguments), _PROCESSES.value)
    backend = _make_backend()
    if _DRY_RUN.value:
        print(backend.plan(job))
        return
    code = supervise(backend, job, _RESTARTS.value)
    print(f"{job.name}: ended with exit code {code}; logs: {job.folder}", file=sys.stderr)
    sys.exit(code if code >= 0 else 128 - code)


def _check_mesh(arguments: list[str]) -> None:
    """Raises ValueError if the mesh has fewer devices than there are processes: each needs one of its own."""
    name = _value(arguments, "config")
    if not name or _PROCESSES.value == 1:
        return
    mesh = load_experiment(name).mesh
    data, model = (_value(arguments, f"config.mesh.{axis}") or getattr(mesh, axis) for axis in ("data", "model"))
    if str(data).isdecimal() and str(model).isdecimal() and int(data) * int(model) < _PROCESSES.value:
        raise ValueError(
            f"flag --processes: expected at most {data} x {model}, the devices of config.mesh, found "
            f"{_PROCESSES.value}; add --config.mesh.data={_PROCESSES.value} after --"
        )


def _check_files(arguments: list[str]) -> None:
    """Checks the configuration and its files, which the processes would otherwise miss one after the other.

    Raises:
      ValueError: in one line, if the experiment, a field or a file is missing or wrong.
    """
    from prouter_jax.config import validate, with_values
    from prouter_jax.data.tables.file_forms import data_files, table_files
    from prouter_jax.data.tables.schema import SCHEMAS
    from prouter_jax.io.paths import is_remote, make_path, require_folder

    for name in ("config", "workdir"):
        if not _value(arguments, name):
            raise ValueError(f"expected --{name} after --, found none")
    data = validate(with_values(load_experiment(_value(arguments, "config")), _overrides(arguments))).data
    path = make_path(data.path or ".")
    if data.source == "embedded" or is_remote(path):
        return
    if data.source == "tables":
        found = table_files(require_folder(path, "tables"), SCHEMAS)
        absent = [name for name in ("queries", "llms") if name not in found]
        if absent:
            raise ValueError(f"{path}: expected the table {absent[0]}, found {', '.join(found) or 'no table'}")
    elif not path.is_dir():
        data_files(path)


def _overrides(arguments: list[str]) -> dict[str, Any]:
    """The fields that the flags of train set, with their values."""
    from prouter_jax.config import current_path, field_type
    from prouter_jax.sweep.space import parse_value

    found = {}
    for argument in arguments:
        name, equals, value = argument.removeprefix("--config.").partition("=")
        if argument.startswith("--config.") and equals:
            path = current_path(name)
            try:
                found[path] = parse_value(value, field_type(path))
            except ValueError as error:
                raise ValueError(f"--config.{name}: {error}{hint(path)}") from None
    return found


def _value(arguments: list[str], name: str) -> str:
    """The value of a flag of train, the last if it is repeated; "" without one."""
    return next((one.partition("=")[2] for one in reversed(arguments) if one.startswith(f"--{name}=")), "")


def _folder(arguments: list[str]) -> pathlib.Path:
    workdir = _value(arguments, "workdir")
    if _LOGS.value is None and (not workdir or "://" in workdir):
        return pathlib.Path("runs") / _NAME.value
    return pathlib.Path(_LOGS.value or f"{workdir.rstrip('/')}.logs")


def _make_backend():
    from .backends.cloud import GkeBackend, TpuVmBackend
    from .backends.local import LocalBackend
    from .backends.shown import ShownBackend
    from .backends.slurm import SlurmBackend

    options = tuple(_OPTION.value)
    if _BACKEND.value == "local":
        return ShownBackend(LocalBackend(_PIN.value))
    if _BACKEND.value == "slurm":
        return SlurmBackend(options)
    if _TOPOLOGY.value is None:
        raise ValueError(f"--topology: expected a kind and a shape for {_BACKEND.value}, found none")
    if _BACKEND.value == "gke":
        return GkeBackend(_TOPOLOGY.value, options, _RESTARTS.value)
    return TpuVmBackend(_TOPOLOGY.value, options)


if __name__ == "__main__":
    entry.start(main, passes_on=True)
