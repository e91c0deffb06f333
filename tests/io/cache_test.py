"""The user's cache: where it is, and compiled programs that the next process finds."""

import os
import pathlib
import sys

import processes

from prouter_jax.io.cache import cache_folder, keep_compiled_programs

PROGRAM = """
import sys
from prouter_jax.io.cache import keep_compiled_programs
if "late" in sys.argv:
    import jax
keep_compiled_programs()
assert ("jax" in sys.modules) == ("late" in sys.argv)
import jax
from jax import monitoring
found = []
monitoring.register_event_listener(lambda name, **_: found.append(name))
jax.jit(lambda x: x + 1)(1.0)
print(found.count("/jax/compilation_cache/cache_hits"), found.count("/jax/compilation_cache/cache_misses"))
"""


def _compile(folder: pathlib.Path, *arguments: str, **variables: str) -> str:
    """Hits and misses of a process that compiles one function."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_C", "JAX_PERSISTENT"))}
    environment = kept | {"XDG_CACHE_HOME": str(folder)} | variables
    done = processes.run([sys.executable, "-c", PROGRAM, *arguments], env=environment)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


def test_a_later_process_finds_the_compiled_program_whenever_jax_was_imported(tmp_path):
    assert _compile(tmp_path) == "0 1"
    assert _compile(tmp_path) == "1 0"
    assert _compile(tmp_path, "late") == "1 0"


def test_the_variables_of_jax_come_first(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    variables = {"JAX_COMPILATION_CACHE_DIR": str(elsewhere), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    _compile(tmp_path, **variables)
    assert _compile(tmp_path, **variables) == "1 0"
    assert list(elsewhere.iterdir())
    assert not (tmp_path / "prouter_jax").exists() or not list((tmp_path / "prouter_jax").rglob("*-cache"))
    assert _compile(tmp_path, JAX_ENABLE_COMPILATION_CACHE="false") == "0 0"


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    keep_compiled_programs()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    assert cache_folder() == tmp_path / "file" / "prouter_jax"
