"""`LiveRouter`: routes single requests in memory, and heeds feedback at once.

A user's state is a small array. Feedback appends one decision to the user's history and computes this state again: no
other user is read, no kernel is factorised, and programs for longer histories are compiled beforehand. States are
equal, up to rounding, to those that `Router.with_history` computes from the same feedback in a file.
"""

import dataclasses
import threading
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from prouter_jax.data.query_features import QueryFeatures
from prouter_jax.model.query_batch import QueryBatch
from prouter_jax.serving import routing
from prouter_jax.serving.exploration import BEST, NO_EXPLORATION, Exploration
from prouter_jax.serving.live_feedback import LiveFeedback, query_text
from prouter_jax.serving.live_query import CostChange, FoundQuery, PreparedQuery, with_costs
from prouter_jax.serving.offer import EVERYTHING, Latencies, Offer
from prouter_jax.serving.user_states import Trained, UserStates, pack

_LEARNT: Mapping[str, float] = types.MappingProxyType({})


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
      latencies: of the LLMs; those of a router that this one follows, or none yet.

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

    def __init__(self, router: Trained, latencies: Latencies | None = None):
        self.router, self._lock = router, threading.RLock()
        self.latencies = latencies or Latencies()
        self._llms = {name: row for row, name in enumerate(router.pool.llms)}
        known = router.interactions.queries.texts[: len(router.pool.query_rows)]
        self._by_text = dict(zip(known[::-1], range(len(known))[::-1], strict=True))  # of equal texts, the first wins
        self._said: dict[str, list[LiveFeedback]] = {}
        self._unread: set[str] = set()  # who said more than their states heed
        self._states: dict[str, np.ndarray] = {}
        self._user_states = UserStates(router, self._features_of)

    @property
    def llms(self) -> list[str]:
        """Names of the LLMs."""
        return list(self._llms)

    @property
    def needs_texts(self) -> bool:
        """Whether feedback needs the text of its query: features are not enough for this network."""
        return self._user_states.needs_texts

    def compile_for(self, explore: Exploration) -> None:
        """Compiles what drawing picks needs, so that no request waits for it.

        Raises:
          ValueError: if picks are drawn from the posterior and this network has none of single users.
        """
        if explore.needs_posterior:
            self._user_states.compile_factors()

    def weights(self, user: str) -> dict[str, tuple[float, float]]:
        """The user's weight on each named property of answers, and a new user's; empty if states are no weights."""
        pool = self.router.pool
        with self._lock:
            state, _ = self._state(user)
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
        max_latency: float | None = None,
        explore: Exploration = NO_EXPLORATION,
    ) -> Ranking:
        """Ranks the LLMs for a request.

        Args:
          user: id of the user; an unknown one is a user without history.
          query: its text, or chat messages, see `live_feedback.query_text`.
          query_id: id of a query of the router, in place of a text.
          task_id: id of the task of a text, None for none.
          candidates, max_cost, max_latency: which LLMs may be picked, see `Offer`; latencies are those of `latencies`.
          explore: how the pick is drawn. The fallbacks are in order of their probability.

        Raises:
          ValueError: one line that names the argument, if there is nothing to rank; or as `compile_for`.
        """
        prepared = self.prepare([self.find(query, query_id, task_id)])[0]
        return self.rank(user, prepared, Offer(candidates, max_cost, max_latency), explore)

    def find(
        self,
        query: str | Sequence[Mapping[str, Any]] | None,
        query_id: str | None = None,
        task_id: str | None = None,
    ) -> FoundQuery:
        """Finds the query of a request; arguments as of `route`.

        Raises:
          ValueError: one line that names the argument, on an empty text or an unknown task.
        """
        pool = self.router.pool
        if task_id is not None and task_id not in pool.task_rows:
            raise ValueError(f"task_id: expected a task of the router or none, found {task_id!r}")
        if query_id is not None and query_id in pool.query_rows:
            return FoundQuery(pool.query_rows[query_id], "", -1)
        text = query_text(query) if query is not None else ""
        if not text:
            found = "none" if query_id is None else f"query_id {query_id!r}"
            raise ValueError(f"query: expected a text or a query_id of the router, found {found}")
        return FoundQuery(self._by_text.get(text), text, -1 if task_id is None else pool.task_rows[task_id])

    def prepare(self, found: Sequence[FoundQuery]) -> list[PreparedQuery]:
        """Prepares queries for `rank`; several new texts together take less time than one after the other."""
        new = [(one.text, one.task) for one in found if one.row is None]
        with self._lock:
            texts = iter(self._prepare_texts(new) if new else ())
            return [next(texts) if one.row is None else self._recall(one.row) for one in found]

    def rank(
        self,
        user: str,
        prepared: PreparedQuery,
        offer: Offer = EVERYTHING,
        explore: Exploration = NO_EXPLORATION,
        weights: Mapping[str, float] = _LEARNT,
        costs: CostChange | None = None,
    ) -> Ranking:
        """Ranks the LLMs for a query; other arguments and errors as of `route`.

        Args:
          weights: on named properties, in place of the user's; names that the router has not are passed over.
          costs: what makes answers cost other than in training. Probabilities heed it where they come from the expected
            answers and not from choices on like queries.
        """
        if costs is not None:
            input_price = self.router.interactions.llms.input_price
            prepared = with_costs(prepared, costs, self.router.pool, input_price)
        offered = offer.rows(self._llms, prepared.cost, self.latencies)
        with self._lock:
            state, has_history = self._state(user)
            state = self._with_weights(state, weights)
            logits = self._logits(state, prepared.batch)[offered]
            pick, propensities, reason = self._draw(user, state, prepared.batch, logits, offered, explore)
        shares = np.exp(logits - logits.max())
        order = np.lexsort((-shares, np.arange(len(shares)) != pick))  # the pick first
        chosen, shares, propensities = offered[order], (shares / shares.sum())[order], propensities[order]
        basis, names = "history" if has_history else "cold_start", [self.llms[i] for i in chosen]
        expected_costs = prepared.cost[chosen].tolist()
        return Ranking(names, shares.tolist(), expected_costs, basis, propensities.tolist(), reason)

    def observe(self, feedback: LiveFeedback) -> None:
        """Takes a piece of feedback; the next `route` of this user heeds it.

        Raises:
          ValueError: one line that names the field, what was expected and what was found; nothing is taken then.
        """
        self._check(feedback)
        with self._lock:
            said = [*self._said.get(feedback.user, ()), feedback]
            self._states[feedback.user] = self._user_states.read(feedback.user, said)
            self._said[feedback.user] = said
            self._unread.discard(feedback.user)

    def forget(self, user: str) -> bool:
        """Forgets all feedback of a user that came by `observe`; returns whether there was any."""
        with self._lock:
            self._states.pop(user, None)
            self._unread.discard(user)
            self._user_states.drop(user)
            return self._said.pop(user, None) is not None

    def replay(self, feedback: LiveFeedback) -> None:
        """Takes feedback of an earlier process, as `observe`; the user is read again when it is next asked for.

        Raises:
          ValueError: as `observe`.
        """
        self._check(feedback)
        with self._lock:
            self._said.setdefault(feedback.user, []).append(feedback)
            self._unread.add(feedback.user)

    def _check(self, feedback: LiveFeedback) -> None:
        feedback.check(self._llms)
        if feedback.features is None:
            self.find(feedback.query, feedback.query_id, feedback.task_id)
        else:
            self._user_states.check(feedback.features)

    def _features_of(self, feedback: LiveFeedback) -> tuple[int | None, QueryFeatures | None]:
        asked = self.find(feedback.query, feedback.query_id, feedback.task_id)
        if asked.row is not None:
            return asked.row, None
        return None, routing.features_of(self.router.pool, asked.text, asked.task)

    def _prepare_texts(self, pairs: list[tuple[str, int]]) -> list[PreparedQuery]:
        batch, places = routing.ask(self.router.pool, pairs)
        cost = routing.expected_costs(self.router.pool, batch, np.array([task for _, task in pairs]))
        rows = [slice(row, row + 1) for row in range(len(pairs))]
        return [
            PreparedQuery(batch.take(row), cost[row][0], task, {"features": pack(places.take(row))})
            for row, (_, task) in zip(rows, pairs, strict=True)
        ]

    def _recall(self, row: int) -> PreparedQuery:
        pool = self.router.pool
        batch = pool.scorer.recall(np.array([row]))
        task = int(pool.query_task[row])
        cost = routing.expected_costs(pool, batch, np.array([task]))[0]
        return PreparedQuery(batch, cost, task, {"query_id": str(self.router.interactions.queries.ids[row])})

    def _state(self, user: str) -> tuple[np.ndarray, bool]:
        """The user's state, and whether it has a history."""
        if user in self._unread:
            self._states[user] = self._user_states.read(user, self._said[user])
            self._unread.discard(user)
        state, pool = self._states.get(user), self.router.pool
        if state is not None:
            return state, True
        row = pool.user_rows.get(user, len(pool.users) - 1)
        return pool.users[row], bool(pool.has_history[row])

    def _with_weights(self, state: np.ndarray, weights: Mapping[str, float]) -> np.ndarray:
        """The state with weights on named properties that the user set."""
        named = self.router.pool.scorer.named
        places = {name: named[name] for name in weights if name in named and len(state[named[name]]) == 1}
        if places:
            state = state.copy()
        for name, place in places.items():
            state[place] = weights[name]
        return state

    def _draw(self, user: str, state, asked: QueryBatch, logits, offered, explore: Exploration):
        """The pick, a row of `offered`; the probability of each to be it; why it is."""
        if explore.is_greedy:
            return explore.draw(logits, logits)
        blind, slopes = self._logits(self.router.pool.users[-1], asked)[offered], None
        if explore.needs_posterior:
            factor = self._user_states.factor(user, self._said.get(user, []), state)
            slopes = self._slope(state) * asked.answers[0, offered] @ factor
        return explore.draw(logits, blind, slopes)

    def _slope(self, state: np.ndarray) -> float:
        """Derivative of a logit in the utility, where similar users count as well."""
        scorer = self.router.pool.scorer
        mixed = 1.0 if scorer.mixer is None else (1 - state[-2]) * state[-1]
        return self.router.pool.temperature * scorer.sharpness * mixed

    def _logits(self, state: np.ndarray, asked: QueryBatch) -> Float[np.ndarray, " llms"]:
        pool, first = self.router.pool, np.zeros(1, np.int64)
        found = pool.temperature * pool.scorer.logits(state[None], asked, first, first)[0]
        if not np.isfinite(found).all():
            raise ValueError("scores: expected finite ones, found others")
        return found
