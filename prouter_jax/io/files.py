"""Files: atomic writes, SHA-256 checks and manifests of folders, copies to and from buckets."""

import contextlib
import glob
import hashlib
import json
import math
import os
import pathlib
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from prouter_jax.io.locks import try_lock
from prouter_jax.io.paths import file_size, file_system, files_below, is_remote, make_path

MANIFEST = "manifest.json"
"""File name of a folder's manifest; a folder with one is complete."""


def write_whole(path: str | os.PathLike, content: bytes | str) -> None:
    """Writes a file atomically: readers see the old or the new file, never a part, even after a crash.

    Args:
      path: in an existing folder.
      content: bytes, or text that is encoded as UTF-8.

    Raises:
      OSError: with the file's name, if it cannot be written, for example on a full disk.
    """
    with open_whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def open_whole(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """`write_whole` for a file that is written in pieces; it appears when the context ends without an exception."""
    path = make_path(path)
    with _naming(path), _open_object(path) if is_remote(path) else _open_renamed(path) as file:
        yield file


def append(path: str | os.PathLike, text: str) -> None:
    """Appends text to a file, which is created if missing. In a bucket the whole file is written again.

    Raises:
      OSError: with the file's name, if it cannot be written.
    """
    path = make_path(path)
    if is_remote(path):
        write_whole(path, (path.read_bytes() if path.exists() else b"") + text.encode())
        return
    with _naming(path), open(path, "a", encoding="utf-8") as file:
        file.write(text)


def remove_leftovers(folder: pathlib.Path, name: str = "*") -> None:
    """Deletes temporary files of killed processes in a local folder; those of running processes stay.

    Args:
      name: of the file that was being written; by default any file.
    """
    pattern = name if name == "*" else glob.escape(name)
    for temporary in folder.glob(f".{pattern}.*.tmp"):
        with contextlib.suppress(OSError):
            descriptor = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and try_lock(descriptor):
                    temporary.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def sync_folder(folder: str | os.PathLike) -> None:
    """Makes renames in a local folder survive a power failure, if the file system supports it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def delete(path: str | os.PathLike) -> None:
    """Deletes a file or folder; the manifest goes first, so that a partly deleted folder does not count as complete."""
    path = make_path(path)
    if not path.is_dir() or (not is_remote(path) and path.is_symlink()):
        path.unlink()
        return
    (path / MANIFEST).unlink(missing_ok=True)
    if is_remote(path):
        for name in files_below(path):
            (path / name).unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def sha256_of(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
      OSError: if the file cannot be read.
    """
    with make_path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def jsonable(value: Any) -> Any:
    """The same tree for strict JSON: Python's own types instead of numpy's, None instead of NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy's: to import it here would slow `--help`
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_sealed(path: str | os.PathLike, values: dict) -> None:
    """Writes a dictionary as JSON together with its SHA-256, atomically."""
    write_whole(path, json.dumps({"sha256": _seal(values), "values": values}) + "\n")


def read_sealed(path: str | os.PathLike) -> dict:
    """Reads the dictionary that `write_sealed` wrote.

    Raises:
      ValueError: with the file's name, if it is missing, unreadable or changed; when a key is looked up that is not
        there, as in another sealed file under this name.
    """
    path = make_path(path)

    def named(values: dict) -> _Sealed:
        sealed = _Sealed(values)
        sealed.name = path.name
        return sealed

    try:
        sealed = json.loads(path.read_bytes(), object_hook=named)
        values, seal = sealed["values"], sealed["sha256"]
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path.name}: missing") from None
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"{path.name}: not the JSON that was written") from None
    if _seal(values) != seal:
        raise ValueError(f"{path.name}: SHA-256 differs from the one it carries")
    return values


def write_manifest(folder: str | os.PathLike, values: dict) -> None:
    """Writes FOLDER/manifest.json: a dictionary of values and the SHA-256 of every file in the folder.

    Temporary files, which killed processes leave, do not belong to the folder.
    """
    folder = make_path(folder)
    hashes = {name: sha256_of(folder / name) for name in _file_names(folder)}
    write_sealed(folder / MANIFEST, {"values": values, "files": hashes})


def read_manifest(folder: str | os.PathLike) -> dict:
    """Reads the values that `write_manifest` wrote; does not check the other files.

    Raises:
      ValueError: if the manifest is missing or changed.
    """
    return read_sealed(make_path(folder) / MANIFEST)["values"]


def verify(folder: str | os.PathLike) -> dict:
    """Checks that a folder holds exactly the files of its manifest, and returns the manifest's values.

    Raises:
      ValueError: with the name of the first file that is missing, changed or new.
    """
    folder = make_path(folder)
    hashes = read_sealed(folder / MANIFEST)["files"]
    for name in sorted({*hashes, *_file_names(folder)}):
        if name not in hashes:
            raise ValueError(f"{name}: not in the manifest")
        try:
            found = sha256_of(folder / name)
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError(f"{name}: missing") from None
        except OSError as error:
            raise ValueError(f"{name}: cannot be read ({error.strerror})") from None
        if found != hashes[name]:
            raise ValueError(f"{name}: SHA-256 differs from the manifest")
    return read_manifest(folder)


def is_temporary(name: str) -> bool:
    """Whether a file's name, or the path to it, is one that `open_whole` gives until the file is whole."""
    return _TEMPORARY.fullmatch(name) is not None


def version_of(path: pathlib.Path) -> list:
    """A JSON value that differs after a file changes.

    Returns:
      Size and modification time of a local file; size and version of a bucket's object, or its SHA-256 if the bucket
      has no versions.
    """
    if not is_remote(path):
        found = path.stat()
        return [found.st_size, found.st_mtime_ns]
    system, name = file_system(path)
    info = system.info(name)
    named = next((f"{key} {info[key]}" for key in _VERSIONS if info.get(key)), None)
    return [file_size(path), named or sha256_of(path)]


@contextlib.contextmanager
def downloaded(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a local folder itself, or a temporary local copy of a folder in a bucket."""
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
    """Yields a local folder itself, or a temporary folder whose files are copied into a bucket at the end.

    The files are also copied if the context ends by an exception. A manifest is copied last.
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
    """Copies a local folder into a bucket; the manifest goes last, so that a partial copy is not taken for complete."""
    system, root = file_system(target)
    for name in sorted(files_below(folder), key=lambda name: name == MANIFEST):
        system.put_file(str(folder / name), f"{root}/{name}")


_TEMPORARY = re.compile(r"(.*/)?\.[^/]*\.tmp")
# Names of an object's version in fsspec's information on different buckets, the most reliable first.
_VERSIONS = ("generation", "etag", "ETag", "mtime")


def _file_names(folder: pathlib.Path) -> list[str]:
    """Names of all files below a folder but the manifest and temporary files of `open_whole`."""
    return [name for name in files_below(folder) if name != MANIFEST and not is_temporary(name)]


@contextlib.contextmanager
def _open_renamed(path: pathlib.Path) -> Iterator[BinaryIO]:
    remove_leftovers(path.parent, path.name)
    temporary, descriptor = _create_temporary(path)
    try:
        with open(descriptor, "wb") as file:  # its lock ends with it, and so with a killed process
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _create_temporary(path: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A new file beside `path` under a name that nobody can guess, open and locked."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            if try_lock(descriptor) and os.fstat(descriptor).st_nlink:
                return temporary, descriptor
        except OSError:  # without locks nobody removes it
            return temporary, descriptor
        os.close(descriptor)  # another process took it for a leftover before it was locked


@contextlib.contextmanager
def _open_object(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Sends the object at the end: a bucket's writer would also complete it when an exception closes it."""
    with tempfile.TemporaryFile() as draft:
        yield draft
        draft.seek(0)
        with path.open("wb") as file:
            shutil.copyfileobj(draft, file, 2**20)


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Adds the file's name to an OSError that lacks it, as that of a full disk does."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


class _Sealed(dict):
    """A dictionary of a sealed file. A missing key is bad input, for the file may be another one."""

    name = "a sealed file"  # of one that dataclasses.asdict copied

    def __missing__(self, key: str):
        raise ValueError(f"{self.name}: expected a value {key!r}, found the content of another file")


def _seal(values: dict) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
