"""The coding of thumbs: which values of a log mean up, down and no feedback, found from all values of the column.

Words, emoji and booleans mean the same everywhere. A number means something only beside the others: 0 is down in
{0, 1} and no feedback in {-1, 0, 1}. Other sets of numbers, and a column with one value alone, are errors that name the
flag which gives the coding.
"""

import collections
import dataclasses
import re

import numpy as np
import pyarrow as pa

from prouter_jax.data import cells

UP, DOWN, NO_FEEDBACK = 1.0, 0.0, float("nan")
_WORDS = {
    UP: "up thumbs_up thumb_up thumbsup thumbup upvote upvoted like liked love loved positive good great helpful yes y "
    "true correct accept accepted satisfied happy 👍 👌 ❤ ♥ 💯 ✅ ✔ 😀 😃 🙂 😊 🎉 +",
    DOWN: "down thumbs_down thumb_down thumbsdown thumbdown downvote downvoted dislike disliked negative bad poor "
    "unhelpful not_helpful no n false incorrect wrong reject rejected unsatisfied dissatisfied unhappy "
    "👎 💔 ❌ ✖ 🙁 😞 😠 😡 -",
    NO_FEEDBACK: "neutral none null nan undefined unset unknown n/a na no_feedback no_rating skip skipped 😐 🤷",
}
_MEANING = {word: value for value, words in _WORDS.items() for word in words.split()}
_DECORATION = re.compile("[\ufe0e\ufe0f\u200d\U0001f3fb-\U0001f3ff]")  # variants and skin tones of emoji
_NUMBERS = (
    {1.0: UP, 0.0: DOWN},
    {1.0: UP, -1.0: DOWN},
    {1.0: UP, -1.0: DOWN, 0.0: NO_FEEDBACK},
)
_MOST_VALUES, _MOST_SHOWN = 1000, 6
_FEW = 10  # thumbs from which on it is no chance that all are alike


@dataclasses.dataclass(frozen=True)
class Coding:
    """The meaning of the values of thumbs.

    Attributes:
      meaning: float64 [codes], `UP`, `DOWN` or `NO_FEEDBACK`.
      text: the coding in words, for the summary.
      unreadable: numbers of thumbs without a meaning, by value.
    """

    meaning: np.ndarray
    text: str
    unreadable: dict[str, int]


class Thumbs:
    """Numbers the values of thumbs in their order of appearance, and counts them by column and file."""

    def __init__(self):
        self._codes: dict[str, int] = {}
        self._counts: dict[tuple[str, str], collections.Counter] = {}

    def read(self, column: pa.Array, name: str, file: str) -> tuple[np.ndarray, np.ndarray]:
        """The code of each thumb, int16 [rows], -1 if missing; and bool [rows], the cells that hold no single value.

        Raises:
          ValueError: if there are too many values for thumbs.
        """
        column = cells.decoded(column)
        bad = np.zeros(len(column), bool)
        if pa.types.is_nested(column.type):
            bad = column.is_valid().to_numpy(zero_copy_only=False)
            column = pa.nulls(len(column), pa.large_string())
        if cells.is_binary(column.type):
            column, bad = cells.texts(column)
        encoded = column.cast(pa.large_string()).dictionary_encode()
        values = [_normal(text) for text in encoded.dictionary.to_pylist()]
        codes = [-1 if value == "" else self._codes.setdefault(value, len(self._codes)) for value in values]
        if len(self._codes) > _MOST_VALUES:
            raise _error(name, f"more than {_MOST_VALUES:,} different values such as {values[0][:40]!r}")
        found = np.array([*codes, -1], np.int16)[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        counts = self._counts.setdefault((name, file), collections.Counter())
        for code, number in enumerate(np.bincount(found[found >= 0])):
            if number:
                counts[code] += int(number)
        return found, bad

    @property
    def values(self) -> list[str]:
        """The value of each code."""
        return list(self._codes)

    def coding(self, given: dict[str, float] | None) -> Coding:
        """The meaning of all values so far.

        Args:
          given: the meaning of values from a flag, see `parse_thumbs`; None to find it.

        Raises:
          ValueError: naming the column and the flag, if the values have no single coding.
        """
        values = self.values
        meaning = np.full(len(values), np.nan)
        unreadable: collections.Counter = collections.Counter()
        said = []
        by_column: dict[str, list[set[int]]] = {}
        for (name, _), counts in self._counts.items():
            by_column.setdefault(name, []).append(set(counts))
        for name, files in by_column.items():
            counts = sum((counts for (of, _), counts in self._counts.items() if of == name), collections.Counter())
            found = {values[code]: number for code, number in counts.items()}
            in_files = [{values[code] for code in codes} for codes in files]
            known = _find(name, found, in_files) if given is None else given
            for code in counts:
                meaning[code] = known.get(values[code], np.nan)
            unreadable += collections.Counter({value: found[value] for value in found if value not in known})
            said.append(f"column {name}: {_in_words(found, known)}")
        return Coding(meaning, "; ".join(said), dict(unreadable))


def parse_thumbs(text: str) -> dict[str, float]:
    """Parses "UP:DOWN" or "UP:DOWN:NONE"; each may be several values joined by "|".

    Raises:
      ValueError: if the text has another form or a value occurs twice.
    """
    parts = [[_normal(value) for value in part.split("|")] for part in text.split(":")]
    values = [value for part in parts for value in part]
    if len(parts) not in (2, 3) or "" in values or len(set(values)) < len(values):
        raise ValueError(f"thumbs: expected UP:DOWN or UP:DOWN:NONE, different values, found {text!r}")
    return {value: kind for part, kind in zip(parts, (UP, DOWN, NO_FEEDBACK), strict=False) for value in part}


def _find(name: str, found: dict[str, int], files: list[set[str]]) -> dict[str, float]:
    """The meaning of the values of one column."""
    words = {value: _MEANING[value] for value in found if value in _MEANING}
    numbers = {value: float(value) for value in found if value not in _MEANING and _is_number(value)}
    sides = {side for side in words.values() if side == side}
    coded = _find_numbers(name, numbers, sides, files) if numbers else {}
    known = words | coded
    sides |= {side for side in coded.values() if side == side}
    total = sum(number for value, number in found.items() if known.get(value, np.nan) in (UP, DOWN))
    if len(sides) < 2 and (len(known) < len(found) or total >= _FEW):
        raise _error(name, _shown(found))
    return known


def _find_numbers(name: str, numbers: dict[str, float], sides: set[float], files: list[set[str]]) -> dict[str, float]:
    there = set(numbers.values())
    for coding in _NUMBERS:
        beside_words = len(sides) == 2 and len(there) == 1 and 0.0 not in there and there <= set(coding)
        if there == set(coding) or beside_words:
            break
    else:
        raise _error(name, ", ".join(sorted(numbers, key=float)[:_MOST_SHOWN]))
    of_files = [{numbers[value] for value in file if value in numbers} for file in files]
    if len(coding) == 3 and {0.0, 1.0} in of_files:  # 0 may be down there
        raise _error(name, "0 and 1 in one file, -1 as well in another")
    return {value: coding[number] for value, number in numbers.items()}


def _error(name: str, found: str) -> ValueError:
    return ValueError(
        f"log, column {name}: expected thumbs that say which is up and which is down, found {found}; set "
        f"--thumbs=UP:DOWN with the two values, --columns=thumb= if these are none, or "
        f"--columns=thumb=,rating={name} --rating_range=LOW:HIGH if they are ratings"
    )


def _normal(text: str | None) -> str:
    """A value in the form in which values are compared: a number without zeros behind it, a word in lower case."""
    text = _DECORATION.sub("", text or "").strip()
    if _is_number(text):
        number = float(text)
        return f"{number + 0.0:g}" if number == number else ""
    return re.sub(r"[\s-]+", "_", text.lower()).strip(":") if len(text) > 1 else text.lower()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(found: dict[str, int]) -> str:
    most = sorted(found, key=lambda value: -found[value])
    shown = ", ".join(f"{value[:40]!r} ({found[value]:,})" for value in most[:_MOST_SHOWN])
    return shown + (f" and {len(most) - _MOST_SHOWN:,} more" if len(most) > _MOST_SHOWN else "")


def _in_words(found: dict[str, int], known: dict[str, float]) -> str:
    names = ((UP, "up"), (DOWN, "down"))
    parts = [
        f"{', '.join(value for value in found if known.get(value) == side) or 'nothing'} is {word}"
        for side, word in names
    ]
    none = [value for value in found if value in known and known[value] != known[value]]
    return ", ".join(parts + ([f"{', '.join(none)} is no feedback"] if none else []))
