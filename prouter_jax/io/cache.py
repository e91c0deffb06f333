"""The user's cache: text vectors, synthetic histories and compiled programs, all of which can be made again."""

import hashlib
import os
import pathlib
import platform
import sys

from prouter_jax.io.paths import local_path

_MOST_COMPILED = 1 << 30  # bytes; the programs of one experiment take less than 1 MB


def cache_folder() -> pathlib.Path:
    """The folder of the cache: $XDG_CACHE_HOME/prouter_jax or ~/.cache/prouter_jax.

    Raises:
      ValueError: if that is in a bucket.
    """
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return local_path(os.path.join(root, "prouter_jax"), "the cache")


def keep_compiled_programs() -> None:
    """Turns on JAX's persistent compilation cache, in the folder "compiled" of the cache, for child processes as well.

    It sets JAX's own environment variables, so call it before the first compilation; JAX is not imported. A cache that
    these variables name already stays as it is, and JAX_ENABLE_COMPILATION_CACHE=false turns every cache off.
    Programs are kept apart by processor, for one of another processor may crash. Where the folder cannot be written,
    nothing is kept.
    """
    folder = cache_folder() / "compiled" / _processor()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or not _made(folder):
        return
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_compilation_cache_max_size": _MOST_COMPILED,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    os.environ |= {name.upper(): str(value) for name, value in settings.items()}
    if "jax" in sys.modules:  # it has read the environment
        for name, value in settings.items():
            sys.modules["jax"].config.update(name, value)


def _made(folder: pathlib.Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _processor() -> str:
    """The architecture and, where Linux names them, a digest of the instructions that the processor knows."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    known = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
