"""What was appended to a trained router's workdir since: numbered folders that loading reads again, in their order.

    WORKDIR/updates/3-8c6fa1b2c3d4/    the third one; the rest of its name is of its content
        feedback.jsonl                 as it was given
        llms/                          as they were given, if they were
        drift.json, drift.md           the report of that time
        manifest.json                  SHA-256 sums; written last, so that half a folder is none

Nothing is renamed and nothing that was there is touched: a kill at any moment leaves the router as it was, or as it was
to be, on a disk and in a bucket. What a killed update left is passed over, and cleared when the same is given again.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping

from prouter_jax.data.tables.files import SUFFIXES
from prouter_jax.data.tables.schema import SCHEMAS
from prouter_jax.io import files
from prouter_jax.io.paths import inside, make_path

FOLDER = "updates"
_NAME = re.compile(r"([1-9]\d*)-[0-9a-f]{12}")
_LLMS = "llms"


@dataclasses.dataclass(frozen=True)
class Appended:
    """One addition: a file of feedback and, or None, the folder of LLMs that comes before it.

    `feedback_sha256`, `llms_sha256` ("" for none) are what tells it from others.
    """

    number: int
    folder: pathlib.Path
    feedback: pathlib.Path
    llms: pathlib.Path | None
    feedback_sha256: str
    llms_sha256: str


@dataclasses.dataclass(frozen=True)
class Given:
    """What is to be appended, by the path it gets in its folder; `sources` say where it was read."""

    content: Mapping[str, bytes]
    feedback_sha256: str
    llms_sha256: str


def read_given(feedback: str | os.PathLike, llms: str | os.PathLike | None) -> Given:
    """Reads the bytes of a file of feedback and of the tables in a folder of LLMs.

    Raises:
      ValueError: if the file has an unknown ending.
      OSError: if something cannot be read.
    """
    path = make_path(feedback)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"table {path.name}: expected one of {', '.join(SUFFIXES)}, found {path.suffix!r}")
    content = {f"feedback{path.suffix}": path.read_bytes()}
    tables = {name + suffix for name in SCHEMAS for suffix in SUFFIXES}
    found = [] if llms is None else [path for path in inside(make_path(llms)) if path.name in tables]
    added = {f"{_LLMS}/{path.name}": path.read_bytes() for path in sorted(found)}
    return Given(content | added, _digest(content), _digest(added) if added else "")


def read_appended(workdir: pathlib.Path) -> list[Appended]:
    """All additions to a router, in their order.

    Raises:
      ValueError: if one is missing or damaged.
    """
    folders = {path.name: path for path in inside(workdir / FOLDER) if (path / files.MANIFEST).exists()}
    numbered = sorted((int(match[1]), name) for name in folders if (match := _NAME.fullmatch(name)))
    for place, (number, name) in enumerate(numbered, 1):
        if number != place:
            raise ValueError(f"{workdir / FOLDER}: expected update {place}, found {name}")
    return [_read(number, folders[name]) for number, name in numbered]


def find_same(appended: list[Appended], given: Given) -> Appended | None:
    """The addition that was just this one, None if nothing of it was appended before.

    Raises:
      ValueError: if a part of it was.
    """
    for old in appended:
        same = old.feedback_sha256 == given.feedback_sha256, old.llms_sha256 == given.llms_sha256
        if all(same):
            return old
        if same[0]:
            raise ValueError(f"feedback: expected new feedback, found that of {FOLDER}/{old.folder.name}")
        if same[1] and given.llms_sha256:
            raise ValueError(f"llms: expected new LLMs or prices, found those of {FOLDER}/{old.folder.name}")
    return None


def append(workdir: pathlib.Path, given: Given, reports: Mapping[str, str], number: int) -> pathlib.Path:
    """Writes an addition and returns its folder; it counts once this returns, and not at all before.

    Args:
      reports: texts to be kept beside it, by file name.
      number: one more than there were when it was read.

    Raises:
      ValueError: if another one was appended meanwhile.
      OSError: if it cannot be written.
    """
    _check_alone(workdir, number)
    folder = workdir / FOLDER / f"{number}-{_digest(given.content)[:12]}"
    if folder.exists():
        files.delete(folder)
    for name, content in {**given.content, **reports}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(folder / name, content)
    _check_alone(workdir, number)
    sums = {"feedback_sha256": given.feedback_sha256, "llms_sha256": given.llms_sha256}
    files.write_manifest(folder, sums)
    return folder


def _check_alone(workdir: pathlib.Path, number: int) -> None:
    if len(read_appended(workdir)) != number - 1:
        raise ValueError(f"{workdir / FOLDER}: expected no other update at the same time, found one; try again")


def _read(number: int, folder: pathlib.Path) -> Appended:
    try:
        sums = files.verify(folder)
    except ValueError as error:
        raise ValueError(f"{folder}: expected an update as it was written, found {error}") from None
    feedback = next(folder / f"feedback{suffix}" for suffix in SUFFIXES if (folder / f"feedback{suffix}").exists())
    return Appended(number, folder, feedback, folder / _LLMS if sums["llms_sha256"] else None, **sums)


def _digest(content: Mapping[str, bytes]) -> str:
    """SHA-256 of files and their names."""
    total = hashlib.sha256()
    for name, data in sorted(content.items()):
        total.update(f"{name} {len(data)} ".encode() + data)
    return total.hexdigest()
