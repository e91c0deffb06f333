"""Copies of what is in a bucket for what knows this machine alone, and how to tell that a file is still the same."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from prouter_jax.files import MANIFEST, sha256_of
from prouter_jax.paths import file_size, file_system, files_below, is_remote

_VERSIONS = ("generation", "etag", "ETag", "mtime")  # what kinds of buckets call it, the most certain first


def version_of(path: pathlib.Path) -> list:
    """What changes, as JSON takes it, when a file does: size and time; in a bucket what that knows, else a digest."""
    if not is_remote(path):
        found = path.stat()
        return [found.st_size, found.st_mtime_ns]
    system, place = file_system(path)
    info = system.info(place)
    named = next((f"{name} {info[name]}" for name in _VERSIONS if info.get(name)), None)
    return [file_size(path), named or sha256_of(path)]


@contextlib.contextmanager
def downloaded(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """The folder itself, or if it is in a bucket a copy of it on this machine, for as long as the context lasts."""
    if not is_remote(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as copy:
        system, root = file_system(folder)
        for name in files_below(folder):
            target = os.path.join(copy, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            system.get_file(f"{root}/{name}", target)
        yield pathlib.Path(copy)


@contextlib.contextmanager
def uploaded(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where to write what belongs into a folder: there, or if it is in a bucket on this machine, and copied at the end.

    However the context ends, what was written until then is copied; its manifest, if it has one, last.
    """
    if not is_remote(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as draft:
        try:
            yield pathlib.Path(draft)
        finally:
            upload(pathlib.Path(draft), folder)


def upload(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a folder of this machine into a bucket, its manifest last: half a folder passes for nothing."""
    system, root = file_system(target)
    for name in sorted(files_below(folder), key=lambda name: name == MANIFEST):
        system.put_file(str(folder / name), f"{root}/{name}")
