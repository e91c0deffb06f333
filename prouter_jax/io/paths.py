"""Paths of this machine and of buckets (gs://...), used through the methods that pathlib and etils.epath share.

A bucket has no folders, no renames and no appending; what differs for that reason is here and in `files`. To open
a path, use its own `open` in a binary mode: the built-in one knows this machine alone.
"""

import io
import os
import pathlib
import typing
import urllib.parse

_BUCKETS = {"gs": "gcs"}  # scheme and extra


def make_path(path: str | os.PathLike) -> pathlib.Path:
    """The path that a user named: of this machine, file:///FOLDER/... for the same, or gs://BUCKET/...

    Returns:
      pathlib.Path; for a bucket an etils.epath.Path, which has `/`, `name`, `parent`, `suffix`, `with_name`, `exists`,
      `is_dir`, `is_file`, `iterdir`, `mkdir`, `open`, `read_bytes`, `read_text` and `unlink` as that has.

    Raises:
      ValueError: on another scheme.
      ImportError: if the extra for this kind of bucket is not installed, saying which.
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
    """`make_path` where only this machine will do.

    Args:
      needed_for: what cannot be in a bucket, for the complaint.

    Raises:
      ValueError: on a bucket.
    """
    made = make_path(path)
    if is_remote(made):
        raise ValueError(f"{made}: expected a folder of this machine for {needed_for}, found a bucket")
    return made


def is_remote(path: pathlib.Path) -> bool:
    """Whether a path that `make_path` made is in a bucket."""
    return not isinstance(path, pathlib.Path)


def open_text(path: pathlib.Path, **options) -> typing.TextIO:
    """Opens a file for reading text; `options` are those of `io.TextIOWrapper`."""
    return io.TextIOWrapper(typing.cast(typing.BinaryIO, path.open("rb")), **options)


def arrow_file(path: pathlib.Path):
    """What pyarrow should read a file from: its own reader of this machine's files, or a file object."""
    return path.open("rb") if is_remote(path) else path


def is_same_file(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two paths lead to one file that exists."""
    if is_remote(one) or is_remote(other):
        return str(one) == str(other) and one.exists()
    return one.exists() and other.exists() and one.samefile(other)


def file_size(path: pathlib.Path) -> int:
    """In bytes."""
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def inside(folder: pathlib.Path) -> list[pathlib.Path]:
    """What is in a folder; nothing if it is not there, as in a bucket an empty one never is."""
    return list(folder.iterdir()) if folder.is_dir() else []


def files_below(folder: pathlib.Path) -> list[str]:
    """Names, relative to `folder`, of everything below it but folders, sorted."""
    if is_remote(folder):
        system, root = file_system(folder)
        return sorted(name.removeprefix(root).lstrip("/") for name in system.find(root))
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def file_system(path: pathlib.Path):
    """The fsspec file system that a path in a bucket is of, and what the path is called there."""
    import fsspec.core

    return fsspec.core.url_to_fs(str(path))


def _bucket_path(text: str, scheme: str) -> pathlib.Path:
    import fsspec.config
    from etils import epath

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError:
        raise ImportError(f"{text}: pip install 'prouter-jax[{_BUCKETS[scheme]}]' to use {scheme}://") from None
    # other processes, and TensorStore in this one, write as well: what was listed before says nothing
    fsspec.config.conf.setdefault(_BUCKETS[scheme], {})["use_listings_cache"] = False
    return typing.cast(pathlib.Path, epath.Path(text))
