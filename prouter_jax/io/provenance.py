"""Provenance of results: versions, machine, date and commit, for every report."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess

import prouter_jax


def provenance() -> dict[str, str]:
    """The "versions" of libraries, "machine", "date" and "commit" of the running code, as text."""
    return {
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "flax", "numpy")),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit of a checkout, or the version of an installed package (whose folder may be in another repository)."""
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
