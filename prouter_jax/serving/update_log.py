"""The updates of a trained router: numbered folders below its workdir, which `Router.load` reads in order.

    WORKDIR/updates/3-8c6fa1b2c3d4/    third update; the suffix is the start of its content's SHA-256
        feedback.jsonl                 the bytes of the feedback file, if any is left (see `serving.forget`)
        llms/                          tables of new LLMs or prices, if any
        drift.json, drift.md           drift report of the update
        manifest.json                  SHA-256 sums; written last, so a folder without it is ignored

Writing renames nothing and leaves existing files alone. So a kill at any moment leaves either the old or the updated
router, on a disk and in a bucket. Running a killed update again deletes its partial folder first.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping

from prouter_jax.data.tables.file_forms import SUFFIXES, data_suffix, require_format, table_files
from prouter_jax.data.tables.schema import SCHEMAS
from prouter_jax.io import files
from prouter_jax.io.paths import list_folder, make_path, require_file, require_folder

FOLDER = "updates"
_NAME = re.compile(r"([1-9]\d*)-[0-9a-f]{12}")
LLMS = "llms"


@dataclasses.dataclass(frozen=True)
class UpdateRecord:
    """An update on disk or in a bucket.

    Attributes:
      number: its position, from 1.
      folder: the folder that holds it.
      feedback: its feedback file; None if all its users were forgotten.
      llms: its folder of LLM tables, which are applied before the feedback; None if it has none.
      feedback_sha256, llms_sha256: SHA-256 of the content, "" without LLM tables; they identify duplicates.
      follows: SHA-256 of what it was appended to, as the caller of `append_update` computed it.
      manifest_sha256: SHA-256 of its manifest, and so of everything in it.
    """

    number: int
    folder: pathlib.Path
    feedback: pathlib.Path | None
    llms: pathlib.Path | None
    feedback_sha256: str
    llms_sha256: str
    follows: str
    manifest_sha256: str


@dataclasses.dataclass(frozen=True)
class PendingUpdate:
    """An update that is not written yet.

    Attributes:
      content: bytes of each file, by its path within the update's folder.
      feedback_sha256, llms_sha256: as in `UpdateRecord`.
    """

    content: Mapping[str, bytes]
    feedback_sha256: str
    llms_sha256: str


def read_pending(feedback: str | os.PathLike | None, llms: str | os.PathLike | None) -> PendingUpdate:
    """Reads a feedback file and the tables in a folder of LLMs as bytes, as far as they are given.

    Raises:
      ValueError: if the feedback file is missing, or its suffix is not that of a table.
      OSError: if a file cannot be read.
    """
    content = {} if feedback is None else _read_feedback(make_path(feedback))
    added = {} if llms is None else _read_tables(make_path(llms))
    return PendingUpdate(content | added, _digest(content), _digest(added) if added else "")


def _read_tables(folder: pathlib.Path) -> dict[str, bytes]:
    """The bytes of the tables in a folder, by path within an update's folder."""
    found = [path for paths in table_files(require_folder(folder, "tables"), SCHEMAS).values() for path in paths]
    return {f"{LLMS}/{str(path)[len(str(folder)) :].lstrip('/')}": path.read_bytes() for path in sorted(found)}


def read_updates(workdir: pathlib.Path) -> list[UpdateRecord]:
    """All updates of a router, in order.

    Raises:
      ValueError: if one is missing or damaged.
    """
    folders = {path.name: path for path in list_folder(workdir / FOLDER) if (path / files.MANIFEST).exists()}
    numbered = sorted((int(match[1]), name) for name in folders if (match := _NAME.fullmatch(name)))
    for expected, (number, name) in enumerate(numbered, 1):
        if number != expected:
            raise ValueError(f"{workdir / FOLDER}: expected update {expected}, found {name}")
    return [_read(number, folders[name]) for number, name in numbered]


def find_duplicate(updates: list[UpdateRecord], pending: PendingUpdate) -> UpdateRecord | None:
    """The update with the same content, None if all content is new.

    Raises:
      ValueError: if only the feedback, or only the LLM tables, are those of an earlier update.
    """
    for old in updates:
        same_feedback = old.feedback_sha256 == pending.feedback_sha256
        same_llms = old.llms_sha256 == pending.llms_sha256
        if same_feedback and same_llms:
            return old
        if same_feedback:
            raise ValueError(f"feedback: expected new feedback, found that of {FOLDER}/{old.folder.name}")
        if same_llms and pending.llms_sha256:
            raise ValueError(f"llms: expected new LLMs or prices, found those of {FOLDER}/{old.folder.name}")
    return None


def append_update(
    workdir: pathlib.Path, pending: PendingUpdate, reports: Mapping[str, str], number: int, follows: str
) -> pathlib.Path:
    """Writes an update and returns its folder; `read_updates` finds it only once this call is complete.

    Args:
      workdir: which the caller has locked since it read the updates.
      reports: text of each report, by file name.
      number: number of the update: one more than the caller found.
      follows: as in `UpdateRecord`.

    Raises:
      OSError: if a file cannot be written.
    """
    folder = workdir / FOLDER / f"{number}-{_digest(pending.content)[:12]}"
    if folder.exists():
        files.delete(folder)
    for name, content in {**pending.content, **reports}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(folder / name, content)
    sums = {"feedback_sha256": pending.feedback_sha256, "llms_sha256": pending.llms_sha256}
    files.write_manifest(folder, sums | {"follows": follows})
    return folder


def _read_feedback(path: pathlib.Path) -> dict[str, bytes]:
    require_format(path)
    return {f"feedback{data_suffix(path).lower()}": require_file(path).read_bytes()}


def _read(number: int, folder: pathlib.Path) -> UpdateRecord:
    try:
        sums = files.verify(folder)
    except ValueError as error:
        raise ValueError(f"{folder}: expected an undamaged update, found {error}") from None
    named = (folder / f"feedback{suffix}" for suffix in SUFFIXES)
    feedback = next((path for path in named if path.exists()), None)
    llms = folder / LLMS if sums["llms_sha256"] else None
    manifest_sha256 = files.sha256_of(folder / files.MANIFEST)
    return UpdateRecord(number, folder, feedback, llms, **{"follows": "", **sums}, manifest_sha256=manifest_sha256)


def _digest(content: Mapping[str, bytes]) -> str:
    """SHA-256 of file names, sizes and bytes."""
    total = hashlib.sha256()
    for name, data in sorted(content.items()):
        total.update(f"{name} {len(data)} ".encode() + data)
    return total.hexdigest()
