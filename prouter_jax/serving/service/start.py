"""Starts the service of a workdir: its state, its router, its HTTP interface."""

import contextlib
import dataclasses
import gc
import os
import pathlib
from collections.abc import Iterator

from prouter_jax.data.logs.privacy import read_key
from prouter_jax.io.paths import local_path, make_path
from prouter_jax.serving.router import Router
from prouter_jax.serving.service import reload, store
from prouter_jax.serving.service.app import make_app
from prouter_jax.serving.service.databases import Database, find_database
from prouter_jax.serving.service.decide import Options
from prouter_jax.serving.service.export import Exported, export
from prouter_jax.serving.service.identity import Identity, read_keys
from prouter_jax.serving.service.reload import Reloader, repeating
from prouter_jax.serving.service.server import run
from prouter_jax.serving.service.service import Service
from prouter_jax.serving.service.state import Settings
from prouter_jax.serving.service.telemetry import Log, Metrics
from prouter_jax.serving.service.trained import counted

_SECONDS_TO_HEED = 0.3  # between looks for what other services wrote


def make_identity(
    keys: str | None, variable: str | None, user_header: str | None, trust_body: bool, hash_users: str | None
) -> Identity:
    """Makes the identity of a service's flags.

    Args:
      keys: path of a key file.
      variable: lines of keys, where there is no file.
      user_header, trust_body: as in `Identity`.
      hash_users: environment variable of the key that ids are hashed with.

    Raises:
      ValueError: if nothing would say who a request is of, or a key is malformed.
    """
    found = read_keys(keys, variable)
    if found is None and user_header is None and not trust_body:
        raise ValueError(
            "serve: expected --keys, --user_header or --trust_body, found none: nothing says whose a request is"
        )
    return Identity(found, user_header, trust_body, read_key(hash_users) if hash_users else None)


def export_state(workdir: str | os.PathLike, state: str | None, folder: str | os.PathLike) -> Exported:
    """Writes the decisions and feedback of a state as tables, see `export`; a service may use it meanwhile.

    Args:
      workdir: of the trained router.
      state: file or URL of the state; None for that of the workdir.
      folder: is made if it is missing.

    Raises:
      ValueError: if there is no state or router, or the folder has something in it.
    """
    found = find_database(workdir, state)
    found.exists()
    data = Router.load(workdir).interactions
    with contextlib.closing(found.connect()) as database:
        database.execute("BEGIN")  # decisions and feedback of one moment
        decisions, feedback = list(store.decisions_of(database)), list(store.feedback_of(database))
        served = list(store.served_of(database))
    since = min((row.time for row in feedback), default=0.0)
    return export(decisions, feedback, served, counted(data, since), data, local_path(folder, "the tables"))


@contextlib.contextmanager
def opened(database: Database, workdir: pathlib.Path, options: Options) -> Iterator[tuple[Service, list | None]]:
    """A service on a state and the router of a workdir.

    Yields:
      the service, and `reload.version` of its router.

    Raises:
      ValueError: if another service has the state, it is damaged, there is no router, or it cannot explore as the
        options say.
    """
    with database.only_service():
        seen = reload.version(workdir)
        live = reload.load(workdir)
        if live.needs_texts and not options.store_prompts:
            raise ValueError(f"{workdir}: expected --store_prompts, which feedback on this network needs, found none")
        live.compile_for(options.explore)
        options = dataclasses.replace(options, shared=database.shared)
        service = Service(live, database.connect, options, database.purge)
        try:
            yield service, seen
        finally:
            service.close()


def serve(
    workdir: str | os.PathLike,
    state: str | None,
    options: Options,
    settings: Settings,
    address: tuple[str, int],
    reload_seconds: float,
) -> None:
    """Serves the router of a workdir until SIGTERM or SIGINT.

    Args:
      workdir: of a trained router.
      state: file or URL of the state; None for that of the workdir.
      options: of the service.
      settings: of the HTTP interface.
      address: host and port.
      reload_seconds: seconds between looks for another router in the workdir.

    Raises:
      ValueError: as `opened`.
      OSError: if the port is taken.
    """
    workdir, log, metrics = make_path(workdir), Log(), Metrics()
    database = find_database(workdir, state)
    with opened(database, workdir, options) as (service, seen), contextlib.ExitStack() as stack:
        app = make_app(service, settings, log, metrics)
        reloader = Reloader(service, workdir, seen, metrics, log)
        stack.enter_context(repeating(reloader.look, reload_seconds))
        if database.shared:
            stack.enter_context(repeating(service.heed, _SECONDS_TO_HEED))
        gc.collect()
        gc.freeze()  # to search the million objects of JAX for garbage would hold up requests for 0.2 s each time
        run(app, *address, log)
