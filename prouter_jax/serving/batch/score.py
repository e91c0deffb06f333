"""Scores a file of (user, query) pairs in chunks: reads it, calls a scoring function and writes the picks."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.io import files
from prouter_jax.io.concurrency import in_background, prefetch
from prouter_jax.io.paths import is_remote, is_same_file, make_path, require_file, require_folder
from prouter_jax.serving.batch.read import Pairs, open_pairs
from prouter_jax.serving.batch.write import OUTPUT_COLUMNS, WRITERS, Scored

__all__ = ["Counts", "Job", "Scored", "make_job", "score_file", "write_rows"]


@dataclasses.dataclass(frozen=True)
class Counts:
    """Numbers of rows written, and of rows with an error among them."""

    rows: int
    errors: int


@dataclasses.dataclass(frozen=True)
class Job:
    """The arguments of one `score_file` call, which its docstring explains."""

    score: Callable[[dict[str, pa.Array]], Scored]
    input_path: pathlib.Path
    output_path: pathlib.Path
    strict: bool = False
    rows_at_once: int = 65536
    on_progress: Callable[[int, float | None], None] | None = None
    keep_formulas: bool = False


def score_file(
    score: Callable[[dict[str, pa.Array]], Scored],
    input_path: str | os.PathLike,
    output_path: str | os.PathLike,
    **options,
) -> Counts:
    """Scores every row of a file; the output has the input's columns, then llm, probabilities, basis and error.

    Rows keep their order, and memory does not grow with their number. The output appears whole or not at all. The
    suffix of each path is its format (.parquet, .csv, .jsonl). From JSONL to Parquet or CSV, columns of one simple
    type or of lists of texts keep their type; all others become JSON text.

    Args:
      score: function from the columns of a chunk to its picks. It gets those of user_id, query, query_id, task_id
        (string) and candidates (list of string, joined names as a list of that text) that the input has; empty cells
        are null. One thread calls it, other threads read and write.
      input_path: a file with the column user_id, and query or query_id.
      output_path: a path in an existing folder; an old file is replaced.
      **options: strict (bool): stop at the first row with an error. rows_at_once (int): largest number of rows in a
        chunk. on_progress: called after each chunk with the number of rows scored and the fraction of the file.
        keep_formulas (bool): write CSV texts that begin with = + - or @ as they are, not with an apostrophe before.

    Raises:
      ValueError: one line with the file and, where it applies, column and row (from 0).
    """
    job = make_job(score, input_path, output_path, **options)
    return write_rows(job, open_pairs(job.input_path, job.rows_at_once, OUTPUT_COLUMNS), job.output_path)


def make_job(score: Callable, input_path: str | os.PathLike, output_path: str | os.PathLike, **options) -> Job:
    """Checks the paths of a `score_file` call and returns its arguments."""
    check_paths(input_path, output_path)
    source, target = make_path(input_path), make_path(output_path)
    return Job(score, source, target, **options)


def check_paths(input_path: str | os.PathLike, output_path: str | os.PathLike) -> None:
    """Checks paths before anything is loaded.

    Raises:
      ValueError: on an unsupported suffix, a missing input or output folder, or the same file for both.
    """
    source, target = make_path(input_path), make_path(output_path)
    for path in (source, target):
        if path.suffix not in WRITERS:
            raise ValueError(f"table {path.name}: expected one of {', '.join(WRITERS)}, found {path.suffix!r}")
    require_file(source)
    if not is_remote(target):
        require_folder(target.parent)
    if is_same_file(source, target):
        raise ValueError(f"table {target.name}: expected an output that is not the input, found the same file")


def write_rows(job: Job, pairs: Pairs, target: pathlib.Path, rows: tuple[int, int] | None = None) -> Counts:
    """Scores rows of the input and writes them in the output's format.

    Args:
      job: the arguments of `score_file`.
      rows: first and last row (exclusive); None for all. A file of a range has no CSV header, as for a joined file.
    """
    first, last = rows or (0, None)
    done = errors = 0
    with (
        files.open_whole(target) as file,
        WRITERS[job.output_path.suffix](file, pairs.schema, rows is None, job.keep_formulas) as writer,
        in_background(writer.write) as write,
        contextlib.closing(prefetch(pairs.chunks(first, last))) as chunks,
    ):
        for chunk in chunks:
            scored = _with_errors(job.score(chunk.columns), chunk.bad)
            wrong = len(scored.error) - scored.error.null_count
            if job.strict and wrong:
                bad = int(scored.error.is_valid().to_numpy(zero_copy_only=False).argmax())
                raise ValueError(f"table {job.input_path.name}, row {first + done + bad}: {scored.error[bad]}")
            write(chunk, scored)
            done, errors = done + len(scored.error), errors + wrong
            if job.on_progress is not None:
                job.on_progress(done, chunk.fraction if last is None else done / (last - first))
    return Counts(done, errors)


def _with_errors(scored: Scored, bad: dict[int, str]) -> Scored:
    """Replaces the picks of the rows in `bad` by their error messages."""
    if not bad:
        return scored
    wrong = np.zeros(len(scored.error), bool)
    wrong[list(bad)] = True
    messages = pa.array([bad.get(row) for row in range(len(wrong))], pa.string())
    keep = pa.array(~wrong)
    none = pa.nulls(len(wrong), pa.string())
    return dataclasses.replace(
        scored,
        llm=pc.if_else(keep, scored.llm, none),  # pyright: ignore[reportAttributeAccessIssue]
        probabilities=np.where(wrong[:, None], np.nan, scored.probabilities),
        basis=pc.if_else(keep, scored.basis, none),  # pyright: ignore[reportAttributeAccessIssue]
        error=pc.if_else(keep, scored.error, messages),  # pyright: ignore[reportAttributeAccessIssue]
    )
