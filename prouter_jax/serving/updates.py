"""Keeping a trained router up to date: new feedback is appended to its workdir, and its drift since training told."""

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
from prouter_jax.io.paths import make_path
from prouter_jax.model.inference import score_decisions
from prouter_jax.serving import drift_report
from prouter_jax.serving.drift import Said, measure_choices, measure_foreseen, measure_people, measure_topics
from prouter_jax.serving.drift_report import Drift
from prouter_jax.serving.router import CONFIG, WORLD, Router, trained_seeds
from prouter_jax.serving.update_log import append, find_same, read_appended, read_given
from prouter_jax.training.metrics_writer import read_fit


@dataclasses.dataclass(frozen=True)
class Updated:
    """What came of updating one router.

    Attributes:
      workdir: of the router, of one seed.
      folder: where the feedback is now, None if nothing was written.
      drift: None if the same had been appended before.
    """

    workdir: pathlib.Path
    folder: pathlib.Path | None
    drift: Drift | None


def update(
    workdir: str | os.PathLike,
    feedback: str | os.PathLike,
    llms: str | os.PathLike | None = None,
    dry_run: bool = False,
) -> list[Updated]:
    """Appends feedback to a trained router, or to that of each seed, so that `Router.load` knows it; trains nothing.

    What was appended before is not appended again, so that a command that was killed can be given again.

    Args:
      feedback: a file as of `Router.with_history`.
      llms: a folder as of `Router.with_llms`, which comes before the feedback.
      dry_run: whether only the drift is wanted.

    Raises:
      ValueError: on bad rows, a workdir without a sound router, or a part of what is given that was appended before.
    """
    workdir = make_path(workdir)
    alone = (workdir / CONFIG).exists()  # then it is what Router.load reads
    folders = [workdir] if alone else trained_seeds(workdir) or [workdir]
    return [_update_one(folder, feedback, llms, dry_run) for folder in folders]


def _update_one(workdir: pathlib.Path, feedback, llms, dry_run: bool) -> Updated:
    given = read_given(feedback, llms)
    appended = read_appended(workdir)
    same = find_same(appended, given)
    if same is not None:
        return Updated(workdir, same.folder, None)
    router = Router.load(workdir)
    if llms is not None:
        router = router.with_llms(llms)
    drift = measure_drift(workdir, router, read_history(feedback, router.known))
    if dry_run:
        return Updated(workdir, None, drift)
    if read_given(feedback, llms) != given:
        raise ValueError(f"{feedback}: expected the same while it was read and measured, found it changed; try again")
    number = len(appended) + 1
    page = drift_report.to_markdown(drift, f"Update {number}: drift since training")
    reports = {"drift.json": drift_report.to_json(drift), "drift.md": page}
    return Updated(workdir, append(workdir, given, reports, number), drift)


def measure_drift(workdir: pathlib.Path, router: Router, merged: Interactions) -> Drift:
    """How far the decisions that `merged` has more than `router` knows are from what the router was trained on."""
    trained = load_world(workdir / WORLD)
    rows = np.arange(len(router.known.decisions.user), len(merged.decisions.user))
    world = grow_world(router.world, merged)
    now, before = _said(merged, rows), _said(trained.interactions, np.arange(len(trained.interactions.decisions.user)))
    heard = np.bincount(before.user, minlength=len(merged.users.ids)) > 0
    queries = np.unique(now.query)
    return Drift(
        decisions=len(rows),
        repeated=_repeated(merged, rows),
        people=measure_people(now.user, heard),
        topics=measure_topics(
            world.vectors.query[queries], queries < len(trained.interactions.queries.ids), trained.vectors.query
        ),
        choices=measure_choices(before, now, list(trained.interactions.llms.ids)),
        foreseen=measure_foreseen(_foresee(router, merged, world, rows), now),
        validation=read_fit(workdir),
    )


def _said(data: Interactions, rows: np.ndarray) -> Said:
    decisions = build_decisions(data, rows)
    return Said(decisions.user, decisions.query, decisions.offered, choice_shares(decisions))


def _repeated(merged: Interactions, rows: np.ndarray) -> int:
    pair = merged.decisions.user.astype(np.int64) * len(merged.queries.ids) + merged.decisions.query
    return int(np.isin(pair[rows], np.delete(pair, rows)).sum())


def _foresee(router: Router, merged: Interactions, world: World, rows: np.ndarray) -> np.ndarray:
    """Calibrated logits of decisions of `merged`, as the router has them that does not know these yet.

    `world` holds the texts of all queries of `merged`; what was observed of them only where the router knows them.
    """
    number = np.arange(len(merged.queries.ids))
    row = np.where(number < len(router.world.interactions.queries.ids), number, -1)
    parts = Parts(np.zeros(0, int), np.zeros(0, int), rows)
    asked = Dataset(merged, world.vectors, router.world, row, parts, router.world.scale)
    cold_start_users = np.repeat(router.scorer.cold_start_user[None], len(merged.users.ids) - len(router.users), axis=0)
    scorer = dataclasses.replace(router.scorer, users=np.concatenate([router.users, cold_start_users]))
    return router.trained.temperature * score_decisions(scorer, asked, build_decisions(merged, rows))
