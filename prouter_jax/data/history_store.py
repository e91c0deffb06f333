"""`HistoryStore`: the histories of any number of users as flat columns, in memory or mapped from a folder.

    users.bin       int64 [users + 1]: where each user's decisions begin
    query.bin       int32 [decisions], offer.bin int32 [decisions] (a row of offers.npy), first.bin int16 [decisions]
    said.bin        int64 [decisions + 1]: where the feedback on each decision begins
    said_llm.bin    int16 [feedback], said_value.bin float32, said_kind.bin int8 (interactions.KINDS)
    offers.npy      bool [candidate sets, llms]
    manifest.json   SHA-256 sums; written last

Rows of queries and LLMs are those of the data that the store belongs to.
"""

import dataclasses
import pathlib

import numpy as np

from prouter_jax.data.interactions import RATING, THUMB, Interactions
from prouter_jax.io import files

_COLUMNS = {
    "users": np.int64,
    "query": np.int32,
    "offer": np.int32,
    "first": np.int16,
    "said": np.int64,
    "said_llm": np.int16,
    "said_value": np.float32,
    "said_kind": np.int8,
}
_OFFERS = "offers.npy"


@dataclasses.dataclass(frozen=True)
class HistoryStore:
    """Columns as in the module's table; `first` is the LLM whose answer was shown first, -1 where unknown."""

    users: np.ndarray
    query: np.ndarray
    offer: np.ndarray
    first: np.ndarray
    said: np.ndarray
    said_llm: np.ndarray
    said_value: np.ndarray
    said_kind: np.ndarray
    offers: np.ndarray

    @property
    def num_users(self) -> int:
        return len(self.users) - 1

    @property
    def has_ratings(self) -> bool:
        """Whether any feedback is a rating; looks at all of it."""
        return bool((self.said_kind == RATING).any())

    @property
    def has_thumbs(self) -> bool:
        """Whether any feedback is a thumb; looks at all of it."""
        return bool((self.said_kind == THUMB).any())

    @property
    def has_sides(self) -> bool:
        """Whether any decision says whose answer was shown first; looks at all of them."""
        return bool((self.first >= 0).any())


def store_of(data: Interactions) -> HistoryStore:
    """The decisions of `data`, user by user in the order of their rows."""
    decisions, feedback = data.decisions, data.feedback
    order = np.argsort(decisions.user, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    at = place[feedback.decision]
    said = np.argsort(at, kind="stable")
    columns = {
        "users": _starts(decisions.user, len(data.users.ids)),
        "query": decisions.query[order],
        "offer": decisions.offer[order],
        "first": decisions.first[order],
        "said": _starts(at, len(order)),
        "said_llm": feedback.llm[said],
        "said_value": feedback.value[said],
        "said_kind": feedback.kind[said],
    }
    return HistoryStore(**{name: columns[name].astype(kind) for name, kind in _COLUMNS.items()}, offers=data.offers)


def open_store(folder: pathlib.Path) -> HistoryStore:
    """Maps a folder that `StoreWriter` wrote; reading a row reads no others.

    Raises:
      ValueError: if a file is missing or differs from the manifest.
    """
    try:
        files.verify(folder)
    except ValueError as error:
        raise ValueError(f"{folder}: expected histories as they were written, found {error}") from None
    columns = {name: _mapped(folder / f"{name}.bin", kind) for name, kind in _COLUMNS.items()}
    return HistoryStore(**columns, offers=np.load(folder / _OFFERS, allow_pickle=False))


class StoreWriter:
    """Writes a store users after users; a context manager, after which the folder is whole.

    Args:
      folder: new.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        folder.mkdir(parents=True)
        self.open = {name: open(folder / f"{name}.bin", "wb") for name in _COLUMNS}  # noqa: SIM115
        self.sets: dict[bytes, int] = {}
        self.ends = {"users": 0, "said": 0}

    def __enter__(self) -> "StoreWriter":
        for name in self.ends:
            np.zeros(1, np.int64).tofile(self.open[name])
        return self

    def __exit__(self, kind, *_) -> None:
        for file in self.open.values():
            file.close()
        if kind is None:
            llms = len(next(iter(self.sets), b""))
            offers = np.frombuffer(b"".join(self.sets), np.uint8).reshape(-1, llms).astype(bool)
            np.save(self.folder / _OFFERS, offers)
            files.write_manifest(self.folder, {"decisions": self.ends["users"]})

    def append(self, part: HistoryStore) -> None:
        """Adds the users of `part` after those that are there."""
        sets = [self.sets.setdefault(row.tobytes(), len(self.sets)) for row in part.offers.astype(np.uint8)]
        columns = {name: getattr(part, name) for name in _COLUMNS}
        columns["offer"] = np.array(sets, np.int32)[part.offer]
        for name, end in self.ends.items():
            self.ends[name] = end + int(columns[name][-1])
            columns[name] = columns[name][1:] + end
        for name, kind in _COLUMNS.items():
            columns[name].astype(kind).tofile(self.open[name])


def _starts(group: np.ndarray, number: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(group, minlength=number))])


def _mapped(path: pathlib.Path, kind: type) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, kind)
    return np.memmap(path, kind, "r")
