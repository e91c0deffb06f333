"""The state of the service in one SQLite file: write-ahead log, full sync, deleted content overwritten."""

import contextlib
import pathlib
import sqlite3
from collections.abc import Iterator

from prouter_jax.io.locks import lock
from prouter_jax.serving.service.store import SCHEMA, delete_user

STATE = "serve.sqlite"
"""File of the state in a workdir."""
_SECONDS_TO_WAIT = 10.0  # for another connection, such as that of an export
_TYPES = {"blob": "BLOB", "serial": "INTEGER PRIMARY KEY AUTOINCREMENT"}


@contextlib.contextmanager
def only_service(path: pathlib.Path) -> Iterator[None]:
    """Keeps other services off the file: each would miss the other's feedback. `prouter serve --export` may read it.

    Raises:
      Busy: if another service has it.
    """
    with lock(path.with_name(f"{path.name}.lock")):
        yield


def connect(path: pathlib.Path) -> sqlite3.Connection:
    """Opens the file; one that is missing is made, for its owner alone.

    Raises:
      ValueError: if it is no database, or a damaged one.
    """
    path.touch(mode=0o600, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_SECONDS_TO_WAIT)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        for statement in SCHEMA:
            connection.execute(statement.format(**_TYPES))
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ValueError(f"{path}: expected an SQLite database, found none ({error})") from None
    return connection


def purge(connection: sqlite3.Connection) -> bool:
    """Empties the write-ahead log, in which what was deleted can still be read; not within a transaction.

    Returns:
      whether it is empty; it is not while an export reads.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * _SECONDS_TO_WAIT)}")
    return not busy


def remove_user(path: pathlib.Path, user: str) -> int:
    """Removes all rows of a user from the file of a service that does not run; returns their number.

    Raises:
      Busy: if a service has it.
      ValueError: if it is no database, or if another process reads what was deleted.
    """
    with only_service(path), contextlib.closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        removed = sum(delete_user(connection, user).values())
        connection.execute("COMMIT")
        if not purge(connection):
            raise ValueError(f"{path}: expected no process that reads it, found one; try again")
    return removed
