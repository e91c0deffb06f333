"""Fuzzed files through the project's readers and the simple ones: equal rows, a documented drop, or one clear line."""

import collections
import dataclasses
import pathlib
import re
import shutil
import signal
import traceback
from collections.abc import Callable, Iterable

import numpy as np
from fuzz_mutations import mutate_bytes, mutate_records
from independent.cells import Refused
from independent.door import Door
from independent.doors import DOORS

SECONDS = 20  # of the processor, for a file of some lines: more is a hang


@dataclasses.dataclass
class Found:
    """What became of the files.

    Attributes:
      ended: number of files by door and "equal", "refused by both" or "refused by the project alone".
      wrong: a line for each file that went wrong.
    """

    ended: dict[str, collections.Counter] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(collections.Counter)
    )
    wrong: list[str] = dataclasses.field(default_factory=list)

    def lines(self) -> list[str]:
        names = ("equal", "refused by both", "refused by the project alone")
        rows = [
            f"{door}: " + ", ".join(f"{counts[name]} {name}" for name in names) for door, counts in self.ended.items()
        ]
        total = sum((counts for counts in self.ended.values()), collections.Counter())
        return [
            *rows,
            f"{total.total()} files: " + ", ".join(f"{total[name]} {name}" for name in names),
            f"{len(self.wrong)} wrong",
        ]


def run(numbers: Iterable[int], home: pathlib.Path, only: Iterable[str] = ()) -> Found:
    """Makes and reads a file for each number; the doors take turns. Files that went wrong stay in `home`."""
    found, names = Found(), list(only or DOORS)
    for number in numbers:
        door, folder = names[number % len(names)], home / str(number)
        folder.mkdir(parents=True)
        path = _fuzzed(DOORS[door], folder, np.random.default_rng([23, number]))
        ended, wrong = _compare(DOORS[door], path)
        if wrong:
            found.wrong.append(f"{door}, {path}: {wrong}")
        else:
            found.ended[door][ended] += 1
            shutil.rmtree(folder)
    return found


def _fuzzed(door: Door, folder: pathlib.Path, rng: np.random.Generator) -> pathlib.Path:
    """The file of a door, its cells or its bytes changed."""
    if rng.random() < 0.7:
        records, _ = mutate_records(door.records, rng)
        try:
            return door.write(folder, records)
        except (ValueError, OverflowError, TypeError, OSError):  # Parquet and UTF-8 hold less than Python
            return door.write(folder, [{name: ascii(cell) for name, cell in record.items()} for record in records])
    path = door.write(folder, door.records)
    path.write_bytes(mutate_bytes(path.read_bytes(), rng)[0])
    return path


def _compare(door: Door, path: pathlib.Path) -> tuple[str, str]:
    """How a file ended, and what is wrong, "" for nothing."""
    try:
        expected = door.simple(path)
    except Refused as error:
        expected = error
    found = _project(door.project, path)
    if isinstance(found, str):
        clear = re.search("expected|found", found) and "\n" not in found
        ended = "refused by both" if isinstance(expected, Refused) else "refused by the project alone"
        return ended, "" if clear else f"no clear line: {found}"
    if isinstance(expected, Refused):
        return "", f"read, though a simple reader refuses it: {expected}"
    different = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
    if not different:
        return "equal", ""
    key = different[0]
    return "", f"{key!r:.80}: a simple reader has {expected.get(key)!r:.400}, the project {found.get(key)!r:.400}"


def _project(read: Callable, path: pathlib.Path) -> dict | str:
    """The project's data, or its line; a traceback is a text of several lines."""
    signal.signal(signal.SIGPROF, _hung)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return read(path)
    except ValueError as error:
        return str(error) if type(error) is ValueError else "".join(traceback.format_exception(error))
    except Exception as error:
        return "".join(traceback.format_exception(error))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _hung(*_):
    raise TimeoutError("hangs")
