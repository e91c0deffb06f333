"""Runs the evaluation protocol: measures the units without a stored result, writes the tables and the page of all.

A unit is one piece of work, a setting with one seed. Its result is one file, replaced atomically. Processes that run on
the same folder share the units by locks.
"""

import dataclasses
import hashlib
import json
import math
import pathlib
import statistics
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from prouter_jax.evaluation.protocol.definition import Definition, MissingData, Requirement, Unit, check_measurement
from prouter_jax.evaluation.protocol.page import to_html
from prouter_jax.evaluation.protocol.report import MET, NOT_MEASURED, finding_text, missed_text, to_markdown
from prouter_jax.evaluation.protocol.storage import read_tables, table_path, to_json
from prouter_jax.evaluation.protocol.table import Group, RequirementResult, Table, build_groups, join_facts
from prouter_jax.io import files
from prouter_jax.io.display import provenance
from prouter_jax.io.locks import Busy, lock
from prouter_jax.training.multihost import Preempted

REPORT = "report/report.html"
_POLL_SECONDS = 1.0  # between two checks of units that other processes are measuring


@dataclasses.dataclass(frozen=True)
class Work:
    """The results of a table's units.

    Attributes:
      records: the stored record of each finished unit, in order: a dict with "digest" (hash of the unit's arguments),
        "seconds", "provenance" and "measurements".
      failures: a line for each failed unit, by key; units that miss the same data set have the same line.
      busy: keys of the units that other processes are measuring.
    """

    records: list[dict]
    failures: Mapping[str, str]
    busy: Sequence[str] = ()


def reproduce(
    definitions: Iterable[Definition], workdir: pathlib.Path, small: bool, until: float = math.inf
) -> list[str]:
    """Measures the units without a result; writes tables/NAME.json and NAME.md of each table, and the page of all.

    Units that other processes measure into the same folder are waited for at the end.

    Args:
      small: whether the definitions have the small size; a workdir has results of one size only.
      until: time on `time.monotonic()` after which no unit is started.

    Returns:
      One line for each failed unit, each missing data set, and each table whose stored results are refused.

    Raises:
      ValueError: naming the file, if a file among the tables is not a table.
    """
    problems: dict[str, Iterable[str]] = {}
    waiting, failed = list(definitions), {}
    while waiting:
        for definition in list(waiting):
            name = definition.name
            try:
                work = run_units(definition, workdir, small, until, failed.get(name, {}))
                failed[name] = work.failures
                if work.busy:
                    continue
                table = build_table(definition, work, small)
            except ValueError as error:
                problems[name] = [f"table {name}: {error}"]
            else:
                problems[name] = work.failures.values()
                _write(table, workdir)
            waiting.remove(definition)
        if waiting:
            time.sleep(_POLL_SECONDS)
    return list(dict.fromkeys(line for lines in problems.values() for line in lines))


def run_units(
    definition: Definition,
    workdir: pathlib.Path,
    small: bool,
    until: float = math.inf,
    failed: Mapping[str, str] = MappingProxyType({}),
) -> Work:
    """Measures the units without a result in WORKDIR/units/NAME; the others go on after a failure.

    Args:
      small: the size, which a stored result must have as well.
      until: time on `time.monotonic()` after which no unit is started; units without a result then count as failed.
      failed: failures of an earlier call by key; these units are not tried again.

    Raises:
      ValueError: naming the file, if a stored result is damaged or was measured with other arguments.
    """
    keys = [unit.key for unit in definition.units]
    if len(set(keys)) < len(keys):
        raise ValueError(f"table {definition.name}: expected units of different keys, found {sorted(keys)}")
    paths = [workdir / "units" / definition.name / f"{key}.json" for key in keys]
    digests = [_digest(definition.name, unit, small) for unit in definition.units]
    # a result to refuse is found before any unit runs
    stored = [_read(path, digest) for path, digest in zip(paths, digests, strict=True)]
    progress = _Progress(definition.name, [record["seconds"] for record in stored if record], len(keys))
    records, failures, busy = [], dict(failed), []
    for unit, path, digest, record in zip(definition.units, paths, digests, stored, strict=True):
        if unit.key in failed:
            continue
        if record is None and time.monotonic() >= until:
            record = {"failure": "time is up before all units were measured; the same command goes on"}
        elif record is None:
            log = workdir / "failures" / definition.name / f"{unit.key}.txt"
            try:
                record = _run_locked(unit, path, digest, log, progress)
            except Busy:
                busy.append(unit.key)
                continue
        if "failure" in record:
            failures[unit.key] = f"table {definition.name}: {record['failure']}"
        else:
            records.append(record)
    return Work(records, failures, busy)


def build_table(definition: Definition, work: Work, small: bool) -> Table:
    """The table of the units' measurements.

    Raises:
      ValueError: naming the setting, if measurements contradict each other.
    """
    groups = build_groups(one for record in work.records for one in record["measurements"])
    results = [_judge(one, groups, complete=not work.failures) for one in definition.requirements]
    title = f"{definition.title} (small variant)" if small else definition.title
    facts = join_facts(record["provenance"] for record in work.records)
    seconds = math.fsum(record["seconds"] for record in work.records)
    kind, caption = definition.kind, definition.caption
    return Table(definition.name, title, caption, kind, groups, results, facts, seconds, list(work.failures))


def _judge(required: Requirement, groups: Sequence[Group], complete: bool) -> RequirementResult:
    """Checks a requirement; if units are missing, it is "not measured" where the measured groups meet it."""
    found = required.check(groups, required.metric)
    margin = found.margin
    if math.isnan(margin) or (margin >= 0 and not complete):
        return RequirementResult(required.text, required.aim, NOT_MEASURED, margin)
    status = missed_text(-margin) if margin < 0 else MET
    return RequirementResult(required.text, required.aim, status, margin, finding_text(found))


def _write(table: Table, workdir: pathlib.Path) -> None:
    """Writes a table as JSON and Markdown, then the page of all stored tables."""
    path, page = table_path(workdir, table.name), workdir / REPORT
    pages = {path: to_json(table), path.with_suffix(".md"): to_markdown(table)}
    for folder in (path.parent, page.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for place, text in pages.items():
        files.write_whole(place, text)
    files.write_whole(page, to_html(read_tables(workdir)))


def _digest(table: str, unit: Unit, small: bool) -> str:
    fields = {"table": table, "key": unit.key, "small": small, "arguments": unit.arguments}
    return hashlib.sha256(json.dumps(files.jsonable(fields), sort_keys=True).encode()).hexdigest()


def _read(path: pathlib.Path, digest: str) -> dict | None:
    """The stored record of a unit; None if there is none."""
    if not path.exists():
        return None
    try:
        record = files.read_sealed(path)
    except ValueError as error:
        raise ValueError(f"{path.parent}/{error}; delete it to measure it again") from error
    if record["digest"] != digest:
        raise ValueError(
            f"{path}: expected a result of the arguments of this unit, found that of others; name another --workdir"
        )
    return record


def _run_locked(unit: Unit, path: pathlib.Path, digest: str, log: pathlib.Path, progress: "_Progress") -> dict:
    """Runs a unit under its lock, or reads the record that another process has just written.

    Raises:
      Busy: if another process holds its lock, or the lock of the settings that it needs.
    """
    with lock(path.with_suffix(".lock")):
        record = _read(path, digest)
        if record is not None:
            progress.done += 1
            return record
        progress.begun()
        record = _run(unit, digest, log)
        _keep(record, path, log)
        progress.finished(unit.key, record)
        return record


def _run(unit: Unit, digest: str, log: pathlib.Path) -> dict:
    """Runs a unit; the record has only "failure" if it fails, and the traceback is in `log`."""
    begun = time.monotonic()
    try:
        result = unit.function(**unit.arguments)
        measurements = [files.jsonable(one) for one in (result if isinstance(result, list) else [result])]
        for one in measurements:
            check_measurement(one)
    except (Busy, Preempted):
        raise
    except MissingData as error:
        return {"failure": str(error)}
    except Exception as error:
        log.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(log, traceback.format_exc())
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return {"failure": f"{unit.key}: {message} ({log})"}
    return {"digest": digest, "arguments": files.jsonable(unit.arguments), "seconds": time.monotonic() - begun,
            "provenance": provenance(), "measurements": measurements}  # fmt: skip


def _keep(record: dict, path: pathlib.Path, log: pathlib.Path) -> None:
    """Writes a result and removes the log of an earlier failure."""
    if "failure" not in record:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_sealed(path, record)
        log.unlink(missing_ok=True)


class _Progress:
    """A line on stderr for each unit that ends: units done, its seconds, and the time left by the median unit."""

    def __init__(self, table: str, seconds: list[float], total: int):
        self.table, self.seconds, self.total = table, seconds, total
        self.done, self.silent = len(seconds), True

    def begun(self) -> None:
        """Prints the number of stored results before the first unit runs."""
        if self.silent and self.done:
            self._print(f"{self.done} of {self.total} units have a stored result")
        self.silent = False

    def finished(self, key: str, record: dict) -> None:
        """Prints how a unit ended."""
        self.done += 1
        if "failure" in record:
            self._print(f"unit {self.done}/{self.total}, {key} failed")
            return
        self.seconds.append(record["seconds"])
        left = statistics.median(self.seconds) * (self.total - self.done)
        self._print(f"unit {self.done}/{self.total}, {key}, {record['seconds']:.1f} s, {left:.0f} s left")

    def _print(self, text: str) -> None:
        print(f"{self.table}: {text}", file=sys.stderr, flush=True)
