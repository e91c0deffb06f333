"""Checkpoints that are never silently wrong.

    folder/40/state/          the leaves of the state, written by Orbax
    folder/40/manifest.json   names and shapes of the leaves, the metric, the SHA-256 of every file of the step
    folder/best.json          the step with the highest metric so far

Orbax restores flipped bytes as wrong parameters without a word, so nothing is restored before its hashes are compared.
A step is written under a hidden name and renamed when its manifest is on disk: whatever has a number for a name was
once complete, and a kill leaves only hidden names, which the next save removes. Reading writes nothing.
"""

import math
import os
import pathlib
import re

import jax
from jax.experimental import multihost_utils

from prouter_jax import files
from prouter_jax.checkpoint_leaves import describe, restore_leaves, write_leaves


class Checkpoints:
    """The checkpoints of one run, with one writer, in a folder of a local or shared file system.

    With several JAX processes, all of them make the same calls.

    Args:
      folder: made by the first save.
      keep: how many of the newest steps stay, besides the best one; at least 1.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep: expected at least 1, found {keep}")
        self.folder = pathlib.Path(folder).absolute()
        self.keep = keep

    def save(self, step: int, state, metric: float | None = None) -> None:
        """Returns when `state` is on disk with its manifest; then deletes what is neither best nor among the newest.

        Args:
          step: at least 0; a step that exists is replaced.
          state: a pytree of JAX or NumPy arrays (no typed random keys).
          metric: the higher, the better; None or a value that is not finite never makes the best step.
        """
        step = int(step)
        if step < 0:
            raise ValueError(f"step: expected at least 0, found {step}")
        draft = self.folder / f".writing-{step}"
        if jax.process_index() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self.folder)
            draft.mkdir()
        multihost_utils.sync_global_devices(f"step {step} begun")
        write_leaves(draft / _STATE, jax.tree.leaves(state))
        if jax.process_index() == 0:
            metric = float(metric) if metric is not None and math.isfinite(metric) else None
            files.write_manifest(draft, {"step": step, "metric": metric, "leaves": describe(state)})
            _publish(draft, self.folder / str(step))
            _delete_old(self.folder, self.keep, saved=step, best=_record_best(self.folder))
        multihost_utils.sync_global_devices(f"step {step} saved")

    def restore_newest(self, target):
        """Restores the newest sound step, walking back over damaged ones.

        Args:
          target: the state as jax.ShapeDtypeStructs; an array goes where its sharding says, if it has one.

        Returns:
          (state, step, rejected) with one line for each newer step that is damaged; None if there is no step at all.

        Raises:
          ValueError: if no step is sound, or the newest sound one does not have the leaves of `target`.
        """
        rejected = []
        for step, path in sorted(_steps(self.folder).items(), reverse=True):
            try:
                manifest = _verify(step, path)
            except ValueError as error:
                rejected.append(str(error))
            else:
                return restore_leaves(path / _STATE, manifest, target), step, rejected
        if rejected:
            raise ValueError(f"no checkpoint in {self.folder} is sound: {'; '.join(rejected)}")
        return None

    def restore_best(self, target):
        """Restores the step with the highest metric, the earliest of equals, or nothing.

        Returns:
          (state, step).

        Raises:
          ValueError: if that step is unknown, missing, damaged, or does not have the leaves of `target`.
        """
        steps = _steps(self.folder)
        if not steps:
            raise ValueError(f"there is no checkpoint in {self.folder}")
        metrics, doubt = _known_metrics(self.folder)
        if doubt:
            raise ValueError(f"the best checkpoint in {self.folder} is not known: {doubt}")
        best = _best_of(metrics)
        if best is None:
            raise ValueError(f"no checkpoint in {self.folder} has a metric, so none is the best")
        if best not in steps:
            raise ValueError(f"step {best}: the best checkpoint, but missing in {self.folder}")
        return restore_leaves(steps[best] / _STATE, _verify(best, steps[best]), target), best


# ---- Steps: folders that appear and disappear whole.

_STATE = "state"
_BEST = "best.json"
_STEP = re.compile(r"(0|[1-9][0-9]*)(\.replaced)?")
_LEFTOVER = re.compile(r"\.writing-.*|\.deleting-.*|\..*\.tmp|.*\.orbax-checkpoint-tmp.*")


def _steps(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Paths by step. N.replaced stands in for an N that was about to be replaced when the process was killed."""
    steps = {}
    for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else ():
        if match := _STEP.fullmatch(path.name):
            steps[int(match[1])] = path  # "40" comes after "40.replaced" here, so it wins
    return steps


def _remove_leftovers(folder: pathlib.Path) -> None:
    for path in list(folder.iterdir()):
        if _LEFTOVER.fullmatch(path.name):
            files.delete(path)
    for step, path in _steps(folder).items():
        if path.suffix:
            os.rename(path, folder / str(step))
        elif (replaced := path.with_name(f"{step}.replaced")).exists():
            files.delete(replaced)


def _publish(draft: pathlib.Path, final: pathlib.Path) -> None:
    """Renames a complete draft to its number; at every moment there is an old or a new version to be found."""
    replaced = final.with_name(f"{final.name}.replaced")
    if final.exists():
        os.rename(final, replaced)
    os.rename(draft, final)
    files.sync_folder(final.parent)
    if replaced.exists():
        files.delete(replaced)


def _delete_old(folder: pathlib.Path, keep: int, saved: int, best: int | None) -> None:
    steps = _steps(folder)
    newest = sorted(_manifests(steps)[0])[-keep:]
    for step in steps.keys() - {saved, best, *newest}:
        files.delete(steps[step])


# ---- Which step is sound, and which is the best.


def _verify(step: int, path: pathlib.Path) -> dict:
    try:
        manifest = files.verify(path)
    except ValueError as error:
        raise ValueError(f"step {step}: {error}") from None
    if manifest["step"] != step:
        raise ValueError(f"step {step}: {files.MANIFEST}: written for step {manifest['step']}")
    return manifest


def _manifests(steps: dict[int, pathlib.Path]) -> tuple[dict[int, dict], list[str]]:
    """Readable manifests by step, and why the others are not readable."""
    manifests, unreadable = {}, []
    for step, path in steps.items():
        try:
            manifests[step] = files.read_manifest(path)
        except ValueError as error:
            unreadable.append(f"step {step}: {error}")
    return manifests, unreadable


def _known_metrics(folder: pathlib.Path) -> tuple[dict[int, float], str]:
    """Metrics by step, and why they may not be all of them, if so.

    best.json remembers a best step that is damaged or missing by now; without it every manifest must be readable.
    """
    manifests, unreadable = _manifests(_steps(folder))
    metrics, doubt = {step: manifest["metric"] for step, manifest in manifests.items()}, ""
    try:
        remembered = files.read_sealed(folder / _BEST)
        metrics.setdefault(remembered["step"], remembered["metric"])
    except ValueError as error:
        doubt = "; ".join([str(error), *unreadable]) if unreadable else ""
    return {step: metric for step, metric in metrics.items() if metric is not None}, doubt


def _best_of(metrics: dict[int, float]) -> int | None:
    return max(metrics, key=lambda step: (metrics[step], -step), default=None)


def _record_best(folder: pathlib.Path) -> int | None:
    metrics, _ = _known_metrics(folder)
    best = _best_of(metrics)
    if best is not None:
        files.write_sealed(folder / _BEST, {"step": best, "metric": metrics[best]})
    return best
