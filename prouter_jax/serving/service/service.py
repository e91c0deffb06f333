"""`Service`: decisions and feedback on a live router, with a state that survives; without HTTP.

Feedback is written and heeded by the writer's thread, in one order. It is answered once it is durable. A decision is
answered at once and written soon after: a crash can lose those of the last moment, of which feedback then must name
the query.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from prouter_jax.serving.live import LiveRouter
from prouter_jax.serving.live_query import PreparedQuery
from prouter_jax.serving.service import store
from prouter_jax.serving.service.arrange import Sessions, Settings
from prouter_jax.serving.service.decide import DEFAULTS, Ask, Options, Routed, decide, find_query, query_columns
from prouter_jax.serving.service.errors import ApiError
from prouter_jax.serving.service.learner import Learner
from prouter_jax.serving.service.requests import FeedbackRequest, RouteRequest, ServedRequest, UserRequest
from prouter_jax.serving.service.said import checked, columns_of_decision, live_feedback
from prouter_jax.serving.service.store import StoredDecision, StoredFeedback, StoredServed
from prouter_jax.serving.service.trained import knows
from prouter_jax.serving.service.writer import Closed, Connection, Writer

_SECONDS_UNTIL_LATE = 30.0  # others' deletions are told for a minute
_TICK = 1e-6  # seconds between two pieces of feedback, at least


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
        options: Options = DEFAULTS,
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
        current = self.session_model(user, request.session)
        current = current.result() if isinstance(current, Future) else current
        routed = self.route_all([Ask(user, request, current)])[0]
        if isinstance(routed, ApiError):
            raise routed
        return routed

    def route_all(self, asks: Sequence[Ask]) -> list[Routed | ApiError]:
        """Ranks the models for requests and notes the decisions; several take less time than one after the other.

        Returns:
          each answer, or an ApiError: 400 if the request cannot be answered.
        """
        live = self.live
        found = [_caught(find_query, live, ask.request) for ask in asks]
        queries = [query for _, query in filter(_is_answer, found)]
        prepared = _caught(checked, live.prepare, queries) if queries else []
        if isinstance(prepared, ApiError):  # no text can be read
            return [prepared if _is_answer(one) else one for one in found]
        queries = iter(prepared)
        return [
            _caught(self._decide, live, ask, one[0], next(queries)) if _is_answer(one) else one
            for ask, one in zip(asks, found, strict=True)
        ]

    def session_model(self, user: str, session: str | None) -> "str | Future[str | None] | None":
        """The model of a session: None without one, from memory, or what the table will say."""
        if session is None:
            return None
        found = self._sessions.get(user, session)
        return found or self._submit(lambda database: store.find_session(database, user, session))

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
            live = self.live
            text, found = find_query(live, request)
            columns = live.prepare([found])[0].columns
            located = query_columns(columns, text, request.task_id, self._options.store_prompts)

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
            if request.latency is not None and request.model in self.live.llms:  # others would fill the memory
                self.live.latencies.note(request.model, request.latency)

        return self._submit(note)

    def settings(self, user: str) -> Settings:
        """What a user has set."""
        return self._settings.get(user, Settings())

    def set(self, user: str, request: UserRequest) -> "Future[None]":
        """Changes a user's settings; forgets its feedback if that is asked.

        Raises:
          ApiError: 400 on an unknown model or property.
        """
        given = request.model_fields_set
        named = {"pin": [request.pin] if request.pin else [], "ban": request.ban or []}
        for field, models in named.items():
            if unknown := sorted(set(models) - set(self.live.llms)):
                message = f"{field}: expected models that /v1/models lists, found {unknown[0]!r}"
                raise ApiError(400, message, field, "unknown_model")

        properties = self.live.weights(user)
        if unknown := sorted(set(request.weights or ()) - set(properties)):
            expected = f"properties among {', '.join(properties)}" if properties else "none, which this network has not"
            message = f"weights: expected {expected}; found {unknown[0]!r}"
            raise ApiError(400, message, "weights", "unknown_property")

        def change(database: Connection) -> None:
            old = self._settings.get(user, Settings())
            new = Settings(
                request.pin if "pin" in given else old.pin,
                tuple(request.ban or ()) if "ban" in given else old.ban,
                request.weights or {} if "weights" in given else old.weights,
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
        live.latencies = self.live.latencies
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

    def _decide(self, live: LiveRouter, ask: Ask, text: str, query: PreparedQuery) -> Routed:
        """The answer to a request, which is noted."""
        settings = self._settings.get(ask.user, Settings())
        routed = decide(live, ask, text, query, settings, self._options, self._clock())
        if ask.request.session is not None:
            self._sessions.set(ask.user, ask.request.session, routed.decision.llm)
        self._submit(lambda database: store.add_decision(database, routed.decision))
        return routed

    def _next_time(self) -> float:
        """The time, later than that of all feedback before; only in the writer's thread."""
        self._last_time = max(self._clock(), self._last_time + _TICK)
        return self._last_time


def _caught(function: Callable, *arguments) -> Any:
    """What a function returns, or the ApiError that it raises."""
    try:
        return function(*arguments)
    except ApiError as error:
        return error


def _is_answer(found: Any) -> bool:
    return not isinstance(found, ApiError)


def _read_settings(database: Connection) -> dict[str, Settings]:
    return {user: Settings.from_row(row) for user, row in store.all_settings(database).items()}
