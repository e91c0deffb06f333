"""Damage to the files of a workdir: its router is refused in one line, or it scores as before."""

import collections
import contextlib
import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from prouter_jax import Router
from prouter_jax.io.paths import files_below

_TEXTS = ("What is 2 + 2?", "Write a poem about the sea.")
Scores = bytes


@dataclasses.dataclass
class Damaged:
    """What damage led to.

    Attributes:
      ended: number of damaged workdirs by "refused" and "same scores".
      wrong: a line for each that has other scores or ended in a traceback.
    """

    ended: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, what: str, workdir: pathlib.Path, *allowed: Scores) -> None:
        """Loads a damaged workdir, whose scores may be those of a sound router alone."""
        try:
            same = scores_of(workdir) in allowed
        except ValueError as error:  # one line and exit code 1
            self.ended["refused"] += 1
            if len(str(error).splitlines()) != 1:
                self.wrong.append(f"{what}: {error}")
        except Exception as error:
            self.wrong.append(f"{what}: {type(error).__name__}: {error}")
        else:
            self.ended["same scores"] += 1
            if not same:
                self.wrong.append(f"{what}: other scores")


def scores_of(workdir: pathlib.Path) -> Scores:
    """All bits of what a router says of its users, a new one, and texts; with all that determines it."""
    router = Router.load(workdir)
    users = [*router.interactions.users.ids, "no one"]
    shares = [router.score(users, [text] * len(users)).probabilities for text in _TEXTS]
    return repr(shares).encode() + router.digest().encode() + router.users.tobytes()


def flip(workdir: pathlib.Path, places: Iterable[tuple[str, int]], seed: int = 0) -> Damaged:
    """Flips a bit of each of some bytes, one after another.

    Args:
      workdir: of a trained router; it is as before at the end.
      places: names of files and positions in them.
    """
    damaged, sound, rng = Damaged(), scores_of(workdir), np.random.default_rng(seed)
    for name, position in places:
        bit = 1 << int(rng.integers(8))
        with _changed(workdir / name, position, bit):
            damaged.add(f"{name}, byte {position}, bit {bit}", workdir, sound)
    assert scores_of(workdir) == sound
    return damaged


def sample(workdir: pathlib.Path, number: int, seed: int = 0) -> list[tuple[str, int]]:
    """About `number` places, spread over every file."""
    rng, names = np.random.default_rng(seed), files_below(workdir)
    sizes = {name: (workdir / name).stat().st_size for name in names}
    each = -(-number // len(names))
    return [(name, int(rng.integers(size))) for name, size in sizes.items() if size for _ in range(min(each, size))]


def everywhere(workdir: pathlib.Path) -> list[tuple[str, int]]:
    """Every byte of every file that a load of the router opens; others cannot change its scores."""
    opened = _opened_by(lambda: scores_of(workdir))
    names = [name for name in files_below(workdir) if str(workdir / name) in opened]
    return [(name, position) for name in names for position in range((workdir / name).stat().st_size)]


def replace(workdir: pathlib.Path, others: dict[str, pathlib.Path], home: pathlib.Path, mixtures: int) -> Damaged:
    """Loses, cuts, swaps and replaces files and folders of a workdir, each in a copy.

    Args:
      others: by name, workdirs of another router and of another time, from which files and folders are taken.
      home: an empty folder.
      mixtures: number of copies in which a random half comes from one of the others.
    """
    damaged, copy, sound, rng = Damaged(), home / "copy", scores_of(workdir), np.random.default_rng(0)
    whole = [scores_of(other) for other in others.values()]

    def fresh() -> pathlib.Path:
        shutil.rmtree(copy, ignore_errors=True)
        return shutil.copytree(workdir, copy)

    entries = [path.relative_to(workdir) for path in sorted(workdir.rglob("*"))]
    for entry in entries:
        _remove(fresh() / entry)
        damaged.add(f"without {entry}", copy, sound)
        for name, other in others.items():
            _take(entry, other, fresh())
            damaged.add(f"{entry} of {name}", copy, sound, *(whole if entry.name == "refit" else ()))
    files = [entry for entry in entries if (workdir / entry).is_file()]
    for entry in files:
        path = fresh() / entry
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        damaged.add(f"half of {entry}", copy, sound)
        another = files[int(rng.integers(len(files)))]
        content = (fresh() / entry).read_bytes()
        (copy / entry).write_bytes((copy / another).read_bytes())
        (copy / another).write_bytes(content)
        damaged.add(f"{entry} and {another} swapped", copy, sound)
    for number in range(mixtures):
        name, other = list(others.items())[number % len(others)]
        fresh()
        for entry in entries:
            if rng.random() < 0.5:
                _take(entry, other, copy)
        damaged.add(f"mixture {number} with {name}", copy, sound, *whole)
    return damaged


@contextlib.contextmanager
def _changed(path: pathlib.Path, position: int, bit: int) -> Iterator[None]:
    """Flips a bit within the context."""
    with path.open("r+b", buffering=0) as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ bit]))
        yield
        file.seek(position)
        file.write(byte)


def _opened_by(call) -> set[str]:
    opened, active = set(), [True]

    def note(event: str, arguments: tuple) -> None:
        if active and event == "open" and isinstance(arguments[0], str):
            opened.add(arguments[0])

    sys.addaudithook(note)  # it cannot be removed
    call()
    active.clear()
    return opened


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _take(entry: pathlib.Path, other: pathlib.Path, copy: pathlib.Path) -> None:
    """Puts a file or folder of another workdir in the place of the same; where that has none, it is lost."""
    _remove(copy / entry)
    if (other / entry).is_dir():
        shutil.copytree(other / entry, copy / entry)
    elif (other / entry).is_file() and (copy / entry).parent.is_dir():
        shutil.copy2(other / entry, copy / entry)
