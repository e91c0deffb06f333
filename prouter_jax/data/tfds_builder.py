"""The tensorflow-datasets builder `personal_routing`: an example is a user with all decisions and what was said.

Its configs are the formats that are read. What users share stands beside the records of a built data set: tables/ (a
folder as `data.tables.read_write` reads it) and offers.npy, bool [candidate sets, llms]. Numbers in examples are rows
of these.
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
from prouter_jax.data.tfds_reader import NAME, OFFERS, SPLIT, TABLES, read_version, require_tfds
from prouter_jax.io import files
from prouter_jax.io.files import upload
from prouter_jax.io.markdown import cell, table
from prouter_jax.io.paths import files_below, is_remote, list_folder, make_path


def make_card(data: Interactions, name: str, licence: str, sources: Mapping[str, str], built: Mapping[str, str]) -> str:
    """A page of Markdown.

    Args:
      name: of the format.
      licence: one line.
      sources, built: SHA-256 sums of the files read and of those written, by name.
    """
    parts = [
        f"# personal_routing/{cell(name)}",
        "Which LLM each user wanted for each query. An example is a user with all decisions; texts, LLMs and outcomes "
        "are in tables/, sets of candidates in offers.npy, and numbers in examples are rows of these.",
        f"Licence of the data: {cell(licence)}",
        "## What is in it",
        table(["what", "number"], _counts(data)),
        "## LLMs",
        table(["LLM", "on offer", "choices"], _llm_rows(data)),
        "## Sources",
        table(["file", "SHA-256"], sources.items()),
        "## Files",
        table(["file", "SHA-256"], built.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _counts(data: Interactions) -> list[tuple[str, str]]:
    who, feedback = data.decisions.user, data.feedback
    counts = {
        "users": len(data.users.ids),
        "users with decisions": len(np.unique(who)),
        "tasks": len(data.tasks.ids),
        "queries": len(data.queries.ids),
        "LLMs": len(data.llms.ids),
        "outcomes": len(data.outcomes.query),
        "decisions": len(who),
        "sets of candidates": len(data.offers),
    }
    counts |= {f"feedback: {kind}": int((feedback.kind == number).sum()) for number, kind in enumerate(KINDS)}
    return [(what, str(number)) for what, number in counts.items()]


def _llm_rows(data: Interactions) -> list[tuple[str, str, str]]:
    """How often each LLM was on offer, and chosen; a tie counts in parts."""
    number, chosen = len(data.llms.ids), data.feedback.kind == KINDS.index("choice")
    offered = np.bincount(data.decisions.offer, minlength=len(data.offers)) @ data.offers
    choices = np.bincount(data.feedback.llm[chosen], data.feedback.value[chosen], number)
    return [(llm, str(n), f"{won:.0f}") for llm, n, won in zip(data.llms.ids, offered, choices, strict=True)]


def _read_public(name: str, path: str | os.PathLike) -> Interactions:
    return public.read_public(name, path).data


FORMATS = {"tables": read_tables} | {name: functools.partial(_read_public, name) for name in public.FORMATS}


class PersonalRouting(tfds.core.GeneratorBasedBuilder):
    """Users with their decisions among LLMs; no TensorFlow is needed to build or to read it."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name, description=f"Read as {name}.") for name in FORMATS]  # noqa: RUF012

    def __init__(self, data: Interactions | None = None, **options):
        """`data` is what is built; None to read what was built before. `options` are those of every builder."""
        self.data = data
        super().__init__(**options)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Which LLM each user wanted for each query: decisions with candidates, choices and ratings.",
            features=_features(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        if self.data is None:
            raise ValueError("personal_routing: expected the data to build from; use `prouter build_dataset`")
        _write_world(self.data, self.data_path)
        return {SPLIT: self._generate_examples(self.data)}

    def _generate_examples(self, data: Interactions) -> Iterator[tuple[int, dict]]:
        """By user; where there is none, one without a name, because a split must hold something."""
        decisions, feedback = data.decisions, data.feedback
        names = data.users.ids if len(data.users.ids) else [""]
        place = np.empty(len(decisions.user), np.int32)
        made, told = (_groups(user, len(names)) for user in (decisions.user, decisions.user[feedback.decision]))
        for user, name in enumerate(names):
            rows, said = made[user], told[user]
            place[rows] = np.arange(len(rows))
            columns = {column: getattr(decisions, column)[rows] for column in ("query", "offer", "time", "first")}
            values = {column: getattr(feedback, column)[said] for column in ("kind", "llm", "value")}
            values |= {"row": said, "decision": place[feedback.decision[said]]}
            example = {
                "user_id": name,
                "decision_id": list(decisions.ids[rows]),
                "decisions": _typed(_DECISIONS, columns | {"row": rows}),
                "feedback": _typed(_FEEDBACK, values),
            }
            yield user, example


# `row` is where a row stands in the data set as a whole, `decision` where it stands among the user's own.
_DECISIONS = {"row": np.int64, "query": np.int32, "offer": np.int32, "time": np.float64, "first": np.int32}
_FEEDBACK = {"row": np.int64, "decision": np.int32, "kind": np.int8, "llm": np.int32, "value": np.float32}


def _features():
    """Numbers are kept as bytes: records would otherwise make float32 of every fraction, and time needs more."""

    def columns(kinds: dict):
        return {name: tfds.features.Tensor(shape=(None,), dtype=kind, encoding="bytes") for name, kind in kinds.items()}

    text = tfds.features.Text()
    return tfds.features.FeaturesDict(
        {
            "user_id": text,
            "decision_id": tfds.features.Sequence(text),
            "decisions": columns(_DECISIONS),
            "feedback": columns(_FEEDBACK),
        }
    )


def _typed(kinds: dict, columns: dict) -> dict:
    return {name: columns[name].astype(kind) for name, kind in kinds.items()}


def _groups(group: np.ndarray, number: int) -> list[np.ndarray]:
    """The rows of each group, in their order."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group, minlength=number))[:-1])


def _write_world(data: Interactions, folder) -> None:
    """What users share, beside the records."""
    none = np.zeros((0, len(data.llms.ids)), bool)
    alone = data.replace(offers=none, decisions=interactions.no_decisions(), feedback=interactions.no_feedback())
    write_tables(alone, folder / TABLES)
    buffer = io.BytesIO()
    np.save(buffer, data.offers, allow_pickle=False)
    files.write_whole(folder / OFFERS, buffer.getvalue())


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

    folder = out / NAME / name / str(PersonalRouting.VERSION)
    _make_room(folder)
    if not is_remote(out):
        return _build(name, source, out, licence)
    with tempfile.TemporaryDirectory() as here:
        upload(_build(name, source, pathlib.Path(here), licence), folder)
    return folder


def _build(name: str, source: pathlib.Path, out: pathlib.Path, licence: str) -> pathlib.Path:

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
    for left in list_folder(folder.parent):
        if left.name.endswith(folder.name):  # incomplete.abc_1.0.0 is how TFDS calls what it has not finished
            files.delete(left)


def _sums(source: pathlib.Path) -> dict[str, str]:
    """SHA-256 of a file, or of those in a folder."""
    if not source.is_dir():
        return {source.name: files.sha256_of(source)}
    return {name: files.sha256_of(source / name) for name in files_below(source)}
