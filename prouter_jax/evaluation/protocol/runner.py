"""Resumable work: each unit's result is a file, written whole; started again, what is there is read, not run.

Processes that are started on the same folder share the work: each leaves out what another is at.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import math
import pathlib
import statistics
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from prouter_jax.evaluation.protocol.definition import Definition, MissingData, Requirement, Unit
from prouter_jax.evaluation.protocol.page import to_html
from prouter_jax.evaluation.protocol.report import MET, NOT_MEASURED, finding_text, missed_text, to_markdown
from prouter_jax.evaluation.protocol.storage import read_tables, table_path, to_json
from prouter_jax.evaluation.protocol.table import Cell, Table, Verdict, build_cells, join_facts
from prouter_jax.io import files
from prouter_jax.io.provenance import provenance
from prouter_jax.report.types import ROUTER
from prouter_jax.report.write import jsonable

METRICS = ("reward", "accuracy", "log_loss")
_REQUIRED = {"setting": str, "seed": int, "metric": str, "policies": Mapping}


def check_measurement(one: object) -> None:
    """Raises a ValueError, naming the field, unless `one` is a measurement as `Unit` describes it."""
    if not isinstance(one, Mapping):
        raise ValueError(f"measurement: expected a mapping, found {str(one)[:60]!r}")
    for name, kind in _REQUIRED.items():
        if not isinstance(one.get(name), kind):
            raise ValueError(f"measurement, {name}: expected {kind.__name__}, found {one.get(name)!r}")
    if one["metric"] not in METRICS:
        raise ValueError(f"measurement, metric: expected one of {', '.join(METRICS)}, found {one['metric']!r}")
    if not isinstance(one.get("k", ""), int | None):
        raise ValueError(f"measurement, k: expected a whole number or null, found {one.get('k', 'nothing')!r}")
    if ROUTER not in one["policies"]:
        raise ValueError(f"measurement, policies: expected {ROUTER!r}, found {', '.join(one['policies'])}")
    for end in ("blind", "full"):
        _check_number(one.get(end), end)
    for policy, values in one["policies"].items():
        _check_policy(policy, values, one["metric"])


def _check_policy(policy: str, values: Mapping, metric: str) -> None:
    if metric not in values or (policy == ROUTER and values[metric] is None):
        known = ", ".join(name for name, value in values.items() if value is not None)
        raise ValueError(f"measurement, policies, {policy}: expected {metric}, found {known or 'nothing'}")
    for name, value in values.items():
        if name != "settings":
            _check_number(value, f"policies, {policy}, {name}")


def _check_number(value, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError(f"measurement, {where}: expected a number or null, found {str(value)[:60]}")


class Busy(Exception):
    """Another process is at it."""


@contextlib.contextmanager
def claim(path: pathlib.Path) -> Iterator[None]:
    """Holds the claim `path`, a file that is there no longer than the work takes.

    Raises:
      Busy: if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(str(path)) from None
        try:
            yield
        finally:
            # who opened it a moment ago holds a nameless file then: at worst something is measured twice
            path.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class Work:
    """What the units of a table came to.

    Attributes:
      records: of each finished unit, in order: "digest", "seconds", "provenance", "measurements".
      failures: a line for each unit that failed, by key; units that miss the same folder of data have the same line.
      busy: keys of the units that other processes are at.
    """

    records: list[dict]
    failures: Mapping[str, str]
    busy: Sequence[str] = ()


def run_units(
    definition: Definition,
    workdir: pathlib.Path,
    small: bool,
    until: float = math.inf,
    failed: Mapping[str, str] = MappingProxyType({}),
) -> Work:
    """Runs the units that are not yet in WORKDIR/units/NAME; a failing one leaves a traceback and the rest goes on.

    Args:
      small: part of what a stored result is good for.
      until: `time.monotonic()` from which on no unit is begun; those that are left count as failed.
      failed: failures of earlier, which are not tried again.

    Raises:
      ValueError: naming the file, if a stored result is damaged or was measured with other arguments.
    """
    keys = [unit.key for unit in definition.units]
    if len(set(keys)) < len(keys):
        raise ValueError(f"table {definition.name}: expected units of different keys, found {sorted(keys)}")
    paths = [workdir / "units" / definition.name / f"{key}.json" for key in keys]
    digests = [_digest(definition.name, unit, small) for unit in definition.units]
    stored = [_read(path, digest) for path, digest in zip(paths, digests, strict=True)]  # all, before anything runs
    progress = _Progress(definition.name, [record["seconds"] for record in stored if record], len(keys))
    records, failures, busy = [], dict(failed), []
    for unit, path, digest, record in zip(definition.units, paths, digests, stored, strict=True):
        if unit.key in failed:
            continue
        if record is None and time.monotonic() >= until:
            record = {"failure": "time is up before all units were measured; given again it goes on"}
        elif record is None:
            log = workdir / "failures" / definition.name / f"{unit.key}.txt"
            try:
                record = _claimed(unit, path, digest, log, progress)
            except Busy:
                busy.append(unit.key)
                continue
        if "failure" in record:
            failures[unit.key] = f"table {definition.name}: {record['failure']}"
        else:
            records.append(record)
    return Work(records, failures, busy)


def _digest(table: str, unit: Unit, small: bool) -> str:
    asked = {"table": table, "key": unit.key, "small": small, "arguments": unit.arguments}
    return hashlib.sha256(json.dumps(jsonable(asked), sort_keys=True).encode()).hexdigest()


def _read(path: pathlib.Path, digest: str) -> dict | None:
    """The record of a unit that finished earlier, None if it has not."""
    if not path.exists():
        return None
    try:
        record = files.read_sealed(path)
    except ValueError as error:
        raise ValueError(f"{path.parent}/{error}; delete it to measure it again") from error
    if record["digest"] != digest:
        raise ValueError(
            f"{path}: expected what is asked for now, found a result of other arguments; name another --workdir"
        )
    return record


def _claimed(unit: Unit, path: pathlib.Path, digest: str, log: pathlib.Path, progress: "_Progress") -> dict:
    """The record of a unit that this process runs, or that another has finished in between.

    Raises:
      Busy: if another process is at it, or at what it needs.
    """
    with claim(path.with_suffix(".claim")):
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
    """The record of a unit that is run; one of "failure" if it fails, with its traceback in `log`."""
    begun = time.monotonic()
    try:
        result = unit.function(**unit.arguments)
        measurements = [jsonable(one) for one in (result if isinstance(result, list) else [result])]
        for one in measurements:
            check_measurement(one)
    except Busy:
        raise
    except MissingData as error:
        return {"failure": str(error)}
    except Exception as error:
        log.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(log, traceback.format_exc())
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return {"failure": f"{unit.key}: {words} ({log})"}
    return {"digest": digest, "arguments": jsonable(unit.arguments), "seconds": time.monotonic() - begun,
            "provenance": provenance(), "measurements": measurements}  # fmt: skip


def _keep(record: dict, path: pathlib.Path, log: pathlib.Path) -> None:
    """Writes a result; an earlier failure of the unit is then history."""
    if "failure" not in record:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_sealed(path, record)
        log.unlink(missing_ok=True)


class _Progress:
    """One line for each unit that ends: done of all, how long it took, time left by the median of those done."""

    def __init__(self, table: str, seconds: list[float], total: int):
        self.table, self.seconds, self.total = table, seconds, total
        self.done, self.silent = len(seconds), True

    def begun(self) -> None:
        if self.silent and self.done:
            self._say(f"{self.done} of {self.total} units are there from before")
        self.silent = False

    def finished(self, key: str, record: dict) -> None:
        self.done += 1
        if "failure" in record:
            self._say(f"unit {self.done}/{self.total}, {key} failed")
            return
        self.seconds.append(record["seconds"])
        left = statistics.median(self.seconds) * (self.total - self.done)
        self._say(f"unit {self.done}/{self.total}, {key}, {record['seconds']:.1f} s, {left:.0f} s left")

    def _say(self, text: str) -> None:
        print(f"{self.table}: {text}", file=sys.stderr, flush=True)


REPORT = "report/report.html"
_PATIENCE = 1.0  # seconds between two looks at what other processes are at


def reproduce(
    definitions: Iterable[Definition], workdir: pathlib.Path, small: bool, until: float = math.inf
) -> list[str]:
    """Measures what is not yet measured; writes tables/NAME.json and .md of each table, and the page of all tables.

    What other processes are measuring into the same folder is left to them, and waited for at the end.

    Args:
      small: the tables are of the small size; a workdir is of one size.
      until: `time.monotonic()` from which on nothing is measured that is not there.

    Returns:
      One line for each unit that failed, for data that are missing, and for a table whose stored results are refused.

    Raises:
      ValueError: naming the file, if something else lies among the tables.
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
            time.sleep(_PATIENCE)
    return list(dict.fromkeys(line for lines in problems.values() for line in lines))


def build_table(definition: Definition, work: Work, small: bool) -> Table:
    """The table of what its units measured.

    Raises:
      ValueError: naming the setting, if measurements contradict each other.
    """
    cells = build_cells(one for record in work.records for one in record["measurements"])
    verdicts = [_judge(asked, cells, complete=not work.failures) for asked in definition.requirements]
    title = f"{definition.title} (small variant)" if small else definition.title
    facts = join_facts(record["provenance"] for record in work.records)
    seconds = math.fsum(record["seconds"] for record in work.records)
    kind, caption = definition.kind, definition.caption
    return Table(definition.name, title, caption, kind, cells, verdicts, facts, seconds, list(work.failures))


def _judge(asked: Requirement, cells: Sequence[Cell], complete: bool) -> Verdict:
    """A number that is met by what was measured counts only if nothing is missing."""
    found = asked.check(cells, asked.metric)
    margin = found.margin
    if math.isnan(margin) or (margin >= 0 and not complete):
        return Verdict(asked.text, asked.aim, NOT_MEASURED, margin)
    return Verdict(asked.text, asked.aim, missed_text(-margin) if margin < 0 else MET, margin, finding_text(found))


def _write(table: Table, workdir: pathlib.Path) -> None:
    """Everything is built before the first file is written, but the page, which reads the others."""
    path, page = table_path(workdir, table.name), workdir / REPORT
    pages = {path: to_json(table), path.with_suffix(".md"): to_markdown(table)}
    for folder in (path.parent, page.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for place, text in pages.items():
        files.write_whole(place, text)
    files.write_whole(page, to_html(read_tables(workdir)))
