"""Where numbers come from: versions, machine, date and commit, for every report."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess

import prouter_jax


def provenance() -> dict[str, str]:
    """What is written beside every result: "versions", "machine", "date", "commit" of the code that runs."""
    return {
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "flax", "numpy")),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit of a checkout; the version of an installed copy, whose folder may be in another repository."""
    here = pathlib.Path(__file__).parent
    if not (here.parents[1] / ".git").exists():
        return f"prouter_jax {prouter_jax.__version__}"
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
