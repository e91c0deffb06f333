"""Files that are whole or not there at all, and files and folders that can prove they are what was written."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from prouter_jax.io.paths import file_size, file_system, files_below, is_remote, make_path

MANIFEST = "manifest.json"


def write_whole(path: str | os.PathLike, content: bytes | str) -> None:
    """Writes `content` so that a reader, even after a crash, finds all of the new file or all of the old one.

    Args:
      path: in a folder that exists.
      content: bytes, or text that is written as UTF-8.

    Raises:
      OSError: naming the file, if it cannot be written; a full disk, say.
    """
    with open_whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def open_whole(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """As `write_whole`, for a file that is written piece by piece: it appears at the end, unless an exception came."""
    path = make_path(path)
    with _naming(path), _open_object(path) if is_remote(path) else _open_renamed(path) as file:
        yield file


def append(path: str | os.PathLike, text: str) -> None:
    """Adds `text` to a file, which is made where it is missing; in a bucket the whole file is written again.

    Raises:
      OSError: naming the file, if it cannot be written.
    """
    path = make_path(path)
    if is_remote(path):
        write_whole(path, (path.read_bytes() if path.exists() else b"") + text.encode())
        return
    with _naming(path), open(path, "a", encoding="utf-8") as file:
        file.write(text)


def sync_folder(folder: str | os.PathLike) -> None:
    """Makes renames in `folder` outlive a power failure, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def delete(path: str | os.PathLike) -> None:
    """Deletes a file or a folder, its manifest first: half a folder passes for nothing."""
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


def write_sealed(path: str | os.PathLike, values: dict) -> None:
    """Writes `values`, all of it JSON, together with its own SHA-256, whole."""
    write_whole(path, json.dumps({"sha256": _seal(values), "values": values}) + "\n")


def read_sealed(path: str | os.PathLike) -> dict:
    """The values `write_sealed` wrote.

    Raises:
      ValueError: naming the file, which is missing, cannot be read, or is not what was written.
    """
    path = make_path(path)
    try:
        sealed = json.loads(path.read_bytes())
        values, seal = sealed["values"], sealed["sha256"]
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path.name}: missing") from None
    except OSError as error:
        raise ValueError(f"{path.name}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path.name}: not the JSON that was written") from None
    if _seal(values) != seal:
        raise ValueError(f"{path.name}: SHA-256 differs from the one it carries")
    return values


def write_manifest(folder: str | os.PathLike, values: dict) -> None:
    """Writes folder/manifest.json: `values` and the SHA-256 of every file now in `folder`."""
    folder = make_path(folder)
    hashes = {name: sha256_of(folder / name) for name in _file_names(folder)}
    write_sealed(folder / MANIFEST, {"values": values, "files": hashes})


def read_manifest(folder: str | os.PathLike) -> dict:
    """The values `write_manifest` wrote, without a look at the other files.

    Raises:
      ValueError: if the manifest is missing or damaged.
    """
    return read_sealed(make_path(folder) / MANIFEST)["values"]


def verify(folder: str | os.PathLike) -> dict:
    """The values of the manifest of a folder whose files are exactly those that were written.

    Raises:
      ValueError: naming the first file that is missing, changed or new.
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


def _file_names(folder: pathlib.Path) -> list[str]:
    """Names, relative to `folder`, of everything below it but folders and the manifest."""
    return [name for name in files_below(folder) if name != MANIFEST]


@contextlib.contextmanager
def _open_renamed(path: pathlib.Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def _open_object(path: pathlib.Path) -> Iterator[BinaryIO]:
    """An object appears whole, but also when its writer is closed by an exception, so it is sent at the end."""
    with tempfile.TemporaryFile() as draft:
        yield draft
        draft.seek(0)
        with path.open("wb") as file:
            shutil.copyfileobj(draft, file, 2**20)


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """The system does not say which file a full disk cut short."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def _seal(values: dict) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


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
