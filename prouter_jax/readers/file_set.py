"""The files of a public data set: their records as a stream, and counts of what was read and dropped."""

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator

from prouter_jax.interactions import Interactions
from prouter_jax.paths import file_size
from prouter_jax.readers.record import Record
from prouter_jax.readers.records import read_records

OnProgress = Callable[[int, float], None]  # records so far, share of the bytes
_RECORDS_BETWEEN_CALLS = 5000


@dataclasses.dataclass(frozen=True)
class Read:
    """What was made of some files.

    Attributes:
      files: those that were read.
      records: how many they hold.
      dropped: what is not in the data, in words, and how many of them.
    """

    data: Interactions
    files: tuple[pathlib.Path, ...]
    records: int
    dropped: dict[str, int]


@contextlib.contextmanager
def of_folder(name: str) -> Iterator[None]:
    """Complaints about a file say which folder it is in, where many hold files of the same name."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"folder {name}, {error}") from error


class FileSet:
    """Reads some files record by record.

    Args:
      paths: of the files.
      on_progress: called now and then with the records so far and the share of the bytes.
    """

    def __init__(self, paths: Iterable[pathlib.Path], on_progress: OnProgress | None = None):
        self.paths = tuple(paths)
        self.records = 0
        self.dropped: collections.Counter[str] = collections.Counter()
        self._on_progress = on_progress
        self._size, self._done = 0, 0.0

    def read(
        self, path: pathlib.Path, needed: Iterable[str], optional: Iterable[str] = (), array: str = ""
    ) -> Iterator[Record]:
        """The records of one of the files, as `read_records` has them."""
        for record, size in read_records(path, needed, optional, array):
            yield record
            self.records += 1
            self._done += size
            if self._on_progress and self.records % _RECORDS_BETWEEN_CALLS == 0:
                self._size = self._size or sum(file_size(path) for path in self.paths)
                self._on_progress(self.records, min(self._done / max(self._size, 1), 1.0))

    def drop(self, what: str, times: int = 1) -> None:
        """Counts what does not get into the data."""
        if times:
            self.dropped[what] += times

    def result(self, data: Interactions) -> Read:
        """The data with these counts."""
        return Read(data, self.paths, self.records, dict(self.dropped))

    def nothing_left(self, expected: str) -> ValueError:
        """The complaint about files of which everything was dropped."""
        found = ", ".join(f"{times} {what}" for what, times in self.dropped.items()) or "none"
        return ValueError(f"table {self.paths[0].name}: expected {expected}, found {found}")
