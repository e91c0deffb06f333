"""Reads the files of a data set with progress, and counts the records and the dropped items."""

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.public.records import Record, read_records
from prouter_jax.io.paths import file_size

ProgressCallback = Callable[[int, float], None]  # called with the records read and the share of bytes read, 0 to 1
_RECORDS_BETWEEN_CALLS = 5000


@dataclasses.dataclass(frozen=True)
class PublicData:
    """A data set that was read from its files.

    Attributes:
      data: the data.
      files: the files that were read.
      records: the number of records in the files.
      dropped: the number of items that are not in the data, by reason.
    """

    data: Interactions
    files: tuple[pathlib.Path, ...]
    records: int
    dropped: dict[str, int]


@contextlib.contextmanager
def errors_name_folder(name: str) -> Iterator[None]:
    """Adds the name of a folder to errors, for data sets with files of the same name in many folders."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"folder {name}, {error}") from error


class FileSet:
    """Reads the files of a data set record by record.

    Attributes:
      paths: the files.
      records: the number of records read so far.
      dropped: the number of dropped items by reason.
    """

    def __init__(self, paths: Iterable[pathlib.Path], on_progress: ProgressCallback | None = None):
        """
        Args:
          paths: the files.
          on_progress: called after every 5,000 records.
        """
        self.paths = tuple(paths)
        self.records = 0
        self.dropped: collections.Counter[str] = collections.Counter()
        self._on_progress = on_progress
        self._size, self._done = 0, 0.0

    def read(
        self, path: pathlib.Path, needed: Iterable[str], optional: Iterable[str] = (), array: str = ""
    ) -> Iterator[Record]:
        """Yields the records of one of the files; arguments and errors are those of `read_records`."""
        for record, size in read_records(path, needed, optional, array):
            yield record
            self.records += 1
            self._done += size
            if self._on_progress and self.records % _RECORDS_BETWEEN_CALLS == 0:
                self._size = self._size or sum(file_size(path) for path in self.paths)
                self._on_progress(self.records, min(self._done / max(self._size, 1), 1.0))

    def drop(self, reason: str, number: int = 1) -> None:
        """Counts items that are dropped from the data."""
        if number:
            self.dropped[reason] += number

    def result(self, data: Interactions) -> PublicData:
        """The data with the counts so far."""
        return PublicData(data, self.paths, self.records, dict(self.dropped))

    def empty_error(self, expected: str) -> ValueError:
        """The error for files from which everything was dropped; it lists the reasons."""
        found = ", ".join(f"{number} {reason}" for reason, number in self.dropped.items()) or "none"
        return ValueError(f"table {self.paths[0].name}: expected {expected}, found {found}")
