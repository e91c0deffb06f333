"""`OneUserReader`: the state of one user from a history that grows, for routing live; equations in `unseen_queries`.

It computes what `UnseenReader` does of users in tables, from arrays that are prepared once for each decision, so that
feedback on one query costs neither a pass over other queries nor over other users.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.model.unseen_histories import UnseenReader

_LEAST, _GROWTH = 4, 2  # sizes of histories: 4, 8, 16, ...; a program is compiled for each
_MOST_PREDICTED = 64  # decisions on unseen queries, where a history is long but few of its queries are unseen
_NUMBERS = {"target": np.float32, "rating": np.float32, "thumb": np.float32}
_MASKS = {"offered": np.int8, "rated": np.int8, "thumbed": np.int8, "shown_first": np.int8}


@dataclasses.dataclass(frozen=True)
class AskedQuery:
    """What a history needs of the query of a decision.

    Attributes:
      answers: features of the answers, at the prices of training, expected ones for an unseen query; [llms, features].
      weights: of the known queries in the prediction for an unseen query, [known]; None for a known query.
    """

    answers: np.ndarray
    weights: np.ndarray | None


class OneHistory:
    """The decisions of a user as arrays with room for more; candidates are all LLMs.

    Args:
      llms, features, known: sizes, as of `AskedQuery`.
      known_users: number of the known users.
      room: number of decisions before it grows.
    """

    def __init__(self, llms: int, features: int, known: int, known_users: int = 0, room: int = _LEAST):
        self.llms, self.number, self.predicted = llms, 0, 0
        self.columns = {name: np.zeros((room, llms), kind) for name, kind in (_NUMBERS | _MASKS).items()}
        self.answers = np.zeros((room, llms, features), np.float32)
        self.agreement = np.zeros(known_users, np.float32)
        predicted = min(room, _MOST_PREDICTED)
        self.weights, self.at = np.zeros((predicted, known), np.float32), np.full(predicted, -1, np.int32)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(x.nbytes for x in (*self.columns.values(), self.answers, self.weights, self.at))

    def batch(self) -> dict[str, np.ndarray]:
        """Returns the decisions as one row of `data.batches.Batches.rows`."""
        size = len(self.answers)
        shown = (np.arange(size) < self.number).astype(np.float32)
        llm = np.broadcast_to(np.arange(self.llms, dtype=np.int16), (size, self.llms))
        return self.columns | {"query": np.zeros(size, np.int32), "shown": shown, "llm": llm}

    def append(self, asked: AskedQuery, said: dict[str, np.ndarray], agreement: np.ndarray | float = 0.0) -> None:
        """Appends a decision.

        Args:
          asked: its query.
          said: offered, target, rating, rated, thumb, thumbed, shown_first as in `data.batches.Batches.rows`, [llms]
            each; what is left out is 0.
          agreement: how well each known user explains it, [known_users].
        """
        self.agreement += agreement
        if self.number == len(self.answers):
            self._grow()
        row, self.number = self.number, self.number + 1
        self.answers[row] = asked.answers
        for name, values in said.items():
            self.columns[name][row] = values
        if asked.weights is not None:
            if self.predicted == len(self.at):
                self._grow_predicted()
            self.weights[self.predicted], self.at[self.predicted] = asked.weights, row
            self.predicted += 1

    def _grow(self) -> None:
        size = len(self.answers) * _GROWTH
        self.answers = _longer(self.answers, size, 0)
        self.columns = {name: _longer(values, size, 0) for name, values in self.columns.items()}
        if len(self.at) < min(size, _MOST_PREDICTED):
            self._grow_predicted()

    def _grow_predicted(self) -> None:
        size = min(len(self.at) * _GROWTH, len(self.answers))
        self.weights, self.at = _longer(self.weights, size, 0), _longer(self.at, size, -1)


@dataclasses.dataclass(frozen=True)
class OneUserReader:
    """Reads histories of single users.

    Attributes:
      reader: of histories on unseen queries.
      answers: features of the answers to known queries, at the prices of training, [queries, llms, features].
      unseen: those of these queries without observed answers, bool [queries].
      places: features of these queries.
    """

    reader: UnseenReader
    answers: Float[np.ndarray, "queries llms features"]
    unseen: Bool[np.ndarray, " queries"]
    places: QueryFeatures

    def recall(self, row: int) -> AskedQuery:
        """Prepares a known query."""
        weights = self.reader.ask(self.places.take([row]))[1][0] if self.unseen[row] else None
        return AskedQuery(self.answers[row], weights)

    def ask(self, places: QueryFeatures) -> list[AskedQuery]:
        """Prepares unseen queries from their features."""
        return [AskedQuery(*of_query) for of_query in zip(*self.reader.ask(places), strict=True)]

    def history(self, room: int = _LEAST) -> OneHistory:
        """Returns an empty history, with room for so many decisions before it grows."""
        _, llms, features = self.answers.shape
        similar = self.reader.similar
        known_users = 0 if similar is None else len(similar.ids)
        return OneHistory(llms, features, len(self.reader.answers), known_users, room)

    def append(self, history: OneHistory, asked: AskedQuery, said: dict[str, np.ndarray]) -> None:
        """Appends a decision to a history; arguments as of `OneHistory.append`."""
        one = OneHistory(history.llms, history.answers.shape[2], history.weights.shape[1], room=1)
        one.append(asked, said)
        history.append(asked, said, self.reader.agreement(*self._arrays(one), one.weights)[0])

    def read(self, history: OneHistory, user_id: str) -> Float[np.ndarray, " width"]:
        """Computes the state of a user with at least one decision."""
        similar = self.reader.similar
        other = np.zeros(0, np.float32) if similar is None else (similar.ids != user_id).astype(np.float32)
        rest = (history.weights, history.agreement[None], other[None])
        return self.reader.read_batch(*self._arrays(history), *rest)[0]

    def _arrays(self, history: OneHistory) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """The first arguments of `UnseenReader.read_batch`."""
        place = np.arange(len(history.at), dtype=np.int32)[None]
        return {name: x[None] for name, x in history.batch().items()}, history.answers[None], history.at[None], place

    def compile(self, lengths: Iterable[int]) -> None:
        """Compiles the programs for histories of some lengths, so that no user waits for it."""
        nothing = {"offered": np.ones(self.answers.shape[1], np.int8)}
        asked = AskedQuery(self.answers[0], np.zeros(len(self.reader.answers), np.float32))
        for length in lengths:
            history = self.history(length)
            self.append(history, asked, nothing)
            self.read(history, "")


def _longer(values: np.ndarray, size: int, filled: int) -> np.ndarray:
    longer = np.full((size, *values.shape[1:]), filled, values.dtype)
    longer[: len(values)] = values
    return longer
