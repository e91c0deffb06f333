"""The tensorflow-datasets builder `personal_routing`: an example is a user with all decisions and feedback.

Its configs are the input formats. Beside the records are the tables that users share: tables/ (a folder for
`data.tables.read_write`) and offers.npy, bool [candidate sets, llms]. Integers in examples are rows of these.
"""

import contextlib
import functools
import io
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow_datasets as tfds

from prouter_jax.data import interactions
from prouter_jax.data.interactions import KINDS, Interactions
from prouter_jax.data.public import registry as public
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.data.tfds_reader import (
    DECISIONS,
    FEEDBACK,
    NAME,
    OFFERS,
    SPLIT,
    TABLES,
    make_features,
    read_version,
    require_tfds,
)
from prouter_jax.io import files
from prouter_jax.io.display import escape_markdown, markdown_table
from prouter_jax.io.files import upload
from prouter_jax.io.paths import files_below, is_remote, list_folder, make_path


def _read_public(name: str, path: str | os.PathLike) -> Interactions:
    return public.read_public(name, path).data


FORMATS = {"tables": read_tables} | {name: functools.partial(_read_public, name) for name in public.FORMATS}
"""Reader of each format: path -> Interactions."""
CARD = "card.md"
"""File name of the data card."""


def build_dataset(
    name: str, source: str | os.PathLike, out: str | os.PathLike, licence: str = "not stated"
) -> pathlib.Path:
    """Builds the data set in OUT/personal_routing/FORMAT/VERSION. It is complete once its manifest exists.

    A data set for a bucket is first built in a temporary local folder.

    Args:
      name: of the format, among `FORMATS`.
      source: file or folder of this format.
      out: folder of data sets, local or in a bucket.
      licence: of the data, for the card.

    Returns:
      The folder of the data set.

    Raises:
      ValueError: if the format does not exist, the data is invalid, or the data set exists already.
      ImportError: if tensorflow-datasets is not installed.
    """
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(sorted(FORMATS))}, found {name!r}")
    source, out = make_path(source), make_path(out)
    if not source.exists():
        raise ValueError(f"{source}: expected data of format {name}, found none")
    tfds = require_tfds()
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()

    folder = out / NAME / name / str(PersonalRouting.VERSION)
    _check_new(folder)
    if not is_remote(out):
        return _build(name, source, out, licence)
    with tempfile.TemporaryDirectory() as here:
        upload(_build(name, source, pathlib.Path(here), licence), folder)
    return folder


class PersonalRouting(tfds.core.GeneratorBasedBuilder):
    """Users with their decisions among LLMs; building and reading need no TensorFlow."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name, description=f"Read as {name}.") for name in FORMATS]  # noqa: RUF012

    def __init__(self, data: Interactions | None = None, **options):
        """Args: `data` is the content to build, None to read; `options` are those of tfds builders."""
        self.data = data
        super().__init__(**options)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Which LLM each user wanted for each query: decisions with candidates, choices and ratings.",
            features=make_features(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        if self.data is None:
            raise ValueError("personal_routing: expected the data to build from; use `prouter build_dataset`")
        _write_world(self.data, self.data_path)
        return {SPLIT: self._generate_examples(self.data)}

    def _generate_examples(self, data: Interactions) -> Iterator[tuple[int, dict]]:
        """One example for each user; without users an empty one, because a TFDS split needs an example."""
        decisions, feedback = data.decisions, data.feedback
        names = data.users.ids if len(data.users.ids) else [""]
        position = np.empty(len(decisions.user), np.int32)
        rows_of, feedback_of = (
            _groups(user, len(names)) for user in (decisions.user, decisions.user[feedback.decision])
        )
        for user, name in enumerate(names):
            rows, given = rows_of[user], feedback_of[user]
            position[rows] = np.arange(len(rows))
            columns = {column: getattr(decisions, column)[rows] for column in ("query", "offer", "time", "first")}
            values = {column: getattr(feedback, column)[given] for column in ("kind", "llm", "value")}
            values |= {"row": given, "decision": position[feedback.decision[given]]}
            example = {
                "user_id": name,
                "decision_id": list(decisions.ids[rows]),
                "decisions": _typed(DECISIONS, columns | {"row": rows}),
                "feedback": _typed(FEEDBACK, values),
            }
            yield user, example


def make_card(data: Interactions, name: str, licence: str, sources: Mapping[str, str], built: Mapping[str, str]) -> str:
    """The data card of a built data set, in Markdown.

    Args:
      licence: of the data, one line.
      sources, built: SHA-256 of the input files and of the written files, by name.
    """
    parts = [
        f"# personal_routing/{escape_markdown(name)}",
        "Which LLM each user wanted for each query. An example is a user with all decisions; texts, LLMs and outcomes "
        "are in tables/, sets of candidates in offers.npy, and numbers in examples are rows of these.",
        f"Licence of the data: {escape_markdown(licence)}",
        "## What is in it",
        markdown_table(["what", "number"], _counts(data)),
        "## LLMs",
        markdown_table(["LLM", "on offer", "choices"], _llm_rows(data)),
        "## Sources",
        markdown_table(["file", "SHA-256"], sources.items()),
        "## Files",
        markdown_table(["file", "SHA-256"], built.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _counts(data: Interactions) -> list[tuple[str, str]]:
    user, feedback = data.decisions.user, data.feedback
    counts = {
        "users": len(data.users.ids),
        "users with decisions": len(np.unique(user)),
        "tasks": len(data.tasks.ids),
        "queries": len(data.queries.ids),
        "LLMs": len(data.llms.ids),
        "outcomes": len(data.outcomes.query),
        "decisions": len(user),
        "sets of candidates": len(data.offers),
    }
    counts |= {f"feedback: {kind}": int((feedback.kind == number).sum()) for number, kind in enumerate(KINDS)}
    return [(what, str(number)) for what, number in counts.items()]


def _llm_rows(data: Interactions) -> list[tuple[str, str, str]]:
    """Numbers of decisions that offer each LLM, and of choices of it; a tie counts in parts."""
    number, chosen = len(data.llms.ids), data.feedback.kind == KINDS.index("choice")
    offered = np.bincount(data.decisions.offer, minlength=len(data.offers)) @ data.offers
    choices = np.bincount(data.feedback.llm[chosen], data.feedback.value[chosen], number)
    return [(llm, str(n), f"{won:.0f}") for llm, n, won in zip(data.llms.ids, offered, choices, strict=True)]


def _typed(kinds: dict, columns: dict) -> dict:
    return {name: columns[name].astype(kind) for name, kind in kinds.items()}


def _groups(group: np.ndarray, number: int) -> list[np.ndarray]:
    """The rows of each group, in ascending order."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group, minlength=number))[:-1])


def _write_world(data: Interactions, folder) -> None:
    """Writes the tables that users share."""
    no_offers = np.zeros((0, len(data.llms.ids)), bool)
    shared = data.replace(offers=no_offers, decisions=interactions.no_decisions(), feedback=interactions.no_feedback())
    write_tables(shared, folder / TABLES)
    buffer = io.BytesIO()
    np.save(buffer, data.offers, allow_pickle=False)
    files.write_whole(folder / OFFERS, buffer.getvalue())


def _build(name: str, source: pathlib.Path, out: pathlib.Path, licence: str) -> pathlib.Path:
    """Builds in a local folder."""
    builder = PersonalRouting(FORMATS[name](source), config=name, data_dir=out, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints about downloads
        builder.download_and_prepare()
    folder = pathlib.Path(builder.data_dir)
    card = make_card(read_version(folder), name, licence, _sums(source), _sums(folder))
    files.write_whole(folder / CARD, card)
    files.write_manifest(folder, {"format": name})
    return folder


def _check_new(folder: pathlib.Path) -> None:
    """Refuses an existing data set; deletes the rest of an interrupted build."""
    if (folder / files.MANIFEST).exists():
        raise ValueError(f"{folder}: expected no data set yet, found one; delete it or name another folder")
    for left in list_folder(folder.parent):
        if left.name.endswith(folder.name):  # TFDS names an unfinished build like incomplete.abc_1.0.0
            files.delete(left)


def _sums(source: pathlib.Path) -> dict[str, str]:
    """SHA-256 of a file, or of all files in a folder, by name."""
    if not source.is_dir():
        return {source.name: files.sha256_of(source)}
    return {name: files.sha256_of(source / name) for name in files_below(source)}
