"""Builds a data set of a format's files: records, tables, a card for people, and SHA-256 sums of it all."""

import contextlib
import io
import os
import pathlib
import sys
import tempfile

from prouter_jax import files
from prouter_jax.copies import upload
from prouter_jax.datasets.card import make_card
from prouter_jax.datasets.formats import FORMATS
from prouter_jax.paths import files_below, inside, is_remote, make_path
from prouter_jax.readers.personal_routing import NAME, read_version, require_tfds

CARD = "card.md"


def build_dataset(
    name: str, source: str | os.PathLike, out: str | os.PathLike, licence: str = "not stated"
) -> pathlib.Path:
    """Builds OUT/personal_routing/FORMAT/VERSION and returns it; it counts once its manifest is there.

    For a bucket it is built in a temporary folder of this machine, where there must be room for it.

    Args:
      name: of the format, among `formats.FORMATS`.
      source: what its reader reads.
      licence: of the data, for the card.

    Raises:
      ValueError: on an unknown format, bad data, or a data set that is there already.
      ImportError: if tensorflow-datasets is not installed.
    """
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(sorted(FORMATS))}, found {name!r}")
    source, out = make_path(source), make_path(out)
    if not source.exists():
        raise ValueError(f"{source}: expected data of format {name}, found nothing")
    tfds = require_tfds()
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    from prouter_jax.datasets.personal_routing import PersonalRouting

    folder = out / NAME / name / str(PersonalRouting.VERSION)
    _make_room(folder)
    if not is_remote(out):
        return _build(name, source, out, licence)
    with tempfile.TemporaryDirectory() as here:
        upload(_build(name, source, pathlib.Path(here), licence), folder)
    return folder


def _build(name: str, source: pathlib.Path, out: pathlib.Path, licence: str) -> pathlib.Path:
    from prouter_jax.datasets.personal_routing import PersonalRouting

    builder = PersonalRouting(FORMATS[name](source), config=name, data_dir=out, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloading what nobody downloads
        builder.download_and_prepare()
    folder = pathlib.Path(builder.data_dir)
    card = make_card(read_version(folder), name, licence, _sums(source), _sums(folder))
    files.write_whole(folder / CARD, card)
    files.write_manifest(folder, {"format": name})
    return folder


def _make_room(folder: pathlib.Path) -> None:
    """Clears what a build that was killed has left."""
    if (folder / files.MANIFEST).exists():
        raise ValueError(f"{folder}: expected no data set yet, found one; delete it or name another folder")
    for left in inside(folder.parent):
        if left.name.endswith(folder.name):  # incomplete.abc_1.0.0 is how TFDS calls what it has not finished
            files.delete(left)


def _sums(source: pathlib.Path) -> dict[str, str]:
    """SHA-256 of a file, or of those in a folder."""
    if not source.is_dir():
        return {source.name: files.sha256_of(source)}
    return {name: files.sha256_of(source / name) for name in files_below(source)}
