"""The cache folder of text vectors, synthetic histories and compiled programs; deleting it loses no data."""

import hashlib
import os
import pathlib
import platform
import sys

from prouter_jax.io.paths import local_path

_MOST_COMPILED = 1 << 30  # bytes; the programs of one experiment take less than 1 MB


def cache_folder() -> pathlib.Path:
    """The cache folder: $XDG_CACHE_HOME/prouter_jax or ~/.cache/prouter_jax.

    Raises:
      ValueError: if the folder is in a bucket.
    """
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return local_path(os.path.join(root, "prouter_jax"), "the cache")


def keep_compiled_programs() -> None:
    """Turns on JAX's persistent compilation cache in the cache folder, for this process and its child processes.

    Call it before the first compilation: it sets JAX's environment variables and does not import JAX. It changes
    nothing if these variables already name a cache or if the folder is not writable.
    JAX_ENABLE_COMPILATION_CACHE=false turns the cache off. Each processor type has a folder of its own, because a
    program compiled for another processor may crash.
    """
    folder = cache_folder() / "compiled" / processor()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or not _is_writable(folder):
        return
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_compilation_cache_max_size": _MOST_COMPILED,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    os.environ |= {name.upper(): str(value) for name, value in settings.items()}
    if "jax" in sys.modules:  # JAX reads the environment only on import
        for name, value in settings.items():
            sys.modules["jax"].config.update(name, value)


def processor() -> str:
    """The architecture and, on Linux, a digest of the processor's instruction sets."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"


def _is_writable(folder: pathlib.Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
