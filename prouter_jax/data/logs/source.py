"""The bytes of a text file, unpacked, without a byte order mark, in blocks of whole lines."""

import gzip
import pathlib
import zlib
from collections.abc import Iterator

from prouter_jax.data.tables.parquet import one_line
from prouter_jax.io.paths import file_size, open_bytes

_FIRST_BYTES, _BYTES_AT_ONCE = 1 << 18, 16 << 20
_LONGEST_LINE = 64 << 20
_BOM = b"\xef\xbb\xbf"


class Source:
    """An open text file; a context manager.

    Attributes:
      file: the unpacked bytes.
    """

    def __init__(self, path: pathlib.Path):
        self._path, self._size = path, max(file_size(path), 1)
        self.file = open_bytes(path)

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()

    @property
    def share(self) -> float:
        """Share of the file that was read."""
        raw = self.file.fileobj if isinstance(self.file, gzip.GzipFile) else self.file
        return min(raw.tell() / self._size, 1.0)  # pyright: ignore[reportAttributeAccessIssue]

    def head(self) -> bytes:
        """The first bytes."""
        return self._read(_FIRST_BYTES).removeprefix(_BOM)

    def blocks(self) -> Iterator[bytes]:
        """Blocks of whole lines; the first block is small."""
        rest, wanted = b"", _FIRST_BYTES
        while piece := self._read(wanted):
            piece = piece.removeprefix(_BOM) if wanted == _FIRST_BYTES else piece
            wanted = _BYTES_AT_ONCE
            end = piece.rfind(b"\n") + 1
            if end:
                yield rest + piece[:end]
                rest = piece[end:]
            else:
                rest += piece
            if len(rest) > _LONGEST_LINE:
                limit = _LONGEST_LINE >> 20
                raise ValueError(f"log {self._path}: expected lines of at most {limit} MB, found a longer one")
        if rest:
            yield rest

    def _read(self, wanted: int) -> bytes:
        try:
            return self.file.read(wanted)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"log {self._path}: expected a whole gzip file, found {one_line(error)}") from error
