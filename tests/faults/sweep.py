"""Repeats a command once for each of its file operations, with a kill, a full disk or an I/O error there."""

import collections
import dataclasses
import errno
import pathlib
import shutil
from collections.abc import Callable, Iterable, Sequence

from faults.system_calls import KILL, Operation
from faults.warm import Ended, Warm

from prouter_jax.io.locks import FOLDER_LOCK

FAULTS = ("kill", "full disk", "I/O error")
_LEFTOVERS = (FOLDER_LOCK, ".sqlite-wal", ".sqlite-shm")
Command = Callable[[pathlib.Path], list[str]]
State = Callable[[pathlib.Path], dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A command and the folder that it changes.

    Attributes:
      name: for messages.
      prepare: writes into a new folder what the command finds there.
      command: folder -> its arguments.
      state: folder -> digests of the files that must be as after an undisturbed run.
      again: folder -> the commands that a user repeats after a fault, one after another; by default `command`.
      check: folder and what a disturbed command said -> "" if what it promised is there, before it is repeated.
    """

    name: str
    prepare: Callable[[pathlib.Path], None]
    command: Command
    state: State
    again: Callable[[pathlib.Path], Iterable[list[str]]] | None = None
    check: Callable[[pathlib.Path, str], str] = lambda folder, said: ""


@dataclasses.dataclass
class Found:
    """What a sweep found.

    Attributes:
      operations: number of operations of an undisturbed run.
      runs: number of disturbed runs by kind of fault.
      ended: number of disturbed runs by how they ended: "killed", "success", "one line", or one among others of Orbax.
      wrong: a line for each run that went wrong.
    """

    operations: int = 0
    runs: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    ended: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)


def sweep(
    warm: Warm,
    case: Case,
    home: pathlib.Path,
    faults: Sequence[str] = FAULTS,
    most: int | None = None,
    first: int = 0,
) -> Found:
    """Runs a case with every fault at every operation.

    Args:
      home: an empty folder for the folders of the case.
      most: number of operations that are tried, spread evenly; None for all.
      first: the operations before it are not tried.
    """
    found, folder = Found(), home / "folder"
    home.mkdir(parents=True, exist_ok=True)
    case.prepare(home / "prepared")
    restore(home / "prepared", folder)
    operations: list[Operation] = []
    ended = warm.run(case.command(folder), _below(folder, lambda number, operation: operations.append(operation) or 0))
    assert ended.code == 0, f"{case.name}: {ended.said}"
    expected, found.operations = case.state(folder), len(operations)
    left = len(operations) - first
    step = max(1, left / most) if most else 1
    for number in sorted({first + int(step * place) for place in range(int(left / step))}):
        for fault in faults:
            restore(home / "prepared", folder)
            ended = warm.run(case.command(folder), _below(folder, lambda *one, at=(fault, number): _decide(*at, *one)))
            found.runs[fault] += 1
            wrong = _what_is_wrong(ended, fault, found) or case.check(folder, ended.said)
            wrong = wrong or _repeat(warm, case, folder, ended, expected)
            if wrong:
                at = operations[number]
                found.wrong.append(f"{case.name}, {fault} at {at.name} {_within(folder, at.path)} ({number}): {wrong}")
    return found


def restore(prepared: pathlib.Path, folder: pathlib.Path) -> None:
    """Makes a folder as it was prepared."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prepared, folder)  # keeps the times of files


def _below(folder: pathlib.Path, decide: Callable[[int, Operation], int]) -> Callable[[Operation], int]:
    """Counts the operations on files below a folder; all others happen."""
    count = 0

    def counted(operation: Operation) -> int:
        nonlocal count
        if not operation.path.startswith(f"{folder}/"):
            return 0
        count += 1
        return decide(count - 1, operation)

    return counted


def _decide(fault: str, at: int, number: int, operation: Operation) -> int:
    """A kill and an I/O error come once; a full disk stays full."""
    if fault == "full disk":
        return errno.ENOSPC if number >= at and operation.needs_room() else 0
    return 0 if number != at else KILL if fault == "kill" else errno.EIO


# after a write of a checkpoint failed, threads of Orbax may print that nobody waits for theirs, between other words
_OF_ORBAX = ("self._check_closed()", "site-packages/orbax/checkpoint/")


def _what_is_wrong(ended: Ended, fault: str, found: Found) -> str:
    """ "" if a disturbed run was killed, ended in one line, or did without the operation."""
    lines = ended.said.splitlines()
    if ended.code == -9 and fault == "kill":
        found.ended["killed"] += 1
    elif ended.code == 0 and fault != "kill":
        found.ended["success"] += 1
    elif ended.code == 1 and "Traceback" not in ended.said and lines and ": " in lines[-1]:
        found.ended["one line"] += 1
    elif ended.code == 1 and ": expected to save it in " in ended.said and any(x in ended.said for x in _OF_ORBAX):
        found.ended["one line, among those of Orbax's threads"] += 1
    else:
        return f"exit code {ended.code}: {ended.said[-2000:]}"
    return ""


def _repeat(warm: Warm, case: Case, folder: pathlib.Path, ended: Ended, expected: dict[str, str]) -> str:
    """Runs the command again unless it had succeeded; "" if all is then as after an undisturbed run.

    A command that was killed after its work may refuse to do it again. A success may leave the files of a lock or of
    SQLite's log, which the next command removes.
    """
    differing = [] if ended.code else _differing(case, folder, expected)
    said: list[tuple[int, str]] = []
    if ended.code or (differing and all(name.endswith(_LEFTOVERS) for name in differing)):
        commands = case.again(folder) if case.again else [case.command(folder)]
        said = [(again.code, again.said) for again in map(warm.run, commands)]
        differing = _differing(case, folder, expected)
    wrong = [f"again: exit code {code}: {text[-500:]}" for code, text in said if code and (code != 1 or differing)]
    return "; ".join(wrong + [f"afterwards other files: {', '.join(differing)}"] * bool(differing))


def _differing(case: Case, folder: pathlib.Path, expected: dict[str, str]) -> list[str]:
    state = case.state(folder)
    return sorted(name for name in {*state, *expected} if state.get(name) != expected.get(name))


def _within(folder: pathlib.Path, path: str) -> str:
    return path.removeprefix(f"{folder}/")
