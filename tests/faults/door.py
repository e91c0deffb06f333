"""What the doors share: a reader of foreign data with its grammar, sound cells, and what holds for every result."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

from faults.grammar import Rng, pick, rows, write_table

SUFFIXES = (".csv", ".jsonl", ".parquet")


@dataclasses.dataclass(frozen=True)
class Door:
    """A reader of foreign data.

    Attributes:
      write: writes made-up data into an empty folder.
      read: reads it; an AssertionError tells that the result is no sound one.
    """

    write: Callable[[Rng, pathlib.Path], None]
    read: Callable[[Rng, pathlib.Path], None]


@dataclasses.dataclass(frozen=True)
class Names:
    """The ids that rows are made of."""

    users: list[str]
    queries: list[str]
    llms: list[str]


FEW = Names(["u", "v", "w"], ["q0", "q1", "q2", "q3"], ["a", "b", "c"])


def one_of(values: list) -> Callable[[Rng], object]:
    return lambda rng: pick(rng, values)


def several(values: list) -> Callable[[Rng], object]:
    """Some of the values, as a list or as one text."""

    def some(rng: Rng):
        chosen = values if rng.random() < 0.9 else [one for one in values if rng.random() < 0.8] or values
        return chosen if rng.random() < 0.7 else "|".join(chosen)

    return some


def number(rng: Rng) -> float:
    return float(rng.integers(0, 5)) / 4


def text(rng: Rng) -> str:
    return f"What of {rng.integers(6)}?"


def feedback_tables(names: Names) -> dict[str, tuple[dict, tuple[str, ...]]]:
    """Columns, and those that are required, of each short form of feedback."""
    user, query, llm = one_of(names.users), one_of(names.queries), one_of(names.llms)
    row, needed = {"user_id": user, "query_id": query, "time": one_of([1.0])}, ("user_id", "query_id", "llm")
    offered = {"llm": llm, "candidates": several(names.llms), "first": llm}
    sides = {"llm_a": one_of(names.llms[:1]), "llm_b": one_of(names.llms[1:]), "winner": one_of(["a", "b", "tie"])}
    return {
        "choices": (row | offered, needed),
        "ratings": (row | offered | {"rating": number}, (*needed, "rating")),
        "thumbs": (row | offered | {"thumb": one_of([0, 1])}, (*needed, "thumb")),
        "votes": (row | sides, ("user_id", "query_id", *sides)),
    }


def write_one(rng: Rng, folder: pathlib.Path, columns: dict, required: tuple[str, ...]) -> None:
    """Writes one table in any format."""
    write_table(rng, folder / f"in{pick(rng, SUFFIXES)}", rows(rng, columns, int(rng.integers(0, 12)), required))


def only_file(folder: pathlib.Path) -> pathlib.Path:
    (path,) = (path for path in folder.iterdir() if path.is_file())
    return path


def strict_json(content: str):
    """The value of strict JSON, in which there is no NaN."""

    def refuse(constant: str):
        raise AssertionError(f"no JSON: {constant}")

    try:
        return json.loads(content, parse_constant=refuse)
    except ValueError as error:
        raise AssertionError(f"no JSON ({error}): {content[:200]!r}") from None
