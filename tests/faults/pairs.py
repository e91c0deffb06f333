"""Two commands at once on one folder: the end is that of one after the other, or of one alone and a refusal."""

import dataclasses
import itertools
import pathlib
import time
from collections.abc import Callable, Sequence

import numpy as np
from faults.sweep import Command, State, restore
from faults.warm import Ended, Warm

_REFUSED = "refused"


@dataclasses.dataclass
class Raced:
    """What racing found.

    Attributes:
      rounds: number of rounds.
      ended: number of them by "both" commands at work, or "one" and a refusal.
      wrong: a line for each round that ended as no order of the two commands does.
    """

    rounds: int = 0
    ended: dict[str, int] = dataclasses.field(default_factory=lambda: {"both": 0, "one": 0})
    wrong: list[str] = dataclasses.field(default_factory=list)


def race_all(
    warm: Sequence[Warm],
    prepare: Callable[[pathlib.Path], None],
    commands: dict[str, Command],
    state: State,
    home: pathlib.Path,
    rounds: int,
) -> Raced:
    """Races every pair of commands, a command with itself among them.

    Args:
      warm: two processes for the commands.
      prepare: writes into a new folder what the commands find there.
      commands: by name, each a function of the folder.
      state: the digests of the files of the folder that count.
      home: an empty folder.
      rounds: number of rounds of each pair; the second command begins ever later.
    """
    raced, folder, rng = Raced(), home / "folder", np.random.default_rng(0)
    home.mkdir(parents=True, exist_ok=True)
    prepare(home / "prepared")
    for names in itertools.combinations_with_replacement(commands, 2):
        pair = [commands[name] for name in names]
        allowed, seconds = _in_turn(warm[0], pair, home / "prepared", folder, state)
        for number in range(rounds):
            restore(home / "prepared", folder)
            ended = _at_once(warm, [command(folder) for command in pair], seconds * rng.random() * number / rounds)
            found = [_outcome(one) for one in ended], state(folder)
            raced.rounds += 1
            raced.ended["one" if _REFUSED in found[0] else "both"] += 1
            if found not in allowed:
                said = " / ".join(one.said[-500:] for one in ended)
                raced.wrong.append(f"{' and '.join(names)}, round {number}: {found[0]}, {said}")
    return raced


def _in_turn(
    warm: Warm, pair: list[Command], prepared: pathlib.Path, folder: pathlib.Path, state
) -> tuple[list, float]:
    """The ends that are right, each as outcomes and state, and the seconds that a command takes."""
    allowed, begun = [], time.monotonic()
    for first, second in ((0, 1), (1, 0)):
        restore(prepared, folder)
        outcomes = [_REFUSED, _REFUSED]
        outcomes[first] = _outcome(warm.run(pair[first](folder)))
        allowed.append((list(outcomes), state(folder)))  # the second one is refused
        outcomes[second] = _outcome(warm.run(pair[second](folder)))
        allowed.append((outcomes, state(folder)))
    return allowed, (time.monotonic() - begun) / 4


def _at_once(warm: Sequence[Warm], commands: list[list[str]], pause: float) -> list[Ended]:
    for one, command in zip(warm, commands, strict=True):
        one.start(command)
    warm[0].go()
    time.sleep(pause)
    warm[1].go()
    return [one.wait() for one in warm]


def _outcome(ended: Ended) -> str:
    """ "done", "refused" in one line, or what was said, which no right end has."""
    if ended.code == 0:
        return "done"
    return _REFUSED if ended.code == 1 and "Traceback" not in ended.said else f"{ended.code}: {ended.said}"
