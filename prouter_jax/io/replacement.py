"""Replaces the files of a folder as one step: a reader finds all old files or all new ones, whenever a kill comes.

    FOLDER/.new/...             the new files, complete
    FOLDER/.new/manifest.json   their SHA-256 sums; written last, and from then on readers take FOLDER/.new
    FOLDER/...                  then get the new files, and FOLDER/.new is deleted, its manifest first

A command that writes to a folder calls `settle` first: it ends what a killed command has begun.
"""

import contextlib
import os
import pathlib
import re
import secrets
from collections.abc import Iterator

from prouter_jax.io import files
from prouter_jax.io.locks import FOLDER_LOCK
from prouter_jax.io.paths import files_below, is_remote, list_folder

STAGE = ".new"
"""Name of the folder in which new files wait."""
_DATABASE = re.compile(r"\.sqlite(-\w+|\.lock)?$")


def current(folder: pathlib.Path) -> pathlib.Path:
    """The folder to read: FOLDER, or FOLDER/.new where a killed command has left the new files there."""
    stage = folder / STAGE
    return stage if (stage / files.MANIFEST).exists() else folder


@contextlib.contextmanager
def replacing(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields an empty folder for all new files of `folder`, which replace the old ones at the end of the context.

    After an exception the old files stay. The caller holds the folder's lock and has called `settle`.
    """
    stage = folder / STAGE
    if stage.exists():
        files.delete(stage)
    stage.mkdir()
    try:
        yield stage
        files.write_manifest(stage, {})
    except BaseException:
        files.delete(stage)
        raise
    settle(folder)


def settle(folder: pathlib.Path) -> bool:
    """Ends a replacement that a kill has stopped after its new files were complete.

    Returns:
      Whether there was one.

    Raises:
      ValueError: if the new files are damaged.
    """
    stage = folder / STAGE
    if current(folder) != stage:
        return False
    try:
        files.verify(stage)
    except ValueError as error:
        raise ValueError(f"{stage}: expected the new files as they were written, found {error}") from None
    new = [name for name in files_below(stage) if name != files.MANIFEST]
    for name in sorted(set(own_files(folder)) - set(new)):
        (folder / name).unlink()
    for name in new:
        copy_file(stage / name, folder / name)
    files.delete(stage)
    _remove_empty_folders(folder)
    return True


def own_files(folder: pathlib.Path) -> list[str]:
    """Names of all files below a folder, sorted, but its lock, those of a replacement, and databases.

    SQLite changes a database in place, and under transactions of its own.
    """
    apart = (f"{STAGE}/", f"{FOLDER_LOCK}.")
    names = (name for name in files_below(folder) if not f"{name}.".startswith(apart))
    return [name for name in names if not _DATABASE.search(name)]


def copy_file(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a file whose content never changes in place: on a disk both names then are the same file.

    The target appears whole. Its folder is created if missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not is_remote(source) and _link(source, target):
        return
    files.write_whole(target, source.read_bytes())


def _link(source: pathlib.Path, target: pathlib.Path) -> bool:
    """Makes `target` another name of a file; returns False on a file system without such links."""
    linked = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        os.link(source, linked)
    except OSError:
        return False
    try:
        os.replace(linked, target)
    finally:
        linked.unlink(missing_ok=True)  # a rename removes no name if both are of the same file
    return True


def _remove_empty_folders(folder: pathlib.Path) -> None:
    """A bucket has no empty folders."""
    for inner in [] if is_remote(folder) else list_folder(folder):
        if inner.is_dir() and not inner.is_symlink():
            _remove_empty_folders(inner)
            with contextlib.suppress(OSError):
                inner.rmdir()
