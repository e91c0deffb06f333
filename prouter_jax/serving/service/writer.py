"""Group commit: one thread runs all operations on the database in order, many to a transaction.

An operation's result is given once its transaction is durable. So a client is told of nothing that a crash could lose,
and many clients share the wait for the disk. As there is one thread, operations never see each other half done.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

_MOST_AT_ONCE = 256  # operations in a transaction
Result = TypeVar("Result")


class Connection(Protocol):
    """What a `Writer` needs of a connection to a database."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Runs a statement and returns a cursor."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


class Closed(RuntimeError):
    """The writer takes no operations any more."""


class Writer:
    """Runs operations on a connection, which only its thread uses.

    Args:
      connect: makes the connection; also called again after a transaction failed.
      on_lost: called with a new connection after a transaction failed, of whose operations nothing was written.
    """

    def __init__(self, connect: Callable[[], Connection], on_lost: Callable[[Any], None] = lambda _: None):
        self._connect, self._on_lost = connect, on_lost
        self._queue: queue.SimpleQueue[tuple[Callable[[Any], Any], Future] | None] = queue.SimpleQueue()
        self._open, self._lock = True, threading.Lock()
        self._after: list[Callable[[Any], bool]] = []
        self.failed = False
        """Whether the last transaction failed."""
        self._connection = connect()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[Any], Result]) -> "Future[Result]":
        """Queues an operation, a function of the connection; it is undone if it raises an exception.

        Returns:
          its result, or exception, once everything before it and itself is durable.

        Raises:
          Closed: after `close`.
        """
        future: Future[Result] = Future()
        with self._lock:
            if not self._open:
                raise Closed("expected a running service, found one that ends")
            self._queue.put((operation, future))
        return future

    def after_commit(self, step: Callable[[Any], bool]) -> None:
        """Called by an operation: runs `step`, a function of the connection, once its transaction is durable.

        The results of the transaction wait for it. A step that returns False runs again after the next transaction.
        """
        self._after.append(step)

    def close(self) -> None:
        """Runs what is queued, then closes the connection."""
        with self._lock:
            if self._open:
                self._open = False
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _MOST_AT_ONCE:
                    batch.append(self._queue.get_nowait())
            ended = None in batch
            self._commit([entry for entry in batch if entry is not None])
        self._connection.close()

    def _commit(self, batch: list[tuple[Callable[[Any], Any], Future]]) -> None:
        """Runs the operations in a transaction, then gives all results."""
        if not batch:
            return
        try:
            self._connection.execute("BEGIN")
            results = [_attempt(self._connection, operation) for operation, _ in batch]
            self._connection.execute("COMMIT")
            self._after = [step for step in self._after if not step(self._connection)]
        except Exception as error:  # a full disk, a lost server: nothing of the transaction was written
            self.failed = True
            self._recover()
            for _, future in batch:
                future.set_exception(error)
            return
        self.failed = False
        for (_, future), (result, error) in zip(batch, results, strict=True):
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _recover(self) -> None:
        """A new connection, in whose eyes the transaction never was."""
        with contextlib.suppress(Exception):
            self._connection.close()
        with contextlib.suppress(Exception):  # the next transaction fails, and tries again
            self._connection = self._connect()
            self._on_lost(self._connection)


def _attempt(connection: Connection, operation: Callable[[Any], Any]) -> tuple[Any, Exception | None]:
    """An operation's result or exception; what it wrote before an exception is undone.

    Raises:
      Exception: if it cannot be undone, or the operation lost the transaction.
    """
    connection.execute("SAVEPOINT operation")
    try:
        result = operation(connection)
    except Exception as error:
        connection.execute("ROLLBACK TO SAVEPOINT operation")
        connection.execute("RELEASE SAVEPOINT operation")
        return None, error
    connection.execute("RELEASE SAVEPOINT operation")
    return result, None
