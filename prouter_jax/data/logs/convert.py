"""Converts log files to a folder of tables in pieces; memory is nearly independent of their length."""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.logs.decisions import Codings, LogTables
from prouter_jax.data.logs.fields import FIELDS, nearest
from prouter_jax.data.logs.pieces import Columns, Piece
from prouter_jax.data.logs.presets import Preset
from prouter_jax.data.logs.privacy import hash_users, mask_texts, mask_users, require_mask
from prouter_jax.data.logs.queries import MOST_TO_MERGE, Merged, SeenIds, merge_near, query_ids
from prouter_jax.data.logs.reader import read_objects, read_pieces
from prouter_jax.data.logs.requests import RequestReader, Requests
from prouter_jax.data.logs.summary import Counts, Summary
from prouter_jax.data.logs.tables import OutcomeMeans, TableWriter
from prouter_jax.data.tables.read_write import check_no_other_tables, find_tables
from prouter_jax.data.tables.unfinished import is_unfinished, mark_finished, mark_unfinished
from prouter_jax.io import files
from prouter_jax.io.concurrency import prefetch
from prouter_jax.io.locks import lock_folder
from prouter_jax.io.paths import make_path

COUNTS = "log.json"
"""File name of the counts in the folder."""
MASKED = ("user", "query", "task", "served", "candidates")
"""Fields in which secrets and addresses are masked."""
_Progress = Callable[[int, float], None]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a conversion.

    Attributes:
      columns: names of the columns of each field, see `fields.parse_columns`.
      named: the fields whose columns the caller named: they must be there, and such a column of users is not doubted.
      preset: how the gateway's log is read, besides its columns; None for a row an object.
      thumbs: the meaning of thumbs, see `thumbs.parse_thumbs`; None finds it.
      rating_range: lowest and highest rating, mapped to 0 and 1; None finds them.
      strict: whether the first row that cannot be used is an error.
      hash_key: key of the hash of users; None keeps users.
      mask: whether secrets and e-mail addresses are masked in queries, tasks, names of LLMs and ids of users.
      mask_key: keeps masked users apart; a new one for each conversion.
      merge_near: least cosine of text vectors at which two queries are merged; None merges equal texts only.
    """

    columns: Columns = dataclasses.field(default_factory=lambda: dict(FIELDS))
    named: tuple[str, ...] = ()
    preset: Preset | None = None
    thumbs: dict[str, float] | None = None
    rating_range: tuple[float, float] | None = None
    strict: bool = False
    hash_key: bytes | None = dataclasses.field(default=None, repr=False)
    mask: bool = False
    mask_key: bytes = dataclasses.field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    merge_near: float | None = None


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The usable rows of a piece."""

    requests: Requests
    piece: Piece
    reasons: list[tuple[str, int, int]]
    masked: dict[str, int]
    share: float


def convert_log(
    inputs: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    options: Options,
    on_progress: _Progress = lambda rows, share: None,
) -> Counts:
    """Writes tables for `read_tables`, logged.parquet for off-policy estimates, and the counts in log.json.

    Each request becomes a decision. A thumb (1 or 0) or rating becomes feedback on the served LLM; the other candidates
    are on offer without feedback. Outcomes are the mean cost and tokens of each query and LLM.

    Args:
      inputs: log files, see `reader`.
      folder: of the tables; created if missing.
      on_progress: called with the number of rows read and the finished share of the work.

    Returns:
      The counts.

    Raises:
      ValueError: if the input is invalid, the folder holds tables, another command writes to it, or no row is usable.
        Nothing is written.
      ImportError: if `options.mask` needs an extra that is not installed.
    """
    if options.mask:
        require_mask()
    folder = make_path(folder)
    with lock_folder(folder):
        found = find_tables(folder)
        if found and not is_unfinished(folder):
            raise ValueError(f"{folder}: expected a folder without tables, found {found[0]}; name another")
        return _convert(inputs, folder, options, on_progress)


def examine_log(
    inputs: Sequence[str | os.PathLike], options: Options, on_progress: _Progress = lambda rows, share: None
) -> tuple[Counts, str]:
    """Reads a log as `convert_log` does, and writes nothing.

    Returns:
      The counts, without the number of merged queries; and a table of the columns with a few rows, in Markdown.

    Raises:
      ValueError, ImportError: as `convert_log`.
    """
    if options.mask:
        require_mask()
    reader, summary, seen = _start(options)
    for rows in _read(inputs, options, reader):
        summary.add(rows.requests, rows.piece, rows.reasons, rows.masked)
        summary.counts.queries += len(seen.first(query_ids(rows.requests.task, rows.requests.query)))
        on_progress(summary.counts.rows, rows.share)
    _finish(options, reader, summary)
    return summary.counts, summary.example_table(reader.thumbs.values)


def _convert(
    inputs: Sequence[str | os.PathLike], folder: pathlib.Path, options: Options, on_progress: _Progress
) -> Counts:
    merged, first = None, 0.0
    if options.merge_near:
        merged, first = _find_near(inputs, options, lambda rows, share: on_progress(rows, share / 2)), 0.5
    reader, summary, _ = _start(options)
    with TableWriter(folder) as writer, OutcomeMeans() as outcomes, tempfile.TemporaryFile() as later:
        tables = LogTables(writer, outcomes, later, merged)
        for rows in _read(inputs, options, reader):
            tables.add(rows.requests)
            summary.add(rows.requests, rows.piece, rows.reasons, rows.masked)
            on_progress(summary.counts.rows, first + (1 - first) * rows.share)
        tables.finish(_finish(options, reader, summary))
        check_no_other_tables(folder, writer.files)
        mark_unfinished(folder)
    summary.counts.queries = tables.queries
    files.write_whole(folder / COUNTS, json.dumps(vars(summary.counts), indent=2) + "\n")
    mark_finished(folder)
    return summary.counts


def _start(options: Options) -> tuple[RequestReader, Summary, SeenIds]:
    masked: dict[str, int] | None = dict.fromkeys(map(str, MASKED), 0) if options.mask else None
    counts = Counts(users_hashed=options.hash_key is not None, masked=masked)
    units = options.preset.units if options.preset else {}
    return RequestReader(options.columns, options.rating_range, units), Summary(counts), SeenIds()


def _finish(options: Options, reader: RequestReader, summary: Summary) -> Codings:
    """The codings of a log that was read; checks what is known after its last row.

    Raises:
      ValueError: if no row was kept, a named column is nowhere, a coding is ambiguous or one user has most rows.
    """
    counts = summary.counts
    if not counts.kept:
        most = sorted(counts.dropped.items(), key=lambda item: -item[1])
        found = ", ".join(f"{number:,} {reason}" for reason, number in most) or "no rows"
        first = f"; first: {counts.first_dropped[most[0][0]]}" if most else ""
        raise ValueError(f"log: expected a row that can be used, found none ({found}{first})")
    for field in options.named:
        _check_named(field, options.columns[field], reader)
    if "user" not in options.named:
        summary.users.check(tuple(reader.found["user"]))
    coding = reader.thumbs.coding(options.thumbs)
    if options.strict and coding.unreadable:
        raise ValueError(f"log, thumbs: expected thumbs of known meaning, found {', '.join(coding.unreadable)}")
    rating_range = reader.ratings.range(options.rating_range)
    summary.finish(coding, reader, rating_range)
    return Codings(np.append(coding.meaning, np.nan), rating_range, reader.latencies.seconds())


def _check_named(field: str, columns: tuple[str, ...], reader: RequestReader) -> None:
    for column in columns:
        if column not in reader.names:
            near = nearest(column, reader.names)
            raise ValueError(f"columns, {field}={column}: expected this column in the log, found {near}")


def _read(inputs: Sequence[str | os.PathLike], options: Options, reader: RequestReader) -> Iterator[_Rows]:
    """Usable rows of all files, and the share of the files read."""
    expand = None
    if options.preset and options.preset.expand:
        expand = options.preset.expand(value for path in inputs for value in read_objects(path))
    for number, path in enumerate(inputs):
        with contextlib.closing(prefetch(read_pieces(path, options.columns, expand))) as pieces:
            for piece in pieces:
                requests, reasons = reader.read(piece)
                reasons += [(reason, 1, row) for reason, row in piece.dropped]
                if reasons and options.strict:
                    reason, _, row = min(reasons, key=lambda found: found[2])
                    raise ValueError(f"log {piece.place(row)}: {reason}; without --strict such rows are dropped")
                if options.hash_key is not None:
                    requests = dataclasses.replace(requests, user=hash_users(requests.user, options.hash_key))
                requests, masked = _mask(requests, options) if options.mask else (requests, {})
                yield _Rows(requests, piece, reasons, masked, (number + piece.share) / len(inputs))


def _mask(requests: Requests, options: Options) -> tuple[Requests, dict[str, int]]:
    """Masks all texts, and counts the rows in which something was masked, by field."""
    columns = {
        "user": requests.user if options.hash_key is not None else mask_users(requests.user, options.mask_key),
        "query": mask_texts(requests.query, random_words=True),
        "task": mask_texts(requests.task),
    }
    masked = {name: _count_changed(getattr(requests, name), column) for name, column in columns.items()}
    llms = mask_texts(pa.array(requests.llms, pa.large_string())).to_pylist()
    changed = np.array([one != other for one, other in zip(llms, requests.llms, strict=True)], bool)
    listed = np.append((requests.sets & changed).any(1), False)[requests.offer]  # -1: no list
    masked |= {"served": int(changed[requests.served].sum()), "candidates": int(listed.sum())}
    return dataclasses.replace(requests, **columns, llms=llms), masked


def _count_changed(before: pa.Array, after: pa.Array) -> int:
    return pc.sum(pc.not_equal(before, after)).as_py() or 0  # pyright: ignore[reportAttributeAccessIssue]


def _find_near(inputs: Sequence[str | os.PathLike], options: Options, on_progress: _Progress) -> Merged:
    """Merges near queries in a first pass over the files."""
    seen, ids, tasks, texts, count = SeenIds(), [], [], [], 0
    for rows in _read(inputs, options, _start(options)[0]):
        requests = rows.requests
        found = query_ids(requests.task, requests.query)
        new = seen.first(found)
        ids.append(found[new])
        tasks += requests.task.take(pa.array(new)).to_pylist()
        texts += requests.query.take(pa.array(new)).to_pylist()
        count += len(rows.piece.number) + len(rows.piece.dropped)
        if len(texts) > MOST_TO_MERGE:
            break  # merge_near raises an error for so many
        on_progress(count, rows.share)
    return merge_near(np.concatenate([*ids, np.zeros(0, np.int64)]), tasks, texts, options.merge_near or 1.0)
