"""Updates of a trained router: appends new feedback to its workdir, without training, and measures the drift."""

import contextlib
import dataclasses
import os
import pathlib

import numpy as np

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.rewards import build_decisions, choice_shares
from prouter_jax.data.splits import Parts
from prouter_jax.data.tables.additions import read_history
from prouter_jax.dataset import Dataset
from prouter_jax.graph.world import World, grow_world, load_world
from prouter_jax.io.locks import lock_folder
from prouter_jax.io.paths import make_path
from prouter_jax.io.replacement import settle
from prouter_jax.model.inference import score_decisions
from prouter_jax.serving import drift_report
from prouter_jax.serving.drift import (
    LoggedChoices,
    measure_calibration,
    measure_choices,
    measure_queries,
    measure_users,
)
from prouter_jax.serving.drift_report import Drift
from prouter_jax.serving.root_digest import CONFIG, WORLD, add_updates, chain_of
from prouter_jax.serving.router import Router, served_folder, trained_seeds
from prouter_jax.serving.update_log import (
    PendingUpdate,
    UpdateRecord,
    append_update,
    find_duplicate,
    read_pending,
    read_updates,
)
from prouter_jax.training.metrics_writer import read_fit


@dataclasses.dataclass(frozen=True)
class UpdateResult:
    """Result of updating one router.

    Attributes:
      workdir: the router's workdir, of one seed.
      folder: the folder that holds the feedback now; None after a dry run.
      drift: the measured drift; None if the same update was appended before.
    """

    workdir: pathlib.Path
    folder: pathlib.Path | None
    drift: Drift | None


def update(
    workdir: str | os.PathLike,
    feedback: str | os.PathLike,
    llms: str | os.PathLike | None = None,
    dry_run: bool = False,
    strict: bool = False,
) -> list[UpdateResult]:
    """Appends feedback to a trained router, or to the router of each seed; `Router.load` then applies it.

    Nothing is trained. An update that was appended before is skipped, so a killed command can be repeated.

    Args:
      workdir: of one seed, or of a run of several seeds.
      feedback: a file as for `Router.with_history`.
      llms: a folder as for `Router.with_llms`; it is applied before the feedback.
      dry_run: measures the drift and writes nothing.
      strict: whether a row of feedback that cannot be used is an error; otherwise it is dropped and counted.

    Raises:
      ValueError: on bad rows, a workdir without an undamaged router, if only a part of the update is new, or if
        another command is writing to the workdir.
    """
    workdir = make_path(workdir)
    single = (workdir / CONFIG).exists()
    folders = [workdir] if single else trained_seeds(workdir) or [workdir]
    return [_update_one(folder, feedback, llms, dry_run, strict) for folder in folders]


def append_again(workdir: pathlib.Path, feedback: str | os.PathLike | None, llms: str | os.PathLike | None) -> None:
    """`update` for what an update holds after a user was taken out: equal to another update, or without feedback."""
    drift = None if feedback is None else _measure(workdir, feedback, llms, report=False)
    _append(workdir, read_pending(feedback, llms), read_updates(workdir), drift)


def measure_drift(workdir: pathlib.Path, router: Router, merged: Interactions) -> Drift:
    """Compares new decisions with the training data.

    Args:
      router: with all earlier updates.
      merged: the router's interactions, followed by the new decisions.
    """
    trained = load_world(served_folder(workdir) / WORLD)
    rows = np.arange(len(router.interactions.decisions.user), len(merged.decisions.user))
    world = grow_world(router.world, merged)
    now = _logged_choices(merged, rows)
    before = _logged_choices(trained.interactions, np.arange(len(trained.interactions.decisions.user)))
    user_in_training = np.bincount(before.user, minlength=len(merged.users.ids)) > 0
    queries = np.unique(now.query)
    query_in_training = queries < len(trained.interactions.queries.ids)
    return Drift(
        decisions=len(rows),
        repeated=_count_repeated(merged, rows),
        users=measure_users(now.user, user_in_training),
        queries=measure_queries(world.vectors.query[queries], query_in_training, trained.vectors.query),
        choices=measure_choices(before, now, list(trained.interactions.llms.ids)),
        calibration=measure_calibration(_predict(router, merged, world, rows), now),
        validation=read_fit(workdir),
    )


def _update_one(workdir: pathlib.Path, feedback, llms, dry_run: bool, strict: bool) -> UpdateResult:
    # what is measured must still be so when it is written; without a router, loading it says so
    writes = not dry_run and (workdir / CONFIG).exists()
    with lock_folder(workdir) if writes else contextlib.nullcontext():
        if writes:
            settle(workdir)
        return _measure_and_append(workdir, feedback, llms, dry_run, strict)


def _measure_and_append(workdir: pathlib.Path, feedback, llms, dry_run: bool, strict: bool) -> UpdateResult:
    pending, updates = read_pending(feedback, llms), read_updates(workdir)
    duplicate = find_duplicate(updates, pending)
    if duplicate is not None:
        if not dry_run:
            add_updates(workdir)  # a kill may have come between the update and its entry
        return UpdateResult(workdir, duplicate.folder, None)
    drift = _measure(workdir, feedback, llms, strict)
    if dry_run:
        return UpdateResult(workdir, None, drift)
    if read_pending(feedback, llms) != pending:
        raise ValueError(f"{feedback}: expected the same while it was read and measured, found it changed; try again")
    return UpdateResult(workdir, _append(workdir, pending, updates, drift), drift)


def _measure(workdir: pathlib.Path, feedback, llms, strict: bool = False, report: bool = True) -> Drift:
    router = Router.load(workdir)
    if llms is not None:
        router = router.with_llms(llms)
    return measure_drift(workdir, router, read_history(feedback, router.interactions, strict, report))


def _append(
    workdir: pathlib.Path, pending: PendingUpdate, updates: list[UpdateRecord], drift: Drift | None
) -> pathlib.Path:
    number, reports = len(updates) + 1, {}
    if drift is not None:
        page = drift_report.to_markdown(drift, f"Update {number}: drift since training")
        reports = {"drift.json": drift_report.to_json(drift), "drift.md": page}
    folder = append_update(workdir, pending, reports, number, chain_of(workdir, updates))
    add_updates(workdir)
    return folder


def _logged_choices(data: Interactions, rows: np.ndarray) -> LoggedChoices:
    decisions = build_decisions(data, rows)
    return LoggedChoices(decisions.user, decisions.query, decisions.offered, choice_shares(decisions))


def _count_repeated(merged: Interactions, rows: np.ndarray) -> int:
    """Number of decisions `rows` whose user has another decision on the same query."""
    pair = merged.decisions.user.astype(np.int64) * len(merged.queries.ids) + merged.decisions.query
    return int(np.isin(pair[rows], np.delete(pair, rows)).sum())


def _predict(router: Router, merged: Interactions, world: World, rows: np.ndarray) -> np.ndarray:
    """Calibrated logits of the decisions `rows` of `merged` by the router without these decisions, [rows, llms].

    New users are cold-start users. `world` holds the text vectors of all queries of `merged`; outcomes are used only
    for queries in the router's world.
    """
    query = np.arange(len(merged.queries.ids))
    world_query = np.where(query < len(router.world.interactions.queries.ids), query, -1)
    parts = Parts(np.zeros(0, int), np.zeros(0, int), rows)
    dataset = Dataset(merged, world.vectors, router.world, world_query, parts, router.world.scale)
    new_users = np.repeat(router.scorer.cold_start_user[None], len(merged.users.ids) - len(router.users), axis=0)
    scorer = dataclasses.replace(router.scorer, users=np.concatenate([router.users, new_users]))
    return router.trained.temperature * score_decisions(scorer, dataset, build_decisions(merged, rows))
