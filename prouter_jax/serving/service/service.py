"""`Service`: decisions and feedback on a live router, with a state that survives; without HTTP.

Feedback is written and heeded by the writer's thread, in one order. It is answered once it is durable. A decision is
answered at once and written soon after: a crash can lose those of the last moment, of which feedback then must name
the query.
"""

import dataclasses
import hashlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from prouter_jax.serving.exploration import NO_EXPLORATION, Exploration
from prouter_jax.serving.live import LiveRouter, Ranking
from prouter_jax.serving.service import store
from prouter_jax.serving.service.arrange import Sessions, Settings, is_tool_loop, pick
from prouter_jax.serving.service.errors import ApiError
from prouter_jax.serving.service.learner import Learner
from prouter_jax.serving.service.requests import FeedbackRequest, RouteRequest, ServedRequest, UserRequest
from prouter_jax.serving.service.said import checked, columns_of_decision, live_feedback, text_of
from prouter_jax.serving.service.store import StoredDecision, StoredFeedback, StoredServed
from prouter_jax.serving.service.trained import knows
from prouter_jax.serving.service.writer import Closed, Connection, Writer

_SECONDS_UNTIL_LATE = 30.0  # others' deletions are told for a minute
_TICK = 1e-6  # seconds between two pieces of feedback, at least


@dataclasses.dataclass(frozen=True)
class Options:
    """How a service works.

    Attributes:
      store_prompts: whether the texts of queries are stored; otherwise features are.
      switch_gain: as in `arrange.pick`, where a request has none.
      shared: whether other services use the same database.
      explore: how picks are drawn.
    """

    store_prompts: bool = False
    switch_gain: float = 0.1
    shared: bool = False
    explore: Exploration = NO_EXPLORATION


@dataclasses.dataclass(frozen=True)
class Routed:
    """An answer of `Service.route`.

    Attributes:
      decision: as it is stored.
      ranking: the models, the pick first.
      reason: why it is the pick, see `arrange.pick`.
    """

    decision: StoredDecision
    ranking: Ranking
    reason: str


class Service:
    """Routes, takes feedback, and keeps users' settings; safe to call from several threads.

    Args:
      live: the router; feedback of the state is replayed into it.
      connect: makes the connection to the state's database.
      purge: called with it after a deletion, see `sqlite.purge`.
      clock: seconds since 1970.
    """

    def __init__(
        self,
        live: LiveRouter,
        connect: Callable[[], Connection],
        options: Options = Options(),
        purge: Callable[[Any], bool] = lambda _: True,
        clock: Callable[[], float] = time.time,
    ):
        self._options, self._purge, self._clock = options, purge, clock
        self._learner = Learner(live, clock, options.shared)
        self._sessions, self._settings = Sessions(), {}
        self._heeded = time.monotonic()
        self._writer = Writer(connect, self._restore)
        self._settings = self._writer.submit(_read_settings).result()
        self._last_time = self._writer.submit(store.last_time).result()
        self.dropped = self.swap(live)
        """Number of stored pieces of feedback that the router cannot use, such as those on a model it lost."""

    @property
    def live(self) -> LiveRouter:
        """The router in use."""
        return self._learner.live

    @property
    def healthy(self) -> bool:
        """Whether the last transaction was written."""
        return not self._writer.failed

    def close(self) -> None:
        """Writes what is queued and ends."""
        self._writer.close()

    def route(self, user: str, request: RouteRequest) -> Routed:
        """Ranks the models for a request and notes the decision.

        Raises:
          ApiError: 400 if the request cannot be answered.
        """
        live, settings = self.live, self._settings.get(user, Settings())
        text = text_of(request)
        allowed = settings.allowed(live.llms, request.candidates)
        known = {"task_id": request.task_id, "candidates": allowed, "max_cost": request.max_cost}
        ranking = checked(live.route, user, text, **known, explore=self._options.explore)
        current = self._session_model(user, request.session)
        gain = self._options.switch_gain if request.switch_gain is None else request.switch_gain
        model, reason, propensity = pick(ranking, settings.pin, current, is_tool_loop(request.messages), gain)
        ranking = _first(ranking, model)
        decision = StoredDecision(
            decision_id=secrets.token_hex(12),
            user_id=user,
            time=self._clock(),
            session=request.session,
            **self._query_columns(live, text, request.task_id),
            candidates=tuple(ranking.llms),
            llm=model,
            propensity=propensity,
            probability=ranking.probabilities[0],
            basis=ranking.basis,
        )
        if request.session is not None:
            self._sessions.set(user, request.session, model)
        self._submit(lambda database: store.add_decision(database, decision))
        return Routed(decision, ranking, reason)

    def feedback(self, user: str, request: FeedbackRequest) -> "Future[dict]":
        """Takes feedback.

        Returns:
          the answer {"id", "duplicate"}, once the feedback is durable and heeded; or an ApiError: 400 if it cannot be
          used, 404 for an unknown decision, 409 if the id is that of other feedback.

        Raises:
          ApiError: 400 as above, where it is seen at once.
        """
        id_ = request.id or secrets.token_hex(12)
        digest = hashlib.sha256(request.model_dump_json(exclude={"id", "user"}).encode()).hexdigest()
        located = {}
        if request.decision_id is None:
            located = self._query_columns(self.live, text_of(request), request.task_id)

        def take(database: Connection) -> dict:
            old = store.find_feedback(database, user, id_)
            if old is not None:
                if old.request_sha256 != digest:
                    raise ApiError(409, "id: expected a new one, found that of other feedback", "id", "id_in_use")
                return {"id": id_, "duplicate": True}
            said = live_feedback(user, request, located or columns_of_decision(database, user, request.decision_id))
            row = StoredFeedback(0, user, id_, digest, request.decision_id, self._next_time(), said.to_row())
            self._learner.observe(database, row, said)
            return {"id": id_, "duplicate": False}

        return self._submit(take)

    def served(self, user: str, request: ServedRequest) -> "Future[None]":
        """Notes what was served after a decision of the user; the last word on a decision counts.

        Returns:
          None, once it is durable; or an ApiError: 404 for an unknown decision.
        """
        row = StoredServed(
            request.decision_id,
            user,
            request.model,
            request.input_tokens,
            request.output_tokens,
            request.cost,
            request.latency,
        )

        def note(database: Connection) -> None:
            columns_of_decision(database, user, request.decision_id)
            store.put_served(database, row)

        return self._submit(note)

    def settings(self, user: str) -> Settings:
        """What a user has set."""
        return self._settings.get(user, Settings())

    def set(self, user: str, request: UserRequest) -> "Future[None]":
        """Changes a user's settings; forgets its feedback if that is asked.

        Raises:
          ApiError: 400 on an unknown model.
        """
        given = request.model_fields_set
        named = {"pin": [request.pin] if request.pin else [], "ban": request.ban or []}
        for field, models in named.items():
            if unknown := sorted(set(models) - set(self.live.llms)):
                message = f"{field}: expected models that /v1/models lists, found {unknown[0]!r}"
                raise ApiError(400, message, field, "unknown_model")

        def change(database: Connection) -> None:
            old = self._settings.get(user, Settings())
            new = Settings(
                request.pin if "pin" in given else old.pin, tuple(request.ban or ()) if "ban" in given else old.ban
            )
            store.write_settings(database, user, new.to_row())
            self._settings[user] = new
            self._learner.tell(database, user)
            if request.reset:
                self._forget(database, user, ("decisions", "feedback", "served"))

        return self._submit(change)

    def delete(self, user: str) -> "Future[dict[str, int]]":
        """Removes everything of a user; the result is the number of rows in each table."""

        def remove(database: Connection) -> dict[str, int]:
            self._settings.pop(user, None)
            return self._forget(database, user, store.TABLES)

        return self._submit(remove)

    def is_known(self, user: str) -> bool:
        """Whether the trained router has a history of the user."""
        return knows(self.live.router.interactions, user)

    def history(self, user: str) -> "Future[tuple[list[StoredDecision], list[StoredFeedback], list[StoredServed]]]":
        """All decisions and feedback of a user, and what was served to it."""
        read = (store.decisions_of, store.feedback_of, store.served_of)
        return self._submit(lambda database: tuple(list(rows(database, user)) for rows in read))

    def swap(self, live: LiveRouter) -> int:
        """Puts another router in place, after it has all feedback; requests go on meanwhile.

        Returns:
          number of pieces of feedback that it cannot use.

        Raises:
          ValueError: if picks cannot be drawn from it as the options say.
        """
        live.compile_for(self._options.explore)
        return self._learner.swap(self._writer, live)

    def heed(self) -> None:
        """Hears what other services on the same tables wrote; all anew after it could not for long.

        Raises:
          Exception: of the database, if it cannot be read.
        """
        now = time.monotonic()
        late = now - self._heeded > _SECONDS_UNTIL_LATE
        self._submit(self._hear_all if late else lambda _: None).result()
        self._heeded = now

    def _forget(self, database: Connection, user: str, tables: tuple[str, ...]) -> dict[str, int]:
        counts = store.delete_user(database, user, tables)
        self._learner.forget(database, user)
        self._sessions.forget(user)
        self._writer.after_commit(self._purge)
        return counts

    def _hear_all(self, database: Connection) -> None:
        self._settings = _read_settings(database)
        self._learner.rebuild(database)

    def _restore(self, database: Connection) -> None:
        """After a transaction was lost: the router and the settings are again as the tables have them."""
        self._settings = _read_settings(database)
        self._learner.restore(database)

    def _submit(self, operation: Callable[[Connection], Any]) -> Future:
        """Queues an operation, before which this service hears of the others."""

        def run(database: Connection) -> Any:
            for user in self._learner.catch_up(database):
                self._settings[user] = Settings.from_row(store.find_settings(database, user))
                self._sessions.forget(user)
            self._writer.after_commit(self._settle)
            return operation(database)

        try:
            return self._writer.submit(run)
        except Closed as error:
            raise ApiError(503, str(error), None, "closing") from None

    def _settle(self, _: Connection) -> bool:
        self._learner.settle()
        return True

    def _session_model(self, user: str, session: str | None) -> str | None:
        """The model of a session, from memory or the table."""
        if session is None:
            return None
        found = self._sessions.get(user, session)
        return found or self._submit(lambda database: store.find_session(database, user, session)).result()

    def _query_columns(self, live: LiveRouter, text: str, task_id: str | None) -> dict[str, Any]:
        """The columns of a query: its text where texts are stored, else where it stands for the router."""
        columns: dict[str, Any] = {"query": None, "query_id": None, "features": None, "task_id": task_id}
        if self._options.store_prompts:
            return columns | {"query": text}
        return columns | checked(live.locate, text, task_id)

    def _next_time(self) -> float:
        """The time, later than that of all feedback before; only in the writer's thread."""
        self._last_time = max(self._clock(), self._last_time + _TICK)
        return self._last_time


def _read_settings(database: Connection) -> dict[str, Settings]:
    return {user: Settings.from_row(row) for user, row in store.all_settings(database).items()}


def _first(ranking: Ranking, model: str) -> Ranking:
    """The ranking with a model first; the others keep their order."""
    order = sorted(range(len(ranking.llms)), key=lambda place: ranking.llms[place] != model)
    columns = ("llms", "probabilities", "costs", "propensities")
    return dataclasses.replace(ranking, **{name: [getattr(ranking, name)[i] for i in order] for name in columns})
