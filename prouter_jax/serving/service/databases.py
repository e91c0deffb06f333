"""The database of a state by its name: an SQLite file, or a URL of PostgreSQL."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

from prouter_jax.io.paths import local_path, make_path, require_file
from prouter_jax.serving.service import postgres, sqlite
from prouter_jax.serving.service.postgres import Postgres
from prouter_jax.serving.service.writer import Connection


@dataclasses.dataclass(frozen=True)
class Database:
    """Where a state is.

    Attributes:
      connect: makes a connection to it.
      purge: called with a connection after a deletion, see `sqlite.purge`.
      only_service: makes a context that keeps other services off it.
      shared: whether other services may use it.
      exists: raises ValueError if there is none yet.
    """

    connect: Callable[[], Connection]
    purge: Callable[[Any], bool]
    only_service: Callable[[], contextlib.AbstractContextManager]
    shared: bool
    exists: Callable[[], Any]


def find_database(workdir: str | os.PathLike, state: str | None) -> Database:
    """The database that `--state` names, by default the file of the workdir.

    Raises:
      ValueError: if a file is in a bucket.
    """
    if state is not None and state.startswith(postgres.SCHEMES):
        connect = functools.partial(Postgres, state)
        return Database(connect, lambda _: True, contextlib.nullcontext, shared=True, exists=lambda: None)
    path = local_path(state if state is not None else make_path(workdir) / sqlite.STATE, "the state of the service")
    return Database(
        functools.partial(sqlite.connect, path),
        sqlite.purge,
        functools.partial(sqlite.only_service, path),
        shared=False,
        exists=functools.partial(require_file, path),
    )
