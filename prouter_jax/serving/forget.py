"""Takes a user out of a trained router, its updates and folders of tables, and looks for the id in every file.

The tables of the training lose the user, the checkpoint the user's own parameters, the updates the user's rows. All
that follows from these is computed anew, so the files are those of a router with the same shared parameters that never
saw the user. A router that knew the user by updates alone is then equal, in all files, to one that never got these
rows. The files are replaced as one step (`io.replacement`).
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from prouter_jax.data.audit import IdSearch
from prouter_jax.data.tables.file_forms import is_table
from prouter_jax.data.tables.removal import has_user, remove_user, remove_user_from_folder, tables_below
from prouter_jax.graph.world import World, load_world, save_world, without_user
from prouter_jax.io import files
from prouter_jax.io.locks import lock_folder
from prouter_jax.io.paths import files_below, make_path, require_folder
from prouter_jax.io.replacement import copy_file, own_files, replacing, settle
from prouter_jax.serving.root_digest import CONFIG, ROOT, WORLD, check_root, write_root
from prouter_jax.serving.router import Router, read_config, served_folder, trained_seeds
from prouter_jax.serving.service import sqlite
from prouter_jax.serving.service.sqlite import STATE
from prouter_jax.serving.update_log import FOLDER, LLMS, UpdateRecord
from prouter_jax.serving.updates import append_again
from prouter_jax.training.run import CHECKPOINTS, REFIT
from prouter_jax.training.user_removal import save_without_user
from prouter_jax.training.user_states import USERS, save_user_states

_REPORT = "report"
_OF_USERS = (WORLD, CHECKPOINTS, USERS)  # folders of a training that depend on its users


@dataclasses.dataclass(frozen=True)
class Removed:
    """What was removed from a router.

    Attributes:
      workdir: of the router, of one seed.
      decisions: the user's decisions in the training data of the router that is served; None for a user not in it.
      queries: queries of the training data on which nobody else decided; their texts stay.
      updates: numbers of the updates that held the user.
    """

    workdir: pathlib.Path
    decisions: int | None
    queries: int
    updates: list[int]


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """The result of `forget`.

    Attributes:
      completed: whether an earlier call was killed, and this one has ended its work.
      routers: what was removed, for each router of the workdir that knew the user.
      rows: rows removed from the state of a service and from each folder of tables.
      files: number of files in which the id was looked for afterwards.
      found: the files that still hold the id, each with a place in it.
    """

    completed: bool
    routers: list[Removed]
    rows: dict[pathlib.Path, int]
    files: int
    found: list[str]


def forget(workdir: str | os.PathLike, user: str, also: Sequence[str | os.PathLike] = ()) -> Forgotten:
    """Takes a user out of a trained router, or of the router of each seed, and out of folders of tables.

    The same call again completes one that was killed. A folder is changed as a whole or not at all.

    Args:
      workdir: of one seed, or of a run of several seeds.
      user: the user_id.
      also: further folders of tables.

    Raises:
      ValueError: if nothing knows the user, a file is damaged, nobody else is left, another command is writing, or a
        service runs.
    """
    workdir, folders = make_path(workdir), [require_folder(make_path(folder), "tables") for folder in also]
    seeds = [workdir] if (workdir / CONFIG).exists() else trained_seeds(workdir)
    if not seeds:
        read_config(workdir)  # says what is missing
    completed = False
    with contextlib.ExitStack() as held:
        for folder in dict.fromkeys([workdir, *seeds, *folders]):
            held.enter_context(lock_folder(folder))
            completed |= settle(folder)
        if workdir not in seeds and (workdir / _REPORT).exists() and any(_in_training(seed, user) for seed in seeds):
            files.delete(workdir / _REPORT)  # that of several seeds is in none of their folders
        rows = {seed / STATE: sqlite.remove_user(seed / STATE, user) for seed in seeds if (seed / STATE).exists()}
        routers = [found for seed in seeds if (found := _forget_in_router(seed, user))]
        rows |= {folder: _forget_in_tables(folder, user) for folder in folders}
    search, folders = IdSearch(user), [workdir, *folders]
    result = Forgotten(
        completed,
        routers,
        rows,
        sum(len(files_below(folder)) for folder in folders),
        [f"{folder}/{place}" for folder in folders for place in search.in_folder(folder)],
    )
    if not (completed or routers or any(rows.values())):
        held_by = f"other files hold the id: {'; '.join(result.found)}" if result.found else "no file holds the id"
        raise ValueError(f"{workdir}: expected a user_id of this router, found {user!r}; {held_by}")
    return result


def _forget_in_router(folder: pathlib.Path, user: str) -> Removed | None:
    """Replaces the files of one router; returns None, and changes nothing, if none of its tables holds the user."""
    updates, served = check_root(folder), served_folder(folder)
    parts = [_Part.load(part, user) for part in (folder, folder / REFIT) if (part / CONFIG).exists()]
    known = [part for part in parts if part.row >= 0]
    touched = [update.number for update in updates if any(has_user(path, user) for path in tables_below(update.folder))]
    others = [name for name in _other_tables(folder) if has_user(folder / name, user)]
    if not (known or touched or others):
        return None
    again = updates if known else updates[min(touched, default=len(updates) + 1) - 1 :]
    left_out = [part.folder / name for part in known for name in _OF_USERS] + [update.folder for update in again]
    left_out += [folder / ROOT] + ([folder / _REPORT] if known else [])
    with replacing(folder) as stage:
        _copy(folder, stage, [path.relative_to(folder).as_posix() for path in left_out])
        for name in others:
            remove_user(stage / name, user)
        for part in known:
            part.write(stage / part.folder.relative_to(folder))
        write_root(stage, parts[0].world.encoder)
        for update in again:
            _write_update(stage, update, user)
    decided = [part.decided() for part in known if part.folder == served] or [(None, 0)]
    return Removed(folder, *decided[0], touched)


def _in_training(folder: pathlib.Path, user: str) -> bool:
    return has_user(folder / WORLD / "tables" / "users.parquet", user)


def _forget_in_tables(folder: pathlib.Path, user: str) -> int:
    """Replaces the files of a folder of tables; returns the number of the user's rows."""
    if not any(has_user(path, user) for path in tables_below(folder)):
        return 0
    with replacing(folder) as stage:
        _copy(folder, stage, [])
        return remove_user_from_folder(stage, user)


@dataclasses.dataclass(frozen=True)
class _Part:
    """A folder with a training: the workdir, or refit/ in it.

    Attributes:
      row: of the user in its world; -1 for an unknown user.
    """

    folder: pathlib.Path
    world: World
    row: int

    @classmethod
    def load(cls, folder: pathlib.Path, user: str) -> "_Part":
        world = load_world(folder / WORLD)
        rows = np.flatnonzero(world.interactions.users.ids == user)
        return cls(folder, world, int(rows[0]) if len(rows) else -1)

    def write(self, target: pathlib.Path) -> None:
        """Writes the files that depend on users, without the user; the others are in `target`."""
        world = without_user(self.world, self.row)
        if not len(world.interactions.decisions.user):
            raise ValueError(f"{self.folder}: expected decisions of other users, found none: delete the workdir")
        save_world(world, target / WORLD)
        save_without_user(read_config(self.folder), self.folder, target, self.world, world, self.row)
        router = Router.load_trained(target)
        save_user_states(target, router.trained.params, router.scorer.users)

    def decided(self) -> tuple[int, int]:
        """Numbers of the user's decisions, and of the queries on which nobody else decided."""
        decisions = self.world.interactions.decisions
        own = decisions.user == self.row
        return int(own.sum()), len(set(decisions.query[own]) - set(decisions.query[~own]))


def _copy(folder: pathlib.Path, stage: pathlib.Path, left_out: Sequence[str]) -> None:
    """Copies all files but those at or below some paths, and what killed commands have left."""
    for name in own_files(folder):
        if not any(name == path or name.startswith(f"{path}/") for path in left_out) and not files.is_temporary(name):
            copy_file(folder / name, stage / name)


def _write_update(stage: pathlib.Path, update: UpdateRecord, user: str) -> None:
    """Appends an update without the user; one without any other row and without LLMs is gone."""
    draft = stage / "draft"  # beside the data of the others: a kill leaves nothing elsewhere
    for path in tables_below(update.folder):
        copy_file(path, draft / path.relative_to(update.folder))
    llms = draft / LLMS if update.llms is not None else None
    if llms is not None:
        remove_user_from_folder(llms, user)
    feedback = draft / update.feedback.name if update.feedback is not None else None
    if feedback is not None:
        remove_user(feedback, user)
    feedback = feedback if feedback is not None and feedback.exists() else None
    if feedback is not None or llms is not None:
        try:
            append_again(stage, feedback, llms)
        except ValueError as error:
            raise ValueError(
                f"{update.folder}: expected an update that can be read without this user, found {error}"
            ) from None
    if draft.exists():
        files.delete(draft)


def _other_tables(folder: pathlib.Path) -> list[str]:
    """Names of the table files outside of worlds and updates, such as journals."""
    ours = tuple(f"{name}/" for name in (WORLD, f"{REFIT}/{WORLD}", FOLDER))
    return [name for name in own_files(folder) if not name.startswith(ours) and is_table(folder / name)]
