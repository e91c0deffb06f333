"""`LiveRouter`: routes single requests in memory, and heeds feedback at once.

A user's state is a small array. Feedback appends one decision to the user's history and computes this state again: no
other user is read, no kernel is factorised, and programs for longer histories are compiled beforehand. States are
equal, up to rounding, to those that `Router.with_history` computes from the same feedback in a file.
"""

import collections
import dataclasses
import functools
import json
import pathlib
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from prouter_jax.data.history_store import HistoryStore, build_store
from prouter_jax.data.interactions import CHOICE, KINDS, RATING, THUMB, Interactions
from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.model.one_user import AskedQuery, OneHistory, OneUserReader
from prouter_jax.model.query_batch import QueryBatch
from prouter_jax.model.user_covariance import covariance_factor
from prouter_jax.serving import routing
from prouter_jax.serving.exploration import BEST, NO_EXPLORATION, Exploration
from prouter_jax.serving.live_feedback import LiveFeedback, query_text

_CACHED_BYTES = 1 << 28  # of histories that are ready for more feedback
_FACTORS = 1000  # users whose posterior covariance is kept, where picks are drawn from it
_LENGTHS = (16, 32, 64, 128, 256)  # histories whose programs are compiled at the start
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


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The LLMs for one request, best first.

    Attributes:
      llms: their names; the first is the pick, the others are fallbacks.
      probabilities: that the user chooses each among these.
      costs: expected cost of each answer in USD, at current prices.
      basis: "history", or "cold_start" for a user without history.
      propensities: with which each is picked; they sum to 1.
      reason: why the first is the pick: "best", "explored", or "held" at the pick of a user without history.
    """

    llms: list[str]
    probabilities: list[float]
    costs: list[float]
    basis: str
    propensities: list[float]
    reason: str = BEST


class LiveRouter:
    """Routes requests with a trained router and takes feedback; safe to call from several threads.

    Args:
      router: the trained router.

    Example:
      >>> from prouter_jax import Router
      >>> from prouter_jax.serving.live import LiveRouter
      >>> from prouter_jax.serving.live_feedback import LiveFeedback
      >>> live = LiveRouter(Router.load("runs/embedded"))
      >>> ranking = live.route("ann", "What is 2 + 2?")
      >>> ranking.basis
      'cold_start'
      >>> live.observe(LiveFeedback("ann", "What is 2 + 2?", kind="thumb", llm=ranking.llms[0], value=0.0))
      >>> live.route("ann", "What is 2 + 2?").basis
      'history'
    """

    def __init__(self, router: Trained):
        self.router, self._lock = router, threading.RLock()
        self._llms = {name: row for row, name in enumerate(router.pool.llms)}
        known = router.interactions.queries.texts[: len(router.pool.query_rows)]
        self._by_text = dict(zip(known[::-1], range(len(known))[::-1], strict=True))  # of equal texts, the first wins
        self._said: dict[str, list[LiveFeedback]] = {}
        self._states: dict[str, np.ndarray] = {}
        self._histories: collections.OrderedDict[str, OneHistory] = collections.OrderedDict()
        self._bytes = 0  # of these
        self._factors: collections.OrderedDict[bytes, np.ndarray] = collections.OrderedDict()
        if self._reader is not None:
            self._reader.compile(_LENGTHS)

    @property
    def llms(self) -> list[str]:
        """Names of the LLMs."""
        return list(self._llms)

    @property
    def needs_texts(self) -> bool:
        """Whether feedback needs the text of its query: features are not enough for this network."""
        return self._reader is None

    def prepare(self, explore: Exploration) -> None:
        """Compiles what drawing picks needs, so that no request waits for it.

        Raises:
          ValueError: if picks are drawn from the posterior and this network has none of single users.
        """
        if not explore.needs_posterior:
            return
        if self._reader is None:
            raise ValueError(_NO_POSTERIOR)
        for length in _LENGTHS:
            covariance_factor(self._reader.reader, self._reader.history(length), self.router.pool.users[-1])

    def weights(self, user: str) -> dict[str, tuple[float, float]]:
        """The user's weight on each named property of answers, and a new user's; empty if states are no weights."""
        pool = self.router.pool
        with self._lock:
            state = self._states.get(user)
            state = pool.users[pool.user_rows.get(user, len(pool.users) - 1)] if state is None else state
            new, named = pool.scorer.cold_start_user, pool.scorer.named
            return {name: (float(state[at][0]), float(new[at][0])) for name, at in named.items() if len(new[at]) == 1}

    def route(
        self,
        user: str,
        query: str | Sequence[Mapping[str, Any]] | None = None,
        *,
        query_id: str | None = None,
        task_id: str | None = None,
        candidates: Sequence[str] | None = None,
        max_cost: float | None = None,
        explore: Exploration | None = None,
    ) -> Ranking:
        """Ranks the LLMs for a request.

        Args:
          user: id of the user; an unknown one is a user without history.
          query: its text, or chat messages, see `live_feedback.query_text`.
          query_id: id of a query of the router, in place of a text.
          task_id: id of the task of a text, None for none.
          candidates: the LLMs on offer; None for all.
          max_cost: highest expected cost of an answer in USD.
          explore: how the pick is drawn; None for the best LLM. The fallbacks are in order of their probability.

        Raises:
          ValueError: one line that names the argument, if there is nothing to rank; or as `prepare`.
        """
        pool = self.router.pool
        with self._lock:
            row, text, task = self._find(query, query_id, task_id)
            asked, cost = routing.ask(pool, text, task) if row is None else routing.recall(pool, row)
            state = self._states.get(user)
            known = pool.user_rows.get(user, len(pool.users) - 1)
            has_history = state is not None or bool(pool.has_history[known])
            offered = self._offered(candidates, cost, max_cost)
            state = pool.users[known] if state is None else state
            logits = self._logits(state, asked)[offered]
            pick, propensities, reason = self._draw(user, state, asked, logits, offered, explore or NO_EXPLORATION)
        shares = np.exp(logits - logits.max())
        first = np.arange(len(shares)) != pick
        order = np.lexsort((-shares, first))
        chosen, shares, propensities = offered[order], (shares / shares.sum())[order], propensities[order]
        basis, names = "history" if has_history else "cold_start", [self.llms[i] for i in chosen]
        return Ranking(names, shares.tolist(), cost[chosen].tolist(), basis, propensities.tolist(), reason)

    def observe(self, feedback: LiveFeedback) -> None:
        """Takes a piece of feedback; the next `route` of this user heeds it.

        Raises:
          ValueError: one line that names the field, what was expected and what was found; nothing is taken then.
        """
        self._check(feedback)
        with self._lock:
            said = [*self._said.get(feedback.user, ()), feedback]
            self._states[feedback.user] = self._read(feedback.user, said)
            self._said[feedback.user] = said

    def forget(self, user: str) -> bool:
        """Forgets all feedback of a user that came by `observe`; returns whether there was any."""
        with self._lock:
            self._states.pop(user, None)
            self._drop(user)
            return self._said.pop(user, None) is not None

    def replay(self, feedback: Iterable[LiveFeedback]) -> None:
        """Takes feedback of an earlier process, in its order; each user is read once.

        Raises:
          ValueError: as `observe`.
        """
        with self._lock:
            for one in feedback:
                self._check(one)
                self._said.setdefault(one.user, []).append(one)
            for user, said in self._said.items():
                self._states[user] = self._read(user, said)

    def locate(self, query: str | Sequence[Mapping[str, Any]], task_id: str | None = None) -> dict[str, Any]:
        """Returns what `LiveFeedback` needs of a query in place of its text: its query_id, or its features.

        Raises:
          ValueError: on an empty text or an unknown task.
        """
        row, text, task = self._find(query, None, task_id)
        if row is not None:
            return {"query_id": str(self.router.interactions.queries.ids[row])}
        places = self.router.pool.encode([text], np.array([task]))
        number = np.array([places.task[0]], np.float32)
        return {"features": np.concatenate([places.vectors[0], places.style[0], number]).tobytes()}

    @functools.cached_property
    def _reader(self) -> OneUserReader | None:
        applied = self.router.pool.scorer.applied
        return None if applied is None else applied.one_user_reader()

    @functools.cached_property
    def _store(self) -> HistoryStore:
        return build_store(self.router.interactions)

    @functools.cached_property
    def _users(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.router.interactions.users.ids)}

    def _check(self, feedback: LiveFeedback) -> None:
        feedback.check(self._llms)
        if feedback.features is None:
            self._find(feedback.query, feedback.query_id, feedback.task_id)

    def _find(self, query, query_id: str | None, task_id: str | None) -> tuple[int | None, str, int]:
        """Row of a known query, or None with the text and the row of its task (-1 for none)."""
        pool = self.router.pool
        if task_id is not None and task_id not in pool.task_rows:
            raise ValueError(f"task_id: expected a task of the router or none, found {task_id!r}")
        if query_id is not None and query_id in pool.query_rows:
            return pool.query_rows[query_id], "", -1
        text = query_text(query) if query is not None else ""
        if not text:
            found = "none" if query_id is None else f"query_id {query_id!r}"
            raise ValueError(f"query: expected a text or a query_id of the router, found {found}")
        row = self._by_text.get(text)
        return row, text, -1 if task_id is None else pool.task_rows[task_id]

    def _offered(self, candidates, cost: np.ndarray, max_cost: float | None) -> np.ndarray:
        """Rows of the LLMs that may be picked."""
        names = self.llms if candidates is None else list(dict.fromkeys(candidates))
        unknown = [name for name in names if name not in self._llms]
        if unknown:
            raise ValueError(f"candidates: expected LLMs among {', '.join(self.llms)}, found {', '.join(unknown)}")
        rows = np.array([self._llms[name] for name in names], np.int64)
        if not len(rows):
            raise ValueError("candidates: expected at least one LLM, found none")
        if max_cost is not None:
            rows = rows[cost[rows] <= max_cost]
            if not len(rows):
                raise ValueError(f"max_cost: no candidate is expected to cost at most {max_cost:g} USD")
        return rows

    def _logits(self, state: np.ndarray, asked: QueryBatch) -> Float[np.ndarray, " llms"]:
        pool, first = self.router.pool, np.zeros(1, np.int64)
        found = pool.temperature * pool.scorer.logits(state[None], asked, first, first)[0]
        if not np.isfinite(found).all():
            raise ValueError("scores: expected finite ones, found others")
        return found

    def _draw(self, user: str, state, asked: QueryBatch, logits, offered, explore: Exploration):
        """The pick, a row of `offered`; the probability of each to be it; why it is."""
        if explore == NO_EXPLORATION:
            return explore.draw(logits, logits)
        blind, slopes = self._logits(self.router.pool.users[-1], asked)[offered], None
        if explore.needs_posterior:
            slopes = self._slopes(state) * asked.answers[0, offered] @ self._factor(user, state)
        return explore.draw(logits, blind, slopes)

    def _slopes(self, state: np.ndarray) -> float:
        """Derivative of a logit in the utility, where similar users count as well."""
        scorer = self.router.pool.scorer
        mixed = 1.0 if scorer.mixer is None else (1 - state[-2]) * state[-1]
        return self.router.pool.temperature * scorer.sharpness * mixed

    def _factor(self, user: str, state: np.ndarray) -> np.ndarray:
        """`user_covariance.covariance_factor` of a user, kept until the state changes."""
        if self._reader is None:
            raise ValueError(_NO_POSTERIOR)
        key = state.tobytes()  # users without history share one
        found = self._factors.pop(key, None)
        if found is None:
            history = self._history(user, self._said.get(user, []))
            found = covariance_factor(self._reader.reader, history, state)
        self._factors[key] = found
        if len(self._factors) > _FACTORS:
            self._factors.popitem(last=False)
        return found

    def _read(self, user: str, said: list[LiveFeedback]) -> np.ndarray:
        """State of a user with feedback."""
        if self._reader is None:
            return _read_by_file(self.router, user, said)
        return self._reader.read(self._history(user, said), user)

    def _history(self, user: str, said: list[LiveFeedback]) -> OneHistory:
        """The user's history with live feedback."""
        history = self._drop(user)
        taken = len(self._said.get(user, ())) if history is not None else 0
        history = self._start(user) if history is None else history
        for one in said[taken:]:
            history.append(self._asked(one), one.said(self._llms))
        self._keep(user, history)
        return history

    def _keep(self, user: str, history: OneHistory) -> None:
        """Keeps a history that is ready for more feedback, in place of those least recently used."""
        self._histories[user] = history
        self._bytes += history.nbytes
        while self._bytes > _CACHED_BYTES and len(self._histories) > 1:
            self._drop(next(iter(self._histories)))

    def _drop(self, user: str) -> OneHistory | None:
        history = self._histories.pop(user, None)
        self._bytes -= 0 if history is None else history.nbytes
        return history

    def _start(self, user: str) -> OneHistory:
        """The user's history without live feedback."""
        assert self._reader is not None
        history, store, data = self._reader.history(), self._store, self.router.interactions
        row = self._users.get(user)
        if row is None:
            return history
        for decision in range(store.users[row], store.users[row + 1]):
            query = int(store.query[decision])
            if query < len(self._reader.unseen):
                asked = self._reader.recall(query)
            else:
                task = np.array([data.queries.task[query]])
                asked = self._reader.ask(self.router.pool.encode([data.queries.texts[query]], task))[0]
            history.append(asked, _said_in(store, decision))
        return history

    def _asked(self, feedback: LiveFeedback) -> AskedQuery:
        assert self._reader is not None
        if feedback.features is not None:
            return self._reader.ask(self._places(feedback.features))[0]
        row, text, task = self._find(feedback.query, feedback.query_id, feedback.task_id)
        if row is not None:
            return self._reader.recall(row)
        return self._reader.ask(self.router.pool.encode([text], np.array([task])))[0]

    def _places(self, features: bytes) -> QueryFeatures:
        assert self._reader is not None
        width, style = (x.shape[1] for x in (self._reader.places.vectors, self._reader.places.style))
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
            if one.features is not None:
                raise ValueError("features: expected a text, which the network of this router needs; found features")
            path = pathlib.Path(folder) / f"{number}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in one.table_rows()))
            router = router.with_history(path)
    return router.users[list(router.interactions.users.ids).index(user)]
