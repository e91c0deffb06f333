"""Converts log files to a folder of tables in pieces; memory is nearly independent of their length."""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data.logs.privacy import hash_users, mask_texts, mask_users, require_mask
from prouter_jax.data.logs.queries import MOST_TO_MERGE, Merged, SeenIds, merge_near, query_ids
from prouter_jax.data.logs.reader import read_pieces
from prouter_jax.data.logs.requests import FIELDS, Requests, read_requests
from prouter_jax.data.logs.tables import LogTables, OutcomeMeans, TableWriter
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
      columns: names of the columns of each field, see `requests.parse_columns`.
      rating_range: lowest and highest rating, mapped to 0 and 1; None keeps ratings.
      hash_key: key of the hash of users; None keeps users.
      mask: whether secrets and e-mail addresses are masked in queries, tasks, names of LLMs and ids of users.
      mask_key: keeps masked users apart; a new one for each conversion.
      merge_near: least cosine of text vectors at which two queries are merged; None merges equal texts only.
    """

    columns: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=lambda: dict(FIELDS))
    rating_range: tuple[float, float] | None = None
    hash_key: bytes | None = dataclasses.field(default=None, repr=False)
    mask: bool = False
    mask_key: bytes = dataclasses.field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    merge_near: float | None = None


@dataclasses.dataclass
class Counts:
    """Counts of a conversion.

    Attributes:
      rows: rows of the files.
      kept: rows that became decisions.
      judged: decisions with a thumb or rating.
      told: decisions with a propensity.
      queries, llms: numbers of distinct ones.
      dropped: rows that are no decisions, by reason (see `requests`).
      users_hashed: whether ids of users are hashes under a key of the caller.
      masked: decisions in which a secret or an address was masked, by field; None if nothing was looked for.
    """

    rows: int = 0
    kept: int = 0
    judged: int = 0
    told: int = 0
    queries: int = 0
    llms: int = 0
    dropped: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    users_hashed: bool = False
    masked: dict[str, int] | None = None


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
      inputs: log files, .jsonl or .parquet.
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


def _convert(
    inputs: Sequence[str | os.PathLike], folder: pathlib.Path, options: Options, on_progress: _Progress
) -> Counts:
    merged, first = None, 0.0
    if options.merge_near:
        merged, first = _find_near(inputs, options, lambda rows, share: on_progress(rows, share / 2)), 0.5
    counts = Counts(
        users_hashed=options.hash_key is not None, masked=dict.fromkeys(MASKED, 0) if options.mask else None
    )
    with TableWriter(folder) as writer, OutcomeMeans() as outcomes:
        tables = LogTables(writer, outcomes, merged)
        for requests, dropped, found, share in _read(inputs, options):
            tables.add(requests)
            _count(counts, requests, dropped, found)
            on_progress(counts.rows, first + (1 - first) * share)
        if not counts.kept:
            found = ", ".join(f"{number} {reason}" for reason, number in counts.dropped.most_common()) or "no rows"
            raise ValueError(f"log: expected a row that can be used, found none ({found})")
        tables.finish()
        check_no_other_tables(folder, writer.files)
        mark_unfinished(folder)
    counts.queries, counts.llms = tables.queries, tables.llms
    files.write_whole(folder / COUNTS, json.dumps(vars(counts), indent=2) + "\n")
    mark_finished(folder)
    return counts


def _read(
    inputs: Sequence[str | os.PathLike], options: Options
) -> Iterator[tuple[Requests, collections.Counter, dict[str, int], float]]:
    """Usable rows of all files, numbers of dropped and of masked rows, and the share of the files read."""
    for number, path in enumerate(inputs):
        with contextlib.closing(prefetch(read_pieces(path, options.columns))) as pieces:
            for piece in pieces:
                requests, dropped = read_requests(piece.table, options.columns, options.rating_range)
                if options.hash_key is not None:
                    requests = dataclasses.replace(requests, user=hash_users(requests.user, options.hash_key))
                requests, masked = _mask(requests, options) if options.mask else (requests, {})
                yield requests, dropped + piece.dropped, masked, (number + piece.share) / len(inputs)


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


def _count(counts: Counts, requests: Requests, dropped: collections.Counter, masked: dict[str, int]) -> None:
    kept = len(requests.served)
    counts.rows += kept + dropped.total()
    counts.kept += kept
    counts.judged += int((~np.isnan(requests.reward)).sum())
    counts.told += int((~np.isnan(requests.numbers["propensity"])).sum())
    counts.dropped += dropped
    if counts.masked is not None:
        counts.masked = {name: number + masked[name] for name, number in counts.masked.items()}


def _find_near(inputs: Sequence[str | os.PathLike], options: Options, on_progress: _Progress) -> Merged:
    """Merges near queries in a first pass over the files."""
    seen, ids, tasks, texts, rows = SeenIds(), [], [], [], 0
    for requests, dropped, _, share in _read(inputs, options):
        found = query_ids(requests.task, requests.query)
        new = seen.first(found)
        ids.append(found[new])
        tasks += requests.task.take(pa.array(new)).to_pylist()
        texts += requests.query.take(pa.array(new)).to_pylist()
        rows += len(found) + dropped.total()
        if len(texts) > MOST_TO_MERGE:
            break  # merge_near raises an error for so many
        on_progress(rows, share)
    return merge_near(np.concatenate([*ids, np.zeros(0, np.int64)]), tasks, texts, options.merge_near or 1.0)
