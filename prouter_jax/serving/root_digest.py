"""WORKDIR/root.json ties the files of a trained router together: training writes it last, every update renews it.

Each folder of a workdir has a manifest, which says nothing of the other folders. root.json holds what ties them:

    files      SHA-256 of config.json, metrics.jsonl and the manifests of world/ and of the best checkpoint, by path;
               those of refit/ among them, where the router that is served is there
    encoder    name of the text encoder, SHA-256 of its weights
    updates    SHA-256 of the manifest of each update, in order

An update names in its manifest those before it. So one that a kill left without its entry in root.json still counts,
and a lost, swapped or foreign one is found.
"""

import hashlib
import json
import pathlib
from collections.abc import Sequence

from prouter_jax.data.text_encoders import weights_digest
from prouter_jax.io import files
from prouter_jax.io.display import log_line
from prouter_jax.serving.update_log import UpdateRecord, read_updates
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.metrics_writer import METRICS
from prouter_jax.training.run import CHECKPOINTS, REFIT

ROOT = "root.json"
CONFIG = "config.json"
WORLD = "world"


def write_root(workdir: pathlib.Path, encoder: str) -> None:
    """Writes WORKDIR/root.json, in place of an older one whose updates must all be there.

    Args:
      encoder: name of the text encoder of the router's world.

    Raises:
      ValueError: if a file is missing or damaged, if an update of the older root.json is missing, or if the encoder has
        other weights than it says.
    """
    updates = read_updates(workdir)
    old = _read(workdir) if (workdir / ROOT).exists() else None
    if old is not None:
        _check_encoder(workdir, **old["encoder"])  # vectors of the world and of new texts would not fit
        _check_updates(workdir, old, updates)
    values = {
        "files": _digests(workdir),
        "encoder": {"name": encoder, "weights": weights_digest(encoder)},
        "updates": [update.manifest_sha256 for update in updates],
    }
    if old is not None and old["files"] != values["files"]:
        log_line(f"{workdir}: {ROOT} is written anew: files differ from those of an earlier training")
    if old != values:
        files.write_sealed(workdir / ROOT, values)


def add_updates(workdir: pathlib.Path) -> None:
    """Adds the updates that root.json lacks; call it after each one is written."""
    values, updates = _read(workdir), read_updates(workdir)
    _check_updates(workdir, values, updates)
    found = [update.manifest_sha256 for update in updates]
    if found != values["updates"]:
        files.write_sealed(workdir / ROOT, {**values, "updates": found})


def check_root(workdir: pathlib.Path) -> list[UpdateRecord]:
    """Checks the files of a router against root.json and returns its updates, in order.

    Contents that a manifest covers are not read: whoever reads them checks them against the manifest.

    Raises:
      ValueError: with the first file that is missing, changed or from another run, or if the text encoder has other
        weights.
    """
    values, updates = _read(workdir), read_updates(workdir)
    expected, found = values["files"], _digests(workdir)
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{workdir / name}: expected the file of this router (by {ROOT}), found "
                f"{'one of another' if name not in expected else 'none' if name not in found else 'it changed'}"
            )
    _check_encoder(workdir, **values["encoder"])
    _check_updates(workdir, values, updates)
    return updates


def chain_of(workdir: pathlib.Path, updates: Sequence[UpdateRecord]) -> str:
    """SHA-256 of a router's data and its updates so far, which the manifest of the next update names.

    A checkpoint does not count: one that was damaged is trained again, and its files then have other times in them.
    """
    root = [files.sha256_of(workdir / name) for name in (CONFIG, f"{WORLD}/{files.MANIFEST}")]
    return hashlib.sha256(json.dumps([root, [update.manifest_sha256 for update in updates]]).encode()).hexdigest()


def _read(workdir: pathlib.Path) -> dict:
    try:
        return files.read_sealed(workdir / ROOT)
    except ValueError as error:
        raise ValueError(
            f"{workdir}: expected a finished training, found {error}; the same `prouter train` goes on"
        ) from None


def _digests(workdir: pathlib.Path) -> dict[str, str]:
    """SHA-256 of each file that root.json names, by its path within the workdir; missing ones are left out."""
    names = []
    for folder in (workdir, workdir / REFIT):
        if (folder / CONFIG).exists():
            best = f"{CHECKPOINTS}/{Checkpoints(folder / CHECKPOINTS).best_step()}"
            inner = (CONFIG, METRICS, f"{WORLD}/{files.MANIFEST}", f"{best}/{files.MANIFEST}")
            names += [name if folder == workdir else f"{REFIT}/{name}" for name in inner]
    return {name: files.sha256_of(workdir / name) for name in names if (workdir / name).exists()}


def _check_encoder(workdir: pathlib.Path, name: str, weights: str) -> None:
    found = weights_digest(name)
    if found != weights:
        raise ValueError(
            f"{workdir}: expected the text encoder {name} with the weights of training (SHA-256 {weights[:12]}...), "
            f"found others ({found[:12]}...): install the version of that time, or train in another workdir"
        )


def _check_updates(workdir: pathlib.Path, values: dict, updates: list[UpdateRecord]) -> None:
    """Raises ValueError unless the updates are those of root.json, and newer ones that follow on them."""
    known = values["updates"]
    if len(updates) < len(known):
        raise ValueError(f"{workdir}: expected {len(known)} updates (by {ROOT}), found {len(updates)}")
    for place, update in enumerate(updates):
        if place < len(known) and update.manifest_sha256 != known[place]:
            raise ValueError(f"{update.folder}: expected the update of {ROOT}, found another")
        if place >= len(known) and update.follows != chain_of(workdir, updates[:place]):
            raise ValueError(f"{update.folder}: expected an update of this router as it was, found one of another")
