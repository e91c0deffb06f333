"""Resumable work: each unit's result is a file, written whole; started again, what is there is read, not run.

Processes that are started on the same folder share the work: each leaves out what another is at.
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
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from prouter_jax import files
from prouter_jax.protocol.claims import Busy, claim
from prouter_jax.protocol.definition import Definition, Unit
from prouter_jax.protocol.measurement import check_measurement
from prouter_jax.protocol.settings import MissingData
from prouter_jax.provenance import provenance
from prouter_jax.report.write import plain


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
    return hashlib.sha256(json.dumps(plain(asked), sort_keys=True).encode()).hexdigest()


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
        measurements = [plain(one) for one in (result if isinstance(result, list) else [result])]
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
    return {"digest": digest, "arguments": plain(unit.arguments), "seconds": time.monotonic() - begun,
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
