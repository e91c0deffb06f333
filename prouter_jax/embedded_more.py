"""More users of the embedded benchmark than fit in memory: their histories are drawn once and kept in a cache."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil

from prouter_jax.config_data import Embedded
from prouter_jax.embedded import draw_histories
from prouter_jax.embedded_world import draw_world
from prouter_jax.encoders import cache_folder
from prouter_jax.store import HistoryStore, StoreWriter, open_store

_USERS_AT_ONCE = 20_000


def open_more_users(config: Embedded) -> HistoryStore:
    """The histories of `config.more_users` users besides `config.num_users`; the same for the same config."""
    name = hashlib.sha256(json.dumps(dataclasses.asdict(config), sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_folder() / "users" / name
    if not folder.exists():
        _write(config, folder)
    return open_store(folder)


def _write(config: Embedded, folder: pathlib.Path) -> None:
    """Whole or not at all; of several processes that draw the same, the first to finish wins."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    world = draw_world(dataclasses.replace(config, num_users=1))
    with StoreWriter(draft) as writer:
        for start in range(0, config.more_users, _USERS_AT_ONCE):
            number = min(_USERS_AT_ONCE, config.more_users - start)
            writer.append(draw_histories(world, config, number, start // _USERS_AT_ONCE))
    with contextlib.suppress(OSError):
        draft.rename(folder)
    shutil.rmtree(draft, ignore_errors=True)
