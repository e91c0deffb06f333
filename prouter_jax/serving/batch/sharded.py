"""Sharded scoring: several processes score one file; each writes one part, and the last one joins the parts.

Parts are in the folder OUTPUT.parts/. A part is complete once its record is written: a file with the SHA-256 of the
part and a digest of all inputs (file, router, number of parts). So a killed process can be started again, and parts of
other inputs are ignored. The joined file equals that of a single process to the last bit.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable

from prouter_jax.io import files
from prouter_jax.io.files import version_of
from prouter_jax.io.paths import is_remote, list_folder
from prouter_jax.serving.batch.read import Pairs, open_pairs
from prouter_jax.serving.batch.score import Counts, Job, make_job, write_rows
from prouter_jax.serving.batch.write import OUTPUT_COLUMNS, WRITERS


@dataclasses.dataclass(frozen=True)
class Shard:
    """A part of a file.

    Attributes:
      index: number of the part, from 0.
      number: number of all parts.
    """

    index: int
    number: int


@dataclasses.dataclass(frozen=True)
class Sharded:
    """Result of one process.

    Attributes:
      part: row counts of its part.
      kept: whether the part had been scored before.
      missing: parts that are not scored yet; if there are none, the output is written.
    """

    part: Counts
    kept: bool
    missing: list[int]


def parse_shard(text: str) -> Shard:
    """Parses "I/N", such as "0/3".

    Raises:
      ValueError: on another format, or if I is not below N.
    """
    index, _, number = text.partition("/")
    if not (index.isdecimal() and number.isdecimal() and int(index) < int(number)):
        raise ValueError(f"shard: expected I/N with I from 0 to N - 1, found {text!r}")
    return Shard(int(index), int(number))


def score_shard(
    score: Callable,
    input_path: str | os.PathLike,
    output_path: str | os.PathLike,
    shard: Shard,
    decided_by: str,
    **options,
) -> Sharded:
    """Scores one part of a file unless it is complete already, and joins the parts if all are complete.

    Args:
      score, input_path, output_path, options: as for `score_file`.
      decided_by: digest of everything besides the input that determines the picks: router and constraints.
    """
    job = make_job(score, input_path, output_path, **options)
    pairs = open_pairs(job.input_path, job.rows_at_once, OUTPUT_COLUMNS)
    parts = _Parts(job, shard.number, _binding(job, shard.number, decided_by))
    before = parts.read(shard.index)
    counts = parts.write(shard.index, pairs) if before is None else before
    missing = parts.missing()
    if not missing:
        parts.join(pairs)
    elif parts.read(shard.index) is None:
        missing = []  # another process has joined and deleted the parts in the meantime
    return Sharded(counts, before is not None, missing)


def _binding(job: Job, number: int, decided_by: str) -> str:
    """SHA-256 of everything that determines the bytes of the parts."""
    source = version_of(job.input_path)
    facts = [*source, job.output_path.suffix, job.rows_at_once, job.keep_formulas, number, decided_by]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class _Parts:
    """The files of all parts of a job."""

    job: Job
    number: int
    binding: str

    def write(self, index: int, pairs: Pairs) -> Counts:
        """Scores a part and writes its record."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._record(index).unlink(missing_ok=True)
        counts = write_rows(self.job, pairs, self._rows(index), _part_of(index, self.number, self.job, pairs.count()))
        record = {"binding": self.binding, "sha256": files.sha256_of(self._rows(index))}
        files.write_sealed(self._record(index), record | dataclasses.asdict(counts))
        return counts

    def read(self, index: int) -> Counts | None:
        """Row counts of a part; None if it is missing, incomplete, damaged or of another job."""
        try:
            record = files.read_sealed(self._record(index))
            valid = record["binding"] == self.binding and files.sha256_of(self._rows(index)) == record["sha256"]
        except (ValueError, FileNotFoundError):
            return None
        return Counts(record["rows"], record["errors"]) if valid else None

    def missing(self) -> list[int]:
        return [index for index in range(self.number) if self.read(index) is None]

    def join(self, pairs: Pairs) -> None:
        """Writes the output from all parts and deletes them; two processes may do so at once."""
        try:
            with (
                files.open_whole(self.job.output_path) as file,
                WRITERS[self.job.output_path.suffix](file, pairs.schema, True, self.job.keep_formulas) as writer,
            ):
                for index in range(self.number):
                    with self._rows(index).open("rb") as part:
                        writer.append(part)
        except FileNotFoundError:
            if not self.missing():
                raise
            return  # another process has joined and deleted the parts
        self._clear()

    def _clear(self) -> None:
        """Deletes these parts and leftovers of killed processes; the folder stays if it has other files."""
        with contextlib.suppress(OSError):
            for path in list_folder(self._folder):
                if f"-of-{self.number}." in path.name and not path.name.startswith("."):
                    with contextlib.suppress(OSError):  # the others go nevertheless; the same command clears again
                        path.unlink(missing_ok=True)
            if not is_remote(self._folder):
                files.remove_leftovers(self._folder)
                self._folder.rmdir()

    @property
    def _folder(self) -> pathlib.Path:
        return self.job.output_path.with_name(f"{self.job.output_path.name}.parts")

    def _rows(self, index: int) -> pathlib.Path:
        return self._folder / f"{index}-of-{self.number}{self.job.output_path.suffix}"

    def _record(self, index: int) -> pathlib.Path:
        return self._folder / f"{index}-of-{self.number}.json"


def _part_of(index: int, number: int, job: Job, total: int) -> tuple[int, int]:
    """First and last row (exclusive) of a part: whole chunks, so that chunks are those of a single process."""
    chunks = -(-total // job.rows_at_once)
    first, last = (min(chunks * edge // number * job.rows_at_once, total) for edge in (index, index + 1))
    return first, last
