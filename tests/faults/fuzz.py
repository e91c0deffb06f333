"""Reads made-up data through every door: one line, or a sound result; no traceback, hang, or code that runs."""

import collections
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Iterable

import numpy as np
from faults.door import Door
from faults.grammar import CANARY

SECONDS = 20  # of the processor, for a file of some rows: more is a hang
_PROCESSES = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "pickle.find_class")
_HARMLESS = "uname"  # Python's module platform asks it for the processor, once


@dataclasses.dataclass
class Fuzzed:
    """What fuzzing found.

    Attributes:
      ended: number of inputs by door and "refused" or "read".
      wrong: a line or traceback for each input that went wrong.
    """

    ended: dict[str, collections.Counter]
    wrong: list[str]


def fuzz(doors: dict[str, Door], numbers: Iterable[int], home: pathlib.Path) -> Fuzzed:
    """Reads one made-up input for each number; the doors take turns.

    Args:
      home: an empty folder; that of an input that went wrong stays there.
    """
    _watch_code()
    home.mkdir(parents=True, exist_ok=True)
    found, names = Fuzzed({name: collections.Counter() for name in doors}, []), list(doors)
    os.environ[CANARY] = str(home / "canary")
    for number in numbers:
        name, folder = names[number % len(names)], home / str(number)
        folder.mkdir()
        try:
            ended = _try(doors[name], number, folder)
        except Exception as error:
            text = "".join(traceback.format_exception(error)) if not isinstance(error, _WrongError) else str(error)
            found.wrong.append(f"{name}, {folder}: {text[-1500:]}")
            continue
        found.ended[name][ended] += 1
        shutil.rmtree(folder)
    return found


class _WrongError(Exception):
    """What must not happen, though no error tells."""


def _try(door: Door, number: int, folder: pathlib.Path) -> str:
    """ "refused" or "read"; all else is an exception."""
    rng, ended = np.random.default_rng([17, number]), "read"
    door.write(rng, folder)
    _started.clear()
    signal.signal(signal.SIGPROF, _hung)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        door.read(rng, folder)
    except (ValueError, OSError, ImportError) as error:  # one line and exit code 1, see launch.entry
        if not _is_clear(error):
            raise
        ended = "refused"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if _started or pathlib.Path(os.environ[CANARY]).exists():
        raise _WrongError(f"code ran: {_started}")
    return ended


def _is_clear(error: Exception) -> bool:
    """Whether it was meant: it says what was expected and what was found."""
    return type(error) in (ValueError, OSError, ImportError) and bool(
        re.search("expected|found|unknown|refuses|row|line", str(error))
    )


def _hung(*_) -> None:
    raise RuntimeError("hangs")


_started: list[str] = []
_watched: list[bool] = []


def _watch_code() -> None:
    """Notes every program that is started and every object that is unpickled, from now on."""
    if not _watched:
        _watched.append(True)
        sys.addaudithook(_note)


def _note(event: str, arguments: tuple) -> None:
    if event in _PROCESSES and _HARMLESS not in str(arguments):
        _started.append(f"{event}: {arguments}")
