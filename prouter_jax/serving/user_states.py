"""`UserStates`: states of users who gave feedback live, from their histories in training and what they said since."""

import collections
import functools
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from prouter_jax.data.history_store import HistoryStore, build_store
from prouter_jax.data.interactions import CHOICE, KINDS, RATING, THUMB, Interactions
from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.model.one_user import AskedQuery, OneHistory
from prouter_jax.model.user_covariance import covariance_factor
from prouter_jax.serving import routing
from prouter_jax.serving.live_feedback import LiveFeedback

_CACHED_BYTES = 1 << 28  # of histories that are ready for more feedback
_FACTORS = 1000  # users whose posterior covariance is kept, where picks are drawn from it
_LENGTHS = (4, 8, 16, 32, 64, 128, 256)  # histories whose programs are compiled at the start
_NO_POSTERIOR = "explore: expected a network with a posterior of single users, found none; epsilon needs none"
_MASKS = {RATING: "rated", THUMB: "thumbed"}


class Trained(Protocol):
    """What is needed of `serving.router.Router`."""

    @property
    def pool(self) -> routing.Pool:
        """The router in the form that routing needs."""
        ...

    @property
    def interactions(self) -> Interactions:
        """Its data; the first queries are those of the pool."""
        ...

    @property
    def users(self) -> np.ndarray:
        """States of the users of `interactions`."""
        ...

    def with_history(self, path: pathlib.Path) -> Any:
        """A router with the feedback in a file."""
        ...


class UserStates:
    """Reads users with feedback; the caller holds a lock.

    Args:
      router: the trained router.
      features_of: function from feedback with a text or a query_id to the row of its known query, or None with the
        features of a new one.
    """

    def __init__(self, router: Trained, features_of: Callable[[LiveFeedback], tuple[int | None, QueryFeatures | None]]):
        self._router, self._features_of = router, features_of
        self._llms = {name: row for row, name in enumerate(router.pool.llms)}
        applied = router.pool.scorer.applied
        self._reader = None if applied is None else applied.one_user_reader()
        self._histories: collections.OrderedDict[str, OneHistory] = collections.OrderedDict()
        self._taken: dict[str, int] = {}  # pieces of feedback in each of these
        self._bytes = 0  # of these
        self._factors: collections.OrderedDict[bytes, np.ndarray] = collections.OrderedDict()
        if self._reader is not None:
            self._reader.compile(_LENGTHS)

    @property
    def needs_texts(self) -> bool:
        """Whether feedback needs the text of its query: features are not enough for this network."""
        return self._reader is None

    def check(self, features: bytes) -> None:
        """Checks features of a query.

        Raises:
          ValueError: if this network needs texts, or they are of another encoder.
        """
        if self._reader is None:
            raise ValueError("features: expected a text, which the network of this router needs; found features")
        unpack(features, self._reader.places)

    def read(self, user: str, said: list[LiveFeedback]) -> Float[np.ndarray, " width"]:
        """Computes the state of a user.

        Args:
          said: all feedback that the user gave live; it starts with what it was at the last call.
        """
        if self._reader is None:
            return _read_by_file(self._router, user, said)
        history = self._history(user, said)
        try:
            return self._reader.read(history, user)
        except BaseException:
            self.drop(user)  # what could not be read is not said
            raise

    def compile_factors(self) -> None:
        """Compiles what `factor` needs.

        Raises:
          ValueError: if this network has no posterior of single users.
        """
        if self._reader is None:
            raise ValueError(_NO_POSTERIOR)
        for length in _LENGTHS:
            covariance_factor(self._reader.reader, self._reader.history(length), self._router.pool.users[-1])

    def factor(self, user: str, said: list[LiveFeedback], state: np.ndarray) -> Float[np.ndarray, "features features"]:
        """Returns `user_covariance.covariance_factor` of a user, which is kept until the state changes.

        Args:
          said: as of `read`.
          state: of the user.

        Raises:
          ValueError: as `compile_factors`.
        """
        if self._reader is None:
            raise ValueError(_NO_POSTERIOR)
        key = state.tobytes()  # users without history share one
        found = self._factors.pop(key, None)
        if found is None:
            found = covariance_factor(self._reader.reader, self._history(user, said), state)
        self._factors[key] = found
        if len(self._factors) > _FACTORS:
            self._factors.popitem(last=False)
        return found

    def drop(self, user: str) -> OneHistory | None:
        """Drops the user's history, which the next `read` makes anew; returns it."""
        history = self._histories.pop(user, None)
        self._bytes -= 0 if history is None else history.nbytes
        self._taken.pop(user, None)
        return history

    @functools.cached_property
    def _store(self) -> HistoryStore:
        return build_store(self._router.interactions)

    @functools.cached_property
    def _users(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self._router.interactions.users.ids)}

    def _history(self, user: str, said: list[LiveFeedback]) -> OneHistory:
        """The user's history with live feedback, which is kept in place of those least recently used."""
        assert self._reader is not None
        taken, history = self._taken.get(user, 0), self.drop(user)  # it is kept once it has all
        history = self._start(user) if history is None else history
        for one in said[taken:]:
            self._reader.append(history, self._asked(one), one.said(self._llms))
        self._histories[user], self._taken[user] = history, len(said)
        self._bytes += history.nbytes
        while self._bytes > _CACHED_BYTES and len(self._histories) > 1:
            self.drop(next(iter(self._histories)))
        return history

    def _start(self, user: str) -> OneHistory:
        """The user's history without live feedback."""
        assert self._reader is not None
        history, store, data = self._reader.history(), self._store, self._router.interactions
        row = self._users.get(user)
        if row is None:
            return history
        for decision in range(store.users[row], store.users[row + 1]):
            query = int(store.query[decision])
            if query < len(self._reader.unseen):
                asked = self._reader.recall(query)
            else:
                task = np.array([data.queries.task[query]])
                asked = self._reader.ask(self._router.pool.encode([data.queries.texts[query]], task))[0]
            self._reader.append(history, asked, _said_in(store, decision))
        return history

    def _asked(self, feedback: LiveFeedback) -> AskedQuery:
        assert self._reader is not None
        if feedback.features is not None:
            row, places = None, unpack(feedback.features, self._reader.places)
        else:
            row, places = self._features_of(feedback)
        if row is not None:
            return self._reader.recall(row)
        assert places is not None
        return self._reader.ask(places)[0]


def pack(places: QueryFeatures) -> bytes:
    """The features of one query as bytes, for `LiveFeedback.features`."""
    number = np.array([places.task[0]], np.float32)
    return np.concatenate([places.vectors[0], places.style[0], number]).tobytes()


def unpack(features: bytes, like: QueryFeatures) -> QueryFeatures:
    """The inverse of `pack`.

    Args:
      like: other features, of the same widths.

    Raises:
      ValueError: if the widths differ.
    """
    width, style = (x.shape[1] for x in (like.vectors, like.style))
    values = np.frombuffer(features, np.float32)
    if len(values) != width + style + 1:
        raise ValueError(f"features: expected {width + style + 1} numbers, found {len(values)}")
    return QueryFeatures(values[None, :width], values[None, width:-1], values[-1:].astype(np.int32))


def _said_in(store: HistoryStore, decision: int) -> dict[str, np.ndarray]:
    """A decision of a store as columns of `OneHistory.append`."""
    offered = store.offers[store.offer[decision]]
    columns = {"offered": offered.astype(np.int8), "target": np.zeros(len(offered), np.float32)}
    for kind in (RATING, THUMB):
        columns |= {KINDS[kind]: np.zeros(len(offered), np.float32), _MASKS[kind]: np.zeros(len(offered), np.int8)}
    for row in range(store.feedback_start[decision], store.feedback_start[decision + 1]):
        kind, llm = int(store.feedback_kind[row]), store.feedback_llm[row]
        columns["target" if kind == CHOICE else KINDS[kind]][llm] = store.feedback_value[row]
        if kind != CHOICE:
            columns[_MASKS[kind]][llm] = 1
    if store.first[decision] >= 0:
        columns["shown_first"] = (np.arange(len(offered)) == store.first[decision]).astype(np.int8)
    return columns


def _read_by_file(router: Trained, user: str, said: list[LiveFeedback]) -> np.ndarray:
    """State of a user where it depends on more than a history, by the router's own path, which reads whole tables."""
    with tempfile.TemporaryDirectory() as folder:
        for number, one in enumerate(said):
            path = pathlib.Path(folder) / f"{number}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in one.table_rows()))
            router = router.with_history(path)
    return router.users[list(router.interactions.users.ids).index(user)]
