"""Keeps a router at what the tables say: feedback of this service and of others on the same database, deletions, swaps.

All but `swap` runs in the writer's thread, within a transaction. Feedback has numbers that rise in the order of the
transactions; the router has heard all up to one of them.
"""

import functools
import threading
from collections.abc import Callable

from prouter_jax.serving.live import LiveRouter
from prouter_jax.serving.live_feedback import LiveFeedback
from prouter_jax.serving.service import store
from prouter_jax.serving.service.replay import replay
from prouter_jax.serving.service.said import checked
from prouter_jax.serving.service.store import StoredFeedback
from prouter_jax.serving.service.writer import Connection, Writer

_AT_ONCE = 1000  # feedback rows that are read at a time
_SECONDS_OF_EVENTS = 60.0  # that others have to hear that a user changed


class Learner:
    """A router in use, and the number up to which it has heard the feedback.

    Args:
      live: the router, without feedback; `swap` it in once the writer runs.
      clock: seconds since 1970, for events.
      shared: whether other services use the same tables.
    """

    def __init__(self, live: LiveRouter, clock: Callable[[], float], shared: bool):
        self.live, self._clock, self._shared = live, clock, shared
        self._heard = self._durable = self._event = 0
        self._touched: set[str] = set()
        self._forgotten: set[str] = set()
        self._users: set[str] = set()
        self._swapping = threading.Lock()

    def observe(self, database: Connection, row: StoredFeedback, said: LiveFeedback) -> None:
        """Writes a piece of feedback and gives it to the router.

        Raises:
          ApiError: 400 if the router cannot use it.
        """
        number = store.add_feedback(database, row)
        self._touch(row.user_id)
        checked(self.live.observe, said)
        self._heard = number

    def forget(self, database: Connection, user: str) -> None:
        """Forgets the feedback of a user, whose rows are deleted."""
        self._touch(user)
        self._forgotten.add(user)
        self.live.forget(user)
        self.tell(database, user)

    def tell(self, database: Connection, user: str) -> None:
        """Tells other services that a user was deleted or has other settings."""
        if self._shared:
            self._event = store.add_event(database, user, self._clock())

    def catch_up(self, database: Connection) -> list[str]:
        """Hears what other services wrote; returns the users who were deleted or have other settings."""
        if not self._shared:
            return []
        events = store.events_after(database, self._event)
        store.remove_events(database, self._clock() - _SECONDS_OF_EVENTS)
        changed = list(dict.fromkeys(user for _, user in events))
        self._event = max([self._event, *(number for number, _ in events)])
        for user in changed:
            self._forgotten.add(user)
            self._hear_again(database, user)
        self._hear(store.feedback_after(database, self._heard))
        return changed

    def settle(self) -> None:
        """What was heard is durable; called after a commit."""
        self._durable = self._heard
        self._touched.clear()

    def restore(self, database: Connection) -> None:
        """After a transaction was lost: the router hears again of those whom it touched."""
        self._heard = self._durable
        for user in list(self._touched):
            self._hear_again(database, user)
        self._hear(store.feedback_after(database, self._heard))
        self.settle()

    def rebuild(self, database: Connection) -> None:
        """Hears all feedback again, after others may have deleted what this service did not hear of."""
        self._heard = store.last_number(database)
        self._event = store.last_event(database)
        for user in list(self._users):
            self._hear_again(database, user)

    def swap(self, writer: Writer, live: LiveRouter) -> int:
        """Puts another router in place, after it has all feedback; operations go on meanwhile.

        Returns:
          number of pieces of feedback that it cannot use.
        """
        with self._swapping:
            rows: list[StoredFeedback] = []
            until = writer.submit(self._begin_swap).result()
            while _last(rows) < until:
                rows += writer.submit(functools.partial(_read, after=_last(rows))).result()
            dropped = replay(live, rows)
            self._users |= {row.user_id for row in rows}
            return dropped + writer.submit(functools.partial(self._end_swap, live=live, heard=_last(rows))).result()

    def _begin_swap(self, database: Connection) -> int:
        """From now on notes who is forgotten, for a router that has their feedback; returns the latest number."""
        self._forgotten.clear()
        self._event = max(self._event, store.last_event(database))
        return store.last_number(database)

    def _end_swap(self, database: Connection, live: LiveRouter, heard: int) -> int:
        for user in self._forgotten:
            live.forget(user)
        new = store.feedback_after(database, heard)
        rows = [row for row in new if row.user_id not in self._forgotten]
        again = [row for user in self._forgotten for row in store.feedback_of(database, user)]
        self.live, self._heard = live, max([heard, *(row.number for row in new)])
        self._users |= {row.user_id for row in rows}
        return replay(live, [*rows, *again])

    def _hear(self, rows: list[StoredFeedback]) -> None:
        replay(self.live, rows)
        for row in rows:
            self._touch(row.user_id)
            self._heard = row.number

    def _hear_again(self, database: Connection, user: str) -> None:
        """The router has what the tables have of a user, up to what it has heard of others."""
        self._touch(user)
        self.live.forget(user)
        replay(self.live, [row for row in store.feedback_of(database, user) if row.number <= self._heard])

    def _touch(self, user: str) -> None:
        self._touched.add(user)
        self._users.add(user)


def _last(rows: list[StoredFeedback]) -> int:
    return rows[-1].number if rows else 0


def _read(database: Connection, after: int) -> list[StoredFeedback]:
    return store.feedback_after(database, after, _AT_ONCE)
