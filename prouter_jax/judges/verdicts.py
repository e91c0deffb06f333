"""Verdicts on disk, a line of JSON each, so that what was paid for once is never paid for again."""

import contextlib
import dataclasses
import json
import os
import pathlib

from prouter_jax import files
from prouter_jax.paths import local_path


@dataclasses.dataclass(frozen=True)
class Stored:
    """One verdict.

    Attributes:
      key: see `dialogue.verdict_key`.
      user, query: names of the persona and the query, for people who read the file.
      choice: which of the answers on offer, counted from 0 in the order of the LLMs; None for a failure.
      failure: why there is no choice, or None.
      input_tokens, output_tokens: of all replies that it took.
      cost: of them in USD.
    """

    key: str
    user: str
    query: str
    choice: int | None
    failure: str | None
    input_tokens: int
    output_tokens: int
    cost: float


class VerdictStore:
    """A file of verdicts that one process at a time adds to; a context manager.

    Attributes:
      verdicts: by key; of several with one key the last.
      spent: USD that all verdicts in the file cost.
    """

    def __init__(self, path: str | os.PathLike):
        """
        Args:
          path: of the file, made where it is missing, with its folder. A last line that a kill cut off is dropped.

        Raises:
          ValueError: if another process has it open, a line is not a verdict, or it is to be in a bucket.
        """
        self.path = local_path(path, "verdicts, to which one is added at a time")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(open(self.path, "ab"))
            _lock(self._file, self.path)
            lines, sound = _read_lines(self.path)
            os.truncate(self.path, sound)
            files.sync_folder(self.path.parent)
            self.verdicts = {verdict.key: verdict for verdict in lines}
            self.spent = sum(verdict.cost for verdict in lines)
            self._closing = stack.pop_all()

    def __enter__(self) -> "VerdictStore":
        return self

    def __exit__(self, *_) -> None:
        self._closing.close()

    def add(self, verdict: Stored) -> None:
        """Returns when the verdict would outlive a power failure."""
        self._file.write((json.dumps(dataclasses.asdict(verdict)) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.verdicts[verdict.key] = verdict
        self.spent += verdict.cost


def read_verdicts(path: str | os.PathLike) -> dict[str, Stored]:
    """The verdicts of a file by key, none if there is no file; leaves it as it is.

    Raises:
      ValueError: if a line is not a verdict, or the file is to be in a bucket.
    """
    path = local_path(path, "verdicts, to which one is added at a time")
    return {verdict.key: verdict for verdict in _read_lines(path)[0]} if path.exists() else {}


def _read_lines(path: pathlib.Path) -> tuple[list[Stored], int]:
    """All whole lines and the number of bytes they take."""
    content = path.read_bytes()
    sound = content.rfind(b"\n") + 1
    return [_parse(line, path, row) for row, line in enumerate(content[:sound].splitlines())], sound


def _parse(line: bytes, path: pathlib.Path, row: int) -> Stored:
    try:
        verdict = Stored(**json.loads(line))
        if (type(verdict.choice) is int) == (verdict.failure is None) and verdict.cost >= 0:
            return verdict
    except (ValueError, TypeError, RecursionError):
        pass
    raise ValueError(f"table {path.name}, row {row}: expected a verdict, found {line[:80]!r}")


def _lock(file, path: pathlib.Path) -> None:
    """The system frees the lock when the process ends, however it ends."""
    import fcntl  # not on Windows, where everything but this judge works

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ValueError(f"{path}: expected to write here alone, found it in use by another run") from error
