"""`HistoryStore`: histories of any number of users as flat columns, in memory or memory-mapped from a folder.

users.bin       int64 [users + 1]
query.bin       int32 [decisions]
offer.bin       int32 [decisions]
first.bin       int16 [decisions]
said.bin        int64 [decisions + 1]
said_llm.bin    int16 [feedback]
said_value.bin  float32 [feedback]
said_kind.bin   int8 [feedback]
offers.npy      bool [candidate sets, llms]
manifest.json   SHA-256 sums; written last
"""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Bool, Float, Int

from prouter_jax.data.interactions import RATING, THUMB, Interactions
from prouter_jax.io import files
from prouter_jax.io.arrays import write_array

_COLUMNS = {  # column: file and type
    "users": ("users.bin", np.int64),
    "query": ("query.bin", np.int32),
    "offer": ("offer.bin", np.int32),
    "first": ("first.bin", np.int16),
    "feedback_start": ("said.bin", np.int64),
    "feedback_llm": ("said_llm.bin", np.int16),
    "feedback_value": ("said_value.bin", np.float32),
    "feedback_kind": ("said_kind.bin", np.int8),
}
_OFFERS = "offers.npy"


@dataclasses.dataclass(frozen=True)
class HistoryStore:
    """Histories, user by user. Queries and LLMs are rows of the `Interactions` that the store belongs to.

    Attributes:
      users: start of each user's decisions, and their end.
      query: query of each decision.
      offer: candidate set of each decision, a row of `offers`.
      first: LLM whose answer was displayed first, -1 if missing.
      feedback_start: start of the feedback on each decision, and its end.
      feedback_llm, feedback_value, feedback_kind: as in `Feedback`.
      offers: the candidate sets.
    """

    users: Int[np.ndarray, " users_and_1"]
    query: Int[np.ndarray, " decisions"]
    offer: Int[np.ndarray, " decisions"]
    first: Int[np.ndarray, " decisions"]
    feedback_start: Int[np.ndarray, " decisions_and_1"]
    feedback_llm: Int[np.ndarray, " feedback"]
    feedback_value: Float[np.ndarray, " feedback"]
    feedback_kind: Int[np.ndarray, " feedback"]
    offers: Bool[np.ndarray, "sets llms"]

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.users) - 1

    @property
    def has_ratings(self) -> bool:
        """Whether any feedback is a rating; reads all of it."""
        return bool((self.feedback_kind == RATING).any())

    @property
    def has_thumbs(self) -> bool:
        """Whether any feedback is a thumb; reads all of it."""
        return bool((self.feedback_kind == THUMB).any())

    @property
    def has_sides(self) -> bool:
        """Whether any decision records which answer was displayed first; reads all of them."""
        return bool((self.first >= 0).any())


def build_store(data: Interactions) -> HistoryStore:
    """A store of all decisions, each user's in the order of their rows."""
    decisions, feedback = data.decisions, data.feedback
    order = np.argsort(decisions.user, kind="stable")
    new_row = np.empty(len(order), np.int64)
    new_row[order] = np.arange(len(order))
    decision = new_row[feedback.decision]
    by_decision = np.argsort(decision, kind="stable")
    columns = {
        "users": _starts(decisions.user, len(data.users.ids)),
        "query": decisions.query[order],
        "offer": decisions.offer[order],
        "first": decisions.first[order],
        "feedback_start": _starts(decision, len(order)),
        "feedback_llm": feedback.llm[by_decision],
        "feedback_value": feedback.value[by_decision],
        "feedback_kind": feedback.kind[by_decision],
    }
    return HistoryStore(
        **{name: columns[name].astype(kind) for name, (_, kind) in _COLUMNS.items()}, offers=data.offers
    )


def open_store(folder: pathlib.Path) -> HistoryStore:
    """Memory-maps a folder that `StoreWriter` wrote.

    Raises:
      ValueError: if a file is missing or differs from the manifest.
    """
    try:
        files.verify(folder)
    except ValueError as error:
        raise ValueError(f"{folder}: expected histories as they were written, found {error}") from None
    columns = {name: _mapped(folder / file, kind) for name, (file, kind) in _COLUMNS.items()}
    return HistoryStore(**columns, offers=np.load(folder / _OFFERS, allow_pickle=False))


class StoreWriter:
    """Writes a store to a folder, group of users after group; a context manager that completes the folder at its end.

    Args:
      folder: must not exist.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        folder.mkdir(parents=True)
        self.open = {name: open(folder / file, "wb") for name, (file, _) in _COLUMNS.items()}  # noqa: SIM115
        self.sets: dict[bytes, int] = {}
        self.ends = {"users": 0, "feedback_start": 0}

    def __enter__(self) -> "StoreWriter":
        for name in self.ends:
            self.open[name].write(np.zeros(1, np.int64).tobytes())
        return self

    def __exit__(self, kind, *_) -> None:
        for file in self.open.values():
            file.close()
        if kind is None:
            llms = len(next(iter(self.sets), b""))
            offers = np.frombuffer(b"".join(self.sets), np.uint8).reshape(-1, llms).astype(bool)
            write_array(self.folder / _OFFERS, offers)
            files.write_manifest(self.folder, {"decisions": self.ends["users"]})

    def append(self, part: HistoryStore) -> None:
        """Appends the users of another store."""
        sets = [self.sets.setdefault(row.tobytes(), len(self.sets)) for row in part.offers.astype(np.uint8)]
        columns = {name: getattr(part, name) for name in _COLUMNS}
        columns["offer"] = np.array(sets, np.int32)[part.offer]
        for name, end in self.ends.items():
            self.ends[name] = end + int(columns[name][-1])
            columns[name] = columns[name][1:] + end
        for name, (_, kind) in _COLUMNS.items():
            self.open[name].write(columns[name].astype(kind).tobytes())  # `tofile` forgets an error of the disk


def _starts(group: np.ndarray, number: int) -> np.ndarray:
    """Start of each group in sorted rows, and the end: int64 [number + 1]."""
    return np.concatenate([[0], np.cumsum(np.bincount(group, minlength=number))])


def _mapped(path: pathlib.Path, kind: type) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, kind)
    return np.memmap(path, kind, "r")
