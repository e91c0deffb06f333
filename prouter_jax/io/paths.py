"""Local paths and bucket paths (gs://...), used through the methods that pathlib and etils.epath share.

A bucket has no folders, no renames and no appending. Code that depends on this is here and in `files`. Open a path by
its own method `open` in a binary mode: the built-in `open` only opens local files.
"""

import gzip
import io
import os
import pathlib
import typing
import urllib.parse

_BUCKETS = {"gs": "gcs"}  # URL scheme: extra of the package that supports it


def make_path(path: str | os.PathLike) -> pathlib.Path:
    """Parses a path.

    Args:
      path: a local path, file:///FOLDER/... for the same, or gs://BUCKET/...

    Returns:
      A pathlib.Path; for a bucket an etils.epath.Path, which shares with it `/`, `name`, `parent`, `suffix`,
      `with_name`, `exists`, `is_dir`, `is_file`, `iterdir`, `mkdir`, `open`, `read_bytes`, `read_text` and `unlink`.

    Raises:
      ValueError: if the scheme is not supported.
      ImportError: if the extra for this kind of bucket is not installed; the message names it.
    """
    text = os.fspath(path)
    scheme, found, rest = text.partition("://")
    if not found:
        return pathlib.Path(path)
    if scheme in _BUCKETS and rest.strip("/"):
        return _bucket_path(text, scheme)
    if scheme == "file" and rest.startswith("/"):
        return pathlib.Path(urllib.parse.unquote(rest))
    raise ValueError(f"{text}: expected a path of this machine, file:///FOLDER or gs://BUCKET, found {scheme}://")


def local_path(path: str | os.PathLike, needed_for: str) -> pathlib.Path:
    """`make_path` for a path that must be local.

    Args:
      path: as for `make_path`.
      needed_for: the purpose, for the error message.

    Raises:
      ValueError: if the path is in a bucket.
    """
    made = make_path(path)
    if is_remote(made):
        raise ValueError(f"{made}: expected a folder of this machine for {needed_for}, found a bucket")
    return made


def require_file(path: pathlib.Path) -> pathlib.Path:
    """Returns a path from `make_path` of an existing file.

    Raises:
      ValueError: "PATH: expected a file, found none" (or a folder).
    """
    if not path.is_file():
        raise ValueError(f"{path}: expected a file, found {'a folder' if path.is_dir() else 'none'}")
    return path


def require_folder(path: pathlib.Path, contents: str = "") -> pathlib.Path:
    """`require_file` for a folder; `contents`, such as "tables", are named in the message."""
    if not path.is_dir():
        expected = f"a folder of {contents}" if contents else "a folder"
        raise ValueError(f"{path}: expected {expected}, found {'a file' if path.is_file() else 'none'}")
    return path


def is_remote(path: pathlib.Path) -> bool:
    """Whether a path from `make_path` is in a bucket."""
    return not isinstance(path, pathlib.Path)


def open_text(path: pathlib.Path, **options) -> typing.TextIO:
    """Opens a file for reading text, unpacked if it ends in .gz; `options` are those of `io.TextIOWrapper`."""
    return io.TextIOWrapper(open_bytes(path), **options)


def open_bytes(path: pathlib.Path) -> typing.BinaryIO:
    """Opens a file for reading, unpacked if it ends in .gz."""
    raw = typing.cast(typing.BinaryIO, path.open("rb"))
    if path.suffix.lower() != ".gz":
        return raw
    unpacked = gzip.GzipFile(fileobj=raw)
    unpacked.myfileobj = raw  # pyright: ignore[reportAttributeAccessIssue]  # closed with it
    return typing.cast(typing.BinaryIO, unpacked)


def read_text(path: pathlib.Path) -> str:
    """The text of a file that may be damaged: bytes that are not UTF-8 become U+FFFD, and so a change to be found."""
    return path.read_bytes().decode(errors="replace")


def arrow_file(path: pathlib.Path):
    """The source for pyarrow's readers: the path of a local file, or an open file object of a bucket."""
    return path.open("rb") if is_remote(path) else path


def is_same_file(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two paths lead to the same existing file."""
    if is_remote(one) or is_remote(other):
        return str(one) == str(other) and one.exists()
    return one.exists() and other.exists() and one.samefile(other)


def file_size(path: pathlib.Path) -> int:
    """The size of a file in bytes."""
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def list_folder(folder: pathlib.Path) -> list[pathlib.Path]:
    """The paths in a folder; empty if the folder does not exist, as an empty folder in a bucket never does."""
    return list(folder.iterdir()) if folder.is_dir() else []


def files_below(folder: pathlib.Path) -> list[str]:
    """Names of all files below a folder at any depth, relative to it, sorted."""
    if is_remote(folder):
        system, root = file_system(folder)
        return sorted(name.removeprefix(root).lstrip("/") for name in system.find(root))
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def file_system(path: pathlib.Path):
    """The fsspec file system of a bucket path, and the path's name in it."""
    import fsspec.core

    return fsspec.core.url_to_fs(str(path))


def _bucket_path(text: str, scheme: str) -> pathlib.Path:
    import fsspec.config
    from etils import epath

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError:
        raise ImportError(f"{text}: pip install 'prouter-jax[{_BUCKETS[scheme]}]' to use {scheme}://") from None
    # other processes, and TensorStore in this one, also write: a cached listing would be stale
    fsspec.config.conf.setdefault(_BUCKETS[scheme], {})["use_listings_cache"] = False
    return typing.cast(pathlib.Path, epath.Path(text))
