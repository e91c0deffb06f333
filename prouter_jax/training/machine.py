"""What decides the last bits of a training besides its configuration and data: devices, cores, kernels and versions.

The same sum in another order has other bits, and all of these decide orders: a number of cores how XLA and BLAS divide
the work, a processor which kernels they choose.
"""

import importlib.metadata
import os
import platform
from collections.abc import Mapping

import jax

from prouter_jax.io.cache import processor

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "prouter-jax")


def describe_machine() -> dict[str, str]:
    """What decides the bits in this process, by name; equal for runs that are equal to the last bit."""
    return {
        "processes": str(jax.process_count()),
        "devices": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "cores": str(_cores()),
        "processor": processor(),
        "BLAS": _blas(),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "Python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
    }


def compare_machines(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The differences of two descriptions, such as "cores 4, now 2"."""
    names = dict.fromkeys([*before, *now])
    values = ((name, before.get(name, "unknown") or "none", now.get(name, "unknown") or "none") for name in names)
    return [f"{name} {old}, now {new}" for name, old, new in values if old != new]


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _blas() -> str:
    """The kernels that numpy's BLAS has chosen for the processor, and its threads."""
    import threadpoolctl

    found = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    kinds = {f"{info['internal_api']} {info.get('architecture', '')} {info['num_threads']} threads" for info in found}
    return ", ".join(sorted(kinds))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
