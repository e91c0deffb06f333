"""What was asked for on disk, a line of JSON each, so that what was paid for once is never paid for again."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from prouter_jax.io import files
from prouter_jax.io.paths import local_path


class Entry(Protocol):
    """A dataclass of plain values, which raises TypeError or ValueError where they make no sense.

    Attributes:
      key: what it is found under.
      cost: of it in USD.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> str: ...

    @property
    def cost(self) -> float: ...


T = TypeVar("T", bound=Entry)


class Ledger(Generic[T]):
    """A file of entries that one process at a time adds to; a context manager.

    Attributes:
      entries: by key; of several with one key the last.
      spent: USD that all entries in the file cost.
    """

    def __init__(self, path: str | os.PathLike, kind: type[T], word: str):
        """
        Args:
          path: of the file, made where it is missing, with its folder. A last line that a kill cut off is dropped.
          kind: of the entries; `word` is for one of them in complaints.

        Raises:
          ValueError: if another process has it open, a line is not an entry, or it is to be in a bucket.
        """
        self.path = _local(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(open(self.path, "ab"))
            _lock(self._file, self.path)
            lines, sound = _read_lines(self.path, kind, word)
            os.truncate(self.path, sound)
            files.sync_folder(self.path.parent)
            self.entries: dict[str, T] = {entry.key: entry for entry in lines}
            self.spent = sum(entry.cost for entry in lines)
            self._closing = stack.pop_all()
        self._added = self._safe = 0
        self._syncing = asyncio.Lock()

    def __enter__(self) -> "Ledger[T]":
        return self

    def __exit__(self, *_) -> None:
        self._closing.close()

    async def add(self, entry: T) -> None:
        """Hands the entry to the system at once, and returns when it would outlive a power failure.

        Entries that are added at the same time share the wait for the disk.
        """
        self._file.write((json.dumps(dataclasses.asdict(entry)) + "\n").encode())
        self._file.flush()
        self.entries[entry.key] = entry
        self.spent += entry.cost
        self._added += 1
        mine = self._added
        async with self._syncing:
            if self._safe < mine:
                added = self._added
                await asyncio.to_thread(os.fsync, self._file.fileno())
                self._safe = added


def read_ledger(path: str | os.PathLike, kind: type[T], word: str) -> dict[str, T]:
    """The entries of a file by key, none if there is no file; leaves it as it is.

    Raises:
      ValueError: if a line is not an entry, or the file is to be in a bucket.
    """
    path = _local(path)
    return {entry.key: entry for entry in _read_lines(path, kind, word)[0]} if path.exists() else {}


def _local(path: str | os.PathLike) -> pathlib.Path:
    return local_path(path, "a file to which one line is added at a time")


def _read_lines(path: pathlib.Path, kind: type[T], word: str) -> tuple[list[T], int]:
    """All whole lines and the number of bytes they take."""
    entries, sound = [], 0
    with open(path, "rb") as file:
        for row, line in enumerate(file):
            if line.endswith(b"\n"):
                entries.append(_parse(line, path, row, kind, word))
                sound += len(line)
    return entries, sound


def _parse(line: bytes, path: pathlib.Path, row: int, kind: type[T], word: str) -> T:
    try:
        return kind(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"table {path.name}, row {row}: expected {word}, found {line[:80]!r}") from None


def _lock(file, path: pathlib.Path) -> None:
    """The system frees the lock when the process ends, however it ends."""
    import fcntl  # not on Windows, where everything but asking works

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ValueError(f"{path}: expected to write here alone, found it in use by another run") from error
