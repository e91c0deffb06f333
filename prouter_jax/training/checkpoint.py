"""Checkpoints in Orbax's own layout, with a SHA-256 manifest that is checked before every restore.

    folder/40/state/          the state as Orbax's StandardCheckpointHandler writes it
    folder/40/metrics/        {"metric": 0.7}, where one was measured
    folder/40/manifest.json   format, step, metric, machine (`training.machine`), names and shapes of the leaves,
                              SHA-256 of every file of the step
    folder/best.json          step and metric of the best checkpoint so far

Orbax alone opens it: `ocp.CheckpointManager(folder).restore(40)`. It restores flipped bytes as wrong parameters without
an error, hence the manifest. The manifest is written last and deleted first: a step without one is not a checkpoint.
This is the only module that imports Orbax; the import takes 0.3 s of CPU time, so it is late.
"""

import contextlib
import logging
import math
import os
import pathlib
import re
from collections.abc import Iterator

import jax
import numpy as np
from jax.tree_util import keystr

from prouter_jax.io import files
from prouter_jax.io.paths import is_remote, list_folder, make_path
from prouter_jax.sharding import to_host
from prouter_jax.training.machine import compare_machines, describe_machine
from prouter_jax.training.multihost import ask_primary

FORMAT = 2  # 1 packed all small leaves into one array of bytes
BEST = "best.json"

_STATE, _METRICS = "state", "metrics"  # the names by which Orbax's CheckpointManager finds them
_STEP = re.compile(r"0|[1-9][0-9]*")
_TEMPORARY = re.compile(r"\..*\.tmp|[0-9]+\.orbax-checkpoint-tmp.*")
_SMALL_BYTES = 2**20


class Checkpoints:
    """The checkpoints of one run in a local or shared folder, or in a bucket (gs://...).

    With several JAX processes, all of them make the same calls. Each process writes its shards of the large leaves;
    process 0 writes everything else.

    Args:
      folder: made by the first save.
      keep: number of newest steps that stay, besides the best one; at least 1.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep: expected at least 1, found {keep}")
        folder = make_path(folder)
        self.folder = folder if is_remote(folder) else folder.absolute()
        self.keep = keep

    def save(self, step: int, state, metric: float | None = None) -> None:
        """Saves `state`, then deletes every step that is neither the best nor among the newest.

        The state is on disk, with its manifest, when this returns.

        Args:
          step: at least 0. If it exists already (a damaged one, after a resume), it is deleted first.
          state: a pytree of JAX or NumPy arrays (no typed random keys).
          metric: higher is better; without a finite one, a step is never the best.

        Raises:
          OSError: in one line, if it cannot be written; other steps are untouched.
        """
        step = int(step)
        if step < 0:
            raise ValueError(f"step: expected at least 0, found {step}")
        metric = float(metric) if metric is not None and math.isfinite(metric) else None
        values = {"format": FORMAT, "step": step, "metric": metric, "leaves": _describe(state)}
        values["machine"] = describe_machine()
        try:
            ask_primary(lambda: _make_room(self.folder, step))
            _write(self.folder / str(step), state, metric)
            ask_primary(lambda: _commit(self.folder, values, self.keep))
        except (OSError, ValueError) as error:
            found = " ".join(str(error).split())
            raise OSError(f"step {step}: expected to save it in {self.folder}, found {found}") from error

    def complete(self) -> None:
        """Does what a kill between a saved step and the record of the best one left undone; before a run goes on.

        Raises:
          OSError: if it cannot be written.
        """
        ask_primary(lambda: _complete(self.folder))

    def restore_newest(self, abstract):
        """Restores the newest sound step; damaged newer steps are skipped.

        Args:
          abstract: the state as jax.ShapeDtypeStructs (or arrays); each leaf goes where its sharding says, if it has
            one, else to the first local device.

        Returns:
          (state, step, rejected), where rejected has one line for each newer step that is damaged or incomplete; None
          if nothing was ever saved.

        Raises:
          ValueError: if no step is sound, if the newest sound one has other leaves than `abstract`, or if another
            version of this package wrote them in another format.
        """
        step, rejected = ask_primary(lambda: _find_newest(self.folder))
        return None if step is None else (self._restore(step, abstract), step, rejected)

    def restore_best(self, abstract):
        """Restores the step with the highest metric, the earliest of equals.

        Args:
          abstract: as in `restore_newest`.

        Returns:
          (state, step).

        Raises:
          ValueError: if that step is unknown, missing, damaged, of another format, or has other leaves.
        """
        step = ask_primary(lambda: _find_best(self.folder))
        return self._restore(step, abstract), step

    def changes_since(self, step: int) -> list[str]:
        """How this machine differs from that which saved a step, such as "cores 4, now 2".

        Then going on does not end with the same bits. Empty for a step that does not say where it was saved.
        """
        before = ask_primary(lambda: files.read_manifest(self.folder / str(step)).get("machine"))
        return compare_machines(before, describe_machine()) if before else []

    def newest_step(self) -> int | None:
        """The newest step that has a manifest; None if nothing was ever saved."""
        complete = (step for step in _steps(self.folder) if (self.folder / str(step) / files.MANIFEST).exists())
        return next(complete, None)

    def best_step(self) -> int:
        """The step that `restore_best` restores, by the manifests and best.json; the state itself is not read.

        Raises:
          ValueError: if that step is unknown or missing.
        """
        return _best_step(self.folder)

    def _restore(self, step: int, abstract):
        path = self.folder / str(step)
        held, wanted = files.read_manifest(path)["leaves"], _describe(abstract)
        for name in sorted(held.keys() | wanted.keys()):
            expected, found = wanted.get(name, "nothing"), held.get(name, "nothing")
            if expected != found:
                raise ValueError(f"step {step}: {name}: expected {expected}, the checkpoint holds {found}")
        return _read(path / _STATE, abstract)


# ---- Steps: which folders are checkpoints, which one is restored, which ones are deleted.


def _steps(folder: pathlib.Path) -> list[int]:
    """The steps that have a folder, sound or not, newest first."""
    return sorted((int(path.name) for path in list_folder(folder) if _STEP.fullmatch(path.name)), reverse=True)


def _make_room(folder: pathlib.Path, step: int) -> None:
    """Deletes an older version of `step` and what interrupted saves have left."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in list_folder(folder):
        incomplete = _STEP.fullmatch(path.name) and not (path / files.MANIFEST).exists()
        if path.name == str(step) or incomplete or _TEMPORARY.fullmatch(path.name):
            files.delete(path)


def _commit(folder: pathlib.Path, values: dict, keep: int) -> None:
    """Makes a checkpoint of a written step and deletes the steps that are not kept."""
    files.write_manifest(folder / str(values["step"]), values)
    manifests, _ = _read_manifests(folder)
    best = _write_best(folder)
    kept = {best, values["step"], *sorted(manifests)[-keep:]}
    for step in _steps(folder):
        if step not in kept:
            files.delete(folder / str(step))


def _complete(folder: pathlib.Path) -> None:
    if folder.exists() and not is_remote(folder):
        files.remove_leftovers(folder)
    if not (folder / BEST).exists() and not _known_metrics(folder)[1]:  # a better step may be among damaged ones
        _write_best(folder)


def _write_best(folder: pathlib.Path) -> int | None:
    """Writes best.json; returns the best step, None without metrics."""
    metrics, _ = _known_metrics(folder)
    best = _best_of(metrics)
    if best is not None:
        files.write_sealed(folder / BEST, {"step": best, "metric": metrics[best]})
    return best


def _find_newest(folder: pathlib.Path) -> tuple[int | None, list[str]]:
    """The newest sound step, None if nothing was ever saved, and what is wrong with each newer step."""
    _read_manifests(folder)
    rejected = []
    for step in _steps(folder):
        try:
            _verify(folder, step)
        except ValueError as error:
            rejected.append(str(error))
        else:
            return step, rejected
    # a kill during the very first save leaves a folder, but no manifest
    saved = [folder / BEST, *(folder / str(step) / files.MANIFEST for step in _steps(folder))]
    if any(path.exists() for path in saved):
        raise ValueError(f"no checkpoint in {folder} is sound: {'; '.join(rejected)}")
    return None, rejected


def _find_best(folder: pathlib.Path) -> int:
    best = _best_step(folder)
    _verify(folder, best)
    return best


def _best_step(folder: pathlib.Path) -> int:
    metrics, doubt = _known_metrics(folder)
    if doubt:
        raise ValueError(f"the best checkpoint in {folder} is not known: {doubt}")
    best = _best_of(metrics)
    if best is None:
        raise ValueError(f"there is no checkpoint with a metric in {folder}")
    if best not in _steps(folder):
        raise ValueError(f"step {best}: the best checkpoint, but missing in {folder}")
    return best


def _verify(folder: pathlib.Path, step: int) -> None:
    """Raises ValueError unless every file of a step is as it was written."""
    try:
        values = files.verify(folder / str(step))
    except ValueError as error:
        raise ValueError(f"step {step}: {error}") from None
    if values["step"] != step:
        raise ValueError(f"step {step}: {files.MANIFEST}: written for step {values['step']}")


def _read_manifests(folder: pathlib.Path) -> tuple[dict[int, dict], list[str]]:
    """The readable manifests by step, and a line for each step whose manifest is not readable."""
    readable, unreadable = {}, []
    for step in _steps(folder):
        try:
            readable[step] = files.read_manifest(folder / str(step))
        except ValueError as error:
            unreadable.append(f"step {step}: {error}")
    found = {values.get("format", 1) for values in readable.values()} - {FORMAT}
    if found:
        raise ValueError(
            f"{folder}: expected checkpoints of format {FORMAT}, found format {min(found)}, which another version of "
            "prouter_jax wrote: use that version, or train again in a new workdir"
        )
    return readable, unreadable


def _known_metrics(folder: pathlib.Path) -> tuple[dict[int, float], str]:
    """Metrics by step, and the reason if a higher one may be missing.

    best.json still names a best step that is damaged or missing. Without best.json every manifest must be readable.
    """
    readable, unreadable = _read_manifests(folder)
    metrics, doubt = {step: values["metric"] for step, values in readable.items()}, ""
    try:
        recorded = files.read_sealed(folder / BEST)
        metrics.setdefault(recorded["step"], recorded["metric"])
    except ValueError as error:
        doubt = "; ".join([str(error), *unreadable]) if unreadable else ""
    return {step: metric for step, metric in metrics.items() if metric is not None}, doubt


def _best_of(metrics: dict[int, float]) -> int | None:
    return max(metrics, key=lambda step: (metrics[step], -step), default=None)


# ---- Leaves: reading and writing them with Orbax.


def _write(path: pathlib.Path, state, metric: float | None) -> None:
    """Writes one step as Orbax's CheckpointManager lays it out; all processes make this call.

    Small leaves are gathered on the host: Orbax needs half the time for a NumPy array.
    """
    import orbax.checkpoint as ocp

    leaves, tree = jax.tree.flatten(state)
    small = iter(to_host([leaf for leaf in leaves if _is_small(leaf)]))
    leaves = [np.asarray(next(small)) if _is_small(leaf) else leaf for leaf in leaves]
    state = tree.unflatten(leaf if leaf.size else None for leaf in leaves)  # Orbax refuses empty arrays
    items: dict[str, ocp.args.CheckpointArgs] = {_STATE: ocp.args.StandardSave(state)}
    if metric is not None:
        items[_METRICS] = ocp.args.JsonSave({"metric": metric})
    handlers = {_STATE: ocp.StandardCheckpointHandler(), _METRICS: ocp.JsonCheckpointHandler(filename=_METRICS)}
    with _without_tracebacks(), ocp.Checkpointer(ocp.CompositeCheckpointHandler(**handlers)) as checkpointer:
        checkpointer.save(path, args=ocp.args.Composite(**items))


def _read(path: pathlib.Path, abstract):
    """The state of a verified step, each leaf where `abstract` wants it; small leaves are read by way of the host."""
    import orbax.checkpoint as ocp

    leaves, tree = jax.tree.flatten(abstract)
    wanted = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=_sharding(leaf)) for leaf in leaves]
    hosts = [np.empty(leaf.shape, leaf.dtype) if _is_small(leaf) else leaf for leaf in wanted]
    target = tree.unflatten(leaf if leaf.size else None for leaf in hosts)
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        found = iter(jax.tree.leaves(checkpointer.restore(path, args=ocp.args.StandardRestore(target))))
    for place, leaf in enumerate(hosts):
        value = next(found) if leaf.size else leaf
        if isinstance(value, np.ndarray):
            value = jax.make_array_from_callback(value.shape, wanted[place].sharding, value.__getitem__)
        leaves[place] = value
    return tree.unflatten(leaves)


def _sharding(leaf) -> jax.sharding.Sharding:
    return getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def _is_small(leaf) -> bool:
    return leaf.size * np.dtype(leaf.dtype).itemsize < _SMALL_BYTES


def _describe(tree) -> dict[str, str]:
    """Dtype and shape of every leaf by its path, as in {"params/bias": "float32[8]"}."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Stops Orbax's threads from logging the stack of an error that its save raises as well."""
    logger = logging.getLogger("absl")
    logger.addFilter(without_traceback := lambda record: not record.exc_info)
    try:
        yield
    finally:
        logger.removeFilter(without_traceback)
