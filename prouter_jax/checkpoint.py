"""Checkpoints that are never silently wrong, on a disk or in a bucket.

    folder/40/state/          the leaves of the state, written by Orbax
    folder/40/manifest.json   names and shapes of the leaves, the metric, the SHA-256 of every file of the step
    folder/best.json          the step with the highest metric so far

Orbax restores flipped bytes as wrong parameters without a word, so nothing is restored before its hashes are compared.
A step that is saved again while it is there goes to folder/40.1, and 40 is deleted when that is whole.
"""

import math
import os

import jax

from prouter_jax import checkpoint_steps
from prouter_jax.checkpoint_leaves import describe, restore_leaves, write_leaves
from prouter_jax.io import files
from prouter_jax.io.paths import is_remote, make_path
from prouter_jax.training.multihost import ask_first_process


class Checkpoints:
    """The checkpoints of one run, with one writer, in a folder of a local or shared file system or of a bucket.

    With several JAX processes, all of them make the same calls; each writes its part of the large leaves, and the
    first one all else.

    Args:
      folder: made by the first save.
      keep: how many of the newest steps stay, besides the best one; at least 1.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep: expected at least 1, found {keep}")
        folder = make_path(folder)
        self.folder = folder if is_remote(folder) else folder.absolute()
        self.keep = keep

    def save(self, step: int, state, metric: float | None = None) -> None:
        """Returns when `state` is on disk with its manifest; then deletes what is neither best nor among the newest.

        Args:
          step: at least 0; a step that exists is replaced.
          state: a pytree of JAX or NumPy arrays (no typed random keys).
          metric: the higher, the better; None or a value that is not finite never makes the best step.

        Raises:
          OSError: if it cannot be written, in one line; what was saved before is as it was.
        """
        step = int(step)
        if step < 0:
            raise ValueError(f"step: expected at least 0, found {step}")
        metric = float(metric) if metric is not None and math.isfinite(metric) else None
        values = {"step": step, "metric": metric, "leaves": describe(state)}
        try:
            path = self.folder / ask_first_process(lambda: checkpoint_steps.begin(self.folder, step))
            write_leaves(path / _STATE, jax.tree.leaves(state))
            ask_first_process(lambda: checkpoint_steps.commit(path, values, self.keep))
        except (OSError, ValueError) as error:
            found = " ".join(str(error).split())
            raise OSError(f"step {step}: expected to save it in {self.folder}, found {found}") from error

    def restore_newest(self, target):
        """Restores the newest sound step, walking back over damaged ones.

        Args:
          target: the state as jax.ShapeDtypeStructs; an array goes where its sharding says, if it has one.

        Returns:
          (state, step, rejected) with one line for each newer step that is damaged or was not saved to its end; None if
          there is no step at all.

        Raises:
          ValueError: if no step is sound, or the newest sound one does not have the leaves of `target`.
        """
        name, rejected = ask_first_process(lambda: checkpoint_steps.find_newest(self.folder))
        return (*self._restore(name, target), rejected) if name else None

    def restore_best(self, target):
        """Restores the step with the highest metric, the earliest of equals, or nothing.

        Returns:
          (state, step).

        Raises:
          ValueError: if that step is unknown, missing, damaged, or does not have the leaves of `target`.
        """
        return self._restore(ask_first_process(lambda: checkpoint_steps.find_best(self.folder)), target)

    def _restore(self, name: str, target):
        manifest = files.read_manifest(self.folder / name)
        return restore_leaves(self.folder / name / _STATE, manifest, target), manifest["step"]


_STATE = "state"
