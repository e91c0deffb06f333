"""The folders of checkpoints: how they are named, which of them hold a checkpoint, and which go.

A bucket has no renames, so none are made anywhere: what makes a folder a checkpoint is its manifest, which is written
last and deleted first. Whatever a kill or a full disk leaves has none.
"""

import pathlib
import re
import typing

from prouter_jax.io import files
from prouter_jax.io.paths import inside

BEST = "best.json"
_NAME = re.compile(r"(0|[1-9][0-9]*)(?:\.([1-9][0-9]*))?")
_TEMPORARY = re.compile(r"\..*\.tmp")


class Version(typing.NamedTuple):
    """A folder of a step: N, or N.1, N.2, ... if N was there when the step was saved again. Ordered by age."""

    step: int
    number: int
    path: pathlib.Path


def versions(folder: pathlib.Path) -> list[Version]:
    """The newest first, whether or not they are sound; names that are no step's do not count."""
    matches = [match for path in inside(folder) if (match := _NAME.fullmatch(path.name))]
    found = (Version(int(match[1]), int(match[2] or 0), folder / match[0]) for match in matches)
    return sorted(found, key=lambda version: version[:2], reverse=True)


def begin(folder: pathlib.Path, step: int) -> str:
    """Makes room, then a folder for a new version of `step`; returns its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in inside(folder):
        if _TEMPORARY.fullmatch(path.name):
            files.delete(path)
    for version in versions(folder):
        if not (version.path / files.MANIFEST).exists():
            files.delete(version.path)
    number = max((version.number + 1 for version in versions(folder) if version.step == step), default=0)
    name = f"{step}.{number}" if number else str(step)
    (folder / name).mkdir(parents=True, exist_ok=True)
    return name


def commit(path: pathlib.Path, values: dict, keep: int) -> None:
    """Makes a checkpoint of a written folder, then deletes what is neither best nor among the `keep` newest."""
    files.write_manifest(path, values)
    folder = path.parent
    best = _record_best(folder)
    sound = _manifests(folder)[0]
    steps = {best, values["step"], *sorted(sound)[-keep:]}
    for version in versions(folder):
        replaced = version.step in sound and version.path != sound[version.step][0]
        if version.step not in steps or replaced:
            files.delete(version.path)


def verify(version: Version) -> dict:
    """The values of the manifest of a version that is sound.

    Raises:
      ValueError: naming the version and what is wrong with it.
    """
    try:
        values = files.verify(version.path)
    except ValueError as error:
        raise ValueError(f"step {version.path.name}: {error}") from None
    if values["step"] != version.step:
        raise ValueError(f"step {version.path.name}: {files.MANIFEST}: written for step {values['step']}")
    return values


def find_newest(folder: pathlib.Path) -> tuple[str, list[str]]:
    """Name of the newest sound version, "" if none was ever saved, and what is wrong with each newer one.

    Raises:
      ValueError: if some were saved and none is sound.
    """
    rejected = []
    for version in versions(folder):
        try:
            verify(version)
        except ValueError as error:
            rejected.append(str(error))
        else:
            return version.path.name, rejected
    if _was_saved(folder):
        raise ValueError(f"no checkpoint in {folder} is sound: {'; '.join(rejected)}")
    return "", rejected


def _was_saved(folder: pathlib.Path) -> bool:
    """A kill in the very first save leaves a folder, but neither a manifest nor a best step."""
    manifests = (version.path / files.MANIFEST for version in versions(folder))
    return (folder / BEST).exists() or any(path.exists() for path in manifests)


def find_best(folder: pathlib.Path) -> str:
    """Name of the newest version of the step with the highest metric, the earliest of equals; it is sound.

    Raises:
      ValueError: if that step is unknown, missing or damaged.
    """
    found = versions(folder)
    if not found:
        raise ValueError(f"there is no checkpoint in {folder}")
    metrics, doubt = _known_metrics(folder)
    if doubt:
        raise ValueError(f"the best checkpoint in {folder} is not known: {doubt}")
    best = _best_of(metrics)
    if best is None:
        raise ValueError(f"no checkpoint in {folder} has a metric, so none is the best")
    newest = next((version for version in found if version.step == best), None)
    if newest is None:
        raise ValueError(f"step {best}: the best checkpoint, but missing in {folder}")
    verify(newest)
    return newest.path.name


def _manifests(folder: pathlib.Path) -> tuple[dict[int, tuple[pathlib.Path, dict]], list[str]]:
    """By step the newest version whose manifest can be read, with its values; and why others cannot be."""
    readable, unreadable = {}, []
    for version in versions(folder):
        try:
            readable.setdefault(version.step, (version.path, files.read_manifest(version.path)))
        except ValueError as error:
            unreadable.append(f"step {version.path.name}: {error}")
    return readable, unreadable


def _known_metrics(folder: pathlib.Path) -> tuple[dict[int, float], str]:
    """Metrics by step, and why they may not be all of them, if so.

    best.json remembers a best step that is damaged or missing by now; without it every manifest must be readable.
    """
    readable, unreadable = _manifests(folder)
    metrics, doubt = {step: values["metric"] for step, (_, values) in readable.items()}, ""
    try:
        remembered = files.read_sealed(folder / BEST)
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
        files.write_sealed(folder / BEST, {"step": best, "metric": metrics[best]})
    return best
