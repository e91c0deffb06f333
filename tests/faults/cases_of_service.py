"""`prouter serve` while feedback comes in: its state under faults, by the requests of `faults.live`."""

import collections
import pathlib
import shutil
import sqlite3
import tempfile

from faults.live import DELETED, STATE, USERS, check_router
from faults.sweep import Case
from serve_cases import open_service

from prouter_jax.io.paths import files_below


def serve_case() -> Case:
    """Acknowledged feedback must be stored once, and the router of a restarted service must be told what is stored."""
    return Case("serve", pathlib.Path.mkdir, lambda folder: ["-m", "faults.live", str(folder)], _state, check=_check)


def _check(folder: pathlib.Path, said: str) -> str:
    """What a service finds that starts on a copy of the state; of a deleted user no byte may be left."""
    lines = said.splitlines()
    acknowledged = {line.removeprefix("acknowledged: ") for line in lines if line.startswith("acknowledged: ")}
    with tempfile.TemporaryDirectory() as home:
        copy = shutil.copytree(folder, pathlib.Path(home) / "copy")
        if "deleted" in lines and any(DELETED.encode() in path.read_bytes() for path in copy.iterdir()):
            return "the deleted user is still in a file"
        try:
            stored = _stored_after_start(copy)
        except (AssertionError, ValueError, sqlite3.Error) as error:
            return f"after a start: {type(error).__name__}: {error}"
    if doubled := [id_ for id_, count in stored.items() if count > 1]:
        return f"stored twice: {doubled}"
    left = {id_ for id_ in acknowledged if id_.startswith(f"{DELETED}.")}
    lost = acknowledged - set(stored)
    if "deleting" in lines and lost == left:  # all of the user is gone, whether or not that was acknowledged
        return ""
    return f"acknowledged and lost: {lost}" if lost else ""


def _stored_after_start(folder: pathlib.Path) -> collections.Counter:
    """How often each id is stored, by a service whose router was told the same."""
    service = open_service(folder / STATE)
    try:
        check_router(service)
        return collections.Counter(row.id for user in USERS for row in service.history(user).result()[1])
    finally:
        service.close()


def _state(folder: pathlib.Path) -> dict[str, str]:
    """The feedback in its order, the settings, and the names of all files."""
    with tempfile.TemporaryDirectory() as home:
        copy = shutil.copytree(folder, pathlib.Path(home) / "copy")
        database = sqlite3.connect(copy / STATE)
        feedback = database.execute("SELECT user_id, id, content FROM feedback ORDER BY number").fetchall()
        settings = database.execute("SELECT user_id, settings FROM users").fetchall()
        database.close()
    return dict.fromkeys(files_below(folder), "") | {"feedback": repr(feedback), "settings": repr(settings)}
