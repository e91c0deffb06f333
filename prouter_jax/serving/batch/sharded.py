"""One file, scored by several processes: each writes a part of the rows, whoever comes last joins the parts.

Parts lie beside the output, in OUTPUT.parts/. A part counts once its sealed record is there, which says what decided
its rows and what its bytes are; so a process that was killed is started again, and a part of another input, another
router or another number of parts does not count. The joined file is that of one process, to the last bit.
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
from prouter_jax.serving.batch.read import Pairs
from prouter_jax.serving.batch.score import Counts, Job, make_job, open_job, write_rows
from prouter_jax.serving.batch.write import WRITERS


@dataclasses.dataclass(frozen=True)
class Shard:
    """Part `index`, from 0, of `number` parts of a file."""

    index: int
    number: int


@dataclasses.dataclass(frozen=True)
class Sharded:
    """What came of a process's work.

    Attributes:
      part: of the rows that are its part.
      kept: whether these were there from before.
      missing: the parts that are not there yet; the output is there if there are none.
    """

    part: Counts
    kept: bool
    missing: list[int]


def parse_shard(text: str) -> Shard:
    """Reads "I/N".

    Raises:
      ValueError: if that is not what it is.
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
    """Scores one part of a file, unless it is there already, and joins all parts if they are there.

    Args:
      score, input_path, output_path, options: as of `score_file`.
      decided_by: a digest of all that decides the answers: the router, and what is asked of its choices.

    Raises:
      ValueError: as `score_file`.
    """
    job = make_job(score, input_path, output_path, **options)
    pairs = open_job(job)
    parts = _Parts(job, shard.number, _binding(job, shard.number, decided_by))
    before = parts.read(shard.index)
    counts = parts.write(shard.index, pairs) if before is None else before
    missing = parts.missing()
    if not missing:
        parts.join(pairs)
    elif parts.read(shard.index) is None:
        missing = []  # another process has joined all parts meanwhile, and cleared them away
    return Sharded(counts, before is not None, missing)


def _binding(job: Job, number: int, decided_by: str) -> str:
    """A digest of all that decides what is in a part."""
    source = version_of(job.input_path)
    facts = [*source, job.output_path.suffix, job.rows_at_once, number, decided_by]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class _Parts:
    """The parts of a job, beside its output."""

    job: Job
    number: int
    binding: str

    def write(self, index: int, pairs: Pairs) -> Counts:
        """Scores a part and seals it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._record(index).unlink(missing_ok=True)
        counts = write_rows(self.job, pairs, self._rows(index), _part_of(index, self.number, self.job, pairs.count()))
        seal = {"binding": self.binding, "sha256": files.sha256_of(self._rows(index))}
        files.write_sealed(self._record(index), seal | dataclasses.asdict(counts))
        return counts

    def read(self, index: int) -> Counts | None:
        """What is in a part; None if it is not there, not whole, or of another job."""
        try:
            record = files.read_sealed(self._record(index))
            whole = record["binding"] == self.binding and files.sha256_of(self._rows(index)) == record["sha256"]
        except (ValueError, FileNotFoundError):
            return None
        return Counts(record["rows"], record["errors"]) if whole else None

    def missing(self) -> list[int]:
        return [index for index in range(self.number) if self.read(index) is None]

    def join(self, pairs: Pairs) -> None:
        """Makes the output of all parts and clears them away; two processes may do it at once."""
        try:
            with (
                files.open_whole(self.job.output_path) as file,
                WRITERS[self.job.output_path.suffix](file, pairs.schema) as writer,
            ):
                for index in range(self.number):
                    with self._rows(index).open("rb") as part:
                        writer.append(part)
        except FileNotFoundError:
            if not self.missing():
                raise
            return  # the other process was faster
        self._clear()

    def _clear(self) -> None:
        """Deletes the parts, and what killed processes left of them; the folder stays if it holds those of others."""
        with contextlib.suppress(OSError):
            for path in list_folder(self._folder):
                if f"-of-{self.number}." in path.name:
                    path.unlink(missing_ok=True)
            if not is_remote(self._folder):
                self._folder.rmdir()

    @property
    def _folder(self) -> pathlib.Path:
        return self.job.output_path.with_name(f"{self.job.output_path.name}.parts")

    def _rows(self, index: int) -> pathlib.Path:
        return self._folder / f"{index}-of-{self.number}{self.job.output_path.suffix}"

    def _record(self, index: int) -> pathlib.Path:
        return self._folder / f"{index}-of-{self.number}.json"


def _part_of(index: int, number: int, job: Job, total: int) -> tuple[int, int]:
    """First row and end of a part: whole chunks, so that what is scored together is what one process would."""
    chunks = -(-total // job.rows_at_once)
    first, last = (min(chunks * edge // number * job.rows_at_once, total) for edge in (index, index + 1))
    return first, last
