"""Append-only JSON Lines file of paid replies: one record a line, flushed to disk before the next step counts on it.

A killed run continues from its journal and pays for nothing twice.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import typing
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from prouter_jax.io import files
from prouter_jax.io.locks import try_lock
from prouter_jax.io.paths import local_path

_PRIVATE = 0o600
_MOST = 1e15  # of a cost or a number of tokens


@runtime_checkable
class Record(Protocol):
    """A dataclass of JSON values whose constructor raises TypeError or ValueError on invalid ones.

    Attributes:
      key: under which the record is found.
      cost: of its requests in USD.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> str: ...

    @property
    def cost(self) -> float: ...


T = TypeVar("T", bound=Record)


class Journal(Generic[T]):
    """A file of records that one process at a time appends to; a context manager.

    Attributes:
      records: by key; the last one of several with the same key.
      spent: cost of all lines of the file in USD.
    """

    def __init__(self, path: str | os.PathLike, record_type: Callable[..., T], noun: str):
        """
        Args:
          path: file, created together with its folder if missing. An incomplete last line, left by a kill, is dropped.
          record_type: dataclass of the records.
          noun: name of a record in error messages, with its article.

        Raises:
          ValueError: if another process has the file open, a line is no valid record, or the path is in a bucket.
        """
        self.path = _local_path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(open(self.path, "ab", opener=_open_private))
            os.fchmod(self._file.fileno(), _PRIVATE)
            # the system frees the lock when the process ends, even by a kill
            if not try_lock(self._file.fileno()):
                raise ValueError(f"{self.path}: expected to write here alone, found it in use by another run")
            records, valid_bytes = _read_lines(self.path, record_type, noun)
            os.truncate(self.path, valid_bytes)
            files.sync_folder(self.path.parent)
            self.records: dict[str, T] = {record.key: record for record in records}
            self.spent = sum((record.cost for record in records), 0.0)
            self._closing = stack.pop_all()
        self._written = self._synced = 0
        self._sync_lock = asyncio.Lock()

    def __enter__(self) -> "Journal[T]":
        return self

    def __exit__(self, *_) -> None:
        self._closing.close()

    def clear(self) -> None:
        """Removes all records."""
        os.ftruncate(self._file.fileno(), 0)
        self.records, self.spent = {}, 0.0

    async def add(self, record: T) -> None:
        """Appends a record at once, and returns when it would survive a power failure.

        Records that are added at the same time share one fsync.
        """
        self._file.write((json.dumps(dataclasses.asdict(record)) + "\n").encode())
        self._file.flush()
        self.records[record.key] = record
        self.spent += record.cost
        self._written += 1
        position = self._written
        async with self._sync_lock:
            if self._synced < position:
                written = self._written
                await asyncio.to_thread(os.fsync, self._file.fileno())
                self._synced = written


def read_journal(path: str | os.PathLike, record_type: Callable[..., T], noun: str) -> dict[str, T]:
    """Reads the records of a journal by key without changing the file; none if there is no file.

    Args:
      path, record_type, noun: see `Journal`.

    Raises:
      ValueError: if a line is no valid record, or the path is in a bucket.
    """
    path = _local_path(path)
    return {record.key: record for record in _read_lines(path, record_type, noun)[0]} if path.exists() else {}


def _open_private(path: str, flags: int) -> int:
    """Opens a file that no other user may read: answers may hold anything."""
    return os.open(path, flags, _PRIVATE)


def _local_path(path: str | os.PathLike) -> pathlib.Path:
    return local_path(path, "a file to which one line is added at a time")


def _read_lines(path: pathlib.Path, record_type: Callable[..., T], noun: str) -> tuple[list[T], int]:
    """The records of all complete lines, and the number of bytes of these lines."""
    records, valid_bytes = [], 0
    with open(path, "rb") as file:
        for row, line in enumerate(file):
            if line.endswith(b"\n"):
                records.append(_parse_line(line, path, row, record_type, noun))
                valid_bytes += len(line)
    return records, valid_bytes


def _parse_line(line: bytes, path: pathlib.Path, row: int, record_type: Callable[..., T], noun: str) -> T:
    try:
        record = record_type(**json.loads(line))
        if not _fits(record):
            raise TypeError
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"table {path.name}, row {row}: expected {noun}, found {line[:80]!r}") from None
    return record


def _fits(record: Record) -> bool:
    """Whether each value has the type of its field, and numbers are finite."""
    for name, hint in typing.get_type_hints(type(record)).items():
        value, kinds = getattr(record, name), set(typing.get_args(hint)) or {hint}
        if typing.get_origin(hint) is ClassVar:
            continue
        if type(value) not in kinds | ({int} if float in kinds else set()):
            return False
        if type(value) in (int, float) and not abs(value) <= _MOST:
            return False
    return True
