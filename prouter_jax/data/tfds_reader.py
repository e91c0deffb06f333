"""Reads a data set of `data.tfds_builder` as `Interactions` or as a Grain source; needs no TensorFlow.

A data set in a bucket is read from a temporary local copy, because array_record does not read through fsspec.
"""

import contextlib
import json
import os
import pathlib
import weakref
from collections.abc import Iterator, Sequence

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.interactions import Decisions, Feedback, Interactions
from prouter_jax.data.tables.read_write import keep_pool, read_tables
from prouter_jax.data.validation import validate
from prouter_jax.io import files
from prouter_jax.io.files import downloaded
from prouter_jax.io.paths import list_folder, make_path

NAME = "personal_routing"
"""Name of the TFDS data set."""
SPLIT = "users"
"""Name of its only split."""
TABLES, OFFERS = "tables", "offers.npy"
"""Names of the folder of shared tables and of the file of candidate sets."""
DECISIONS = {"row": np.int64, "query": np.int32, "offer": np.int32, "time": np.float64, "first": np.int32}
FEEDBACK = {"row": np.int64, "decision": np.int32, "kind": np.int8, "llm": np.int32, "value": np.float32}
"""Columns of an example's tables: `row` is a row of the whole data set, `decision` one of the user's decisions."""
_FEATURES = "features.json"


def require_tfds():
    """Imports the package tensorflow_datasets.

    Raises:
      ImportError: if it or array_record is not installed; the message names the extra.
    """
    try:
        import array_record  # noqa: F401  # pyright: ignore[reportMissingImports]
        import tensorflow_datasets  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"data set: pip install 'prouter-jax[tfds]' first ({error})") from error
    return tensorflow_datasets


def make_features():
    """The TFDS features of every data set `NAME`.

    Tensors are encoded as bytes: records would otherwise store all floats as float32, too coarse for times.
    """
    features = require_tfds().features

    def columns(kinds: dict):
        return {name: features.Tensor(shape=(None,), dtype=kind, encoding="bytes") for name, kind in kinds.items()}

    text = features.Text()
    return features.FeaturesDict(
        {
            "user_id": text,
            "decision_id": features.Sequence(text),
            "decisions": columns(DECISIONS),
            "feedback": columns(FEEDBACK),
        }
    )


def open_users(path: str | os.PathLike) -> Sequence[dict]:
    """The examples of a data set, one for each user, as a source for `grain.MapDataset.source`.

    Args:
      path: the folder of data sets, if it holds one, or the folder of the data set's version. The local copy of a
        data set in a bucket lives as long as the returned source.

    Raises:
      ValueError: if there is no data set or several, or a file differs from the manifest.
      ImportError: if tensorflow-datasets is not installed.
    """
    with contextlib.ExitStack() as stack:
        users = _open_users(stack.enter_context(_verified(path)))
        weakref.finalize(users, stack.pop_all().close)
    return users


def read_dataset(path: str | os.PathLike, pool: str = "") -> Interactions:
    """The `Interactions` of a data set, in the original order of rows."""
    with _verified(path) as folder:
        return keep_pool(read_version(folder), pool)


def read_version(folder: pathlib.Path) -> Interactions:
    """The `Interactions` in the folder of a version, without a check of its manifest."""
    users = list(_open_users(folder))
    world = read_tables(folder / TABLES, feedback=False)
    with (folder / OFFERS).open("rb") as file:
        offers = np.load(file, allow_pickle=False)
    return validate(world.replace(offers=offers, decisions=_decisions(users), feedback=_feedback(users)))


@contextlib.contextmanager
def _verified(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """The local folder of the data set, checked against its manifest."""
    found = _find(path)
    with downloaded(found) as folder:
        try:
            files.verify(folder)
        except ValueError as error:
            raise ValueError(f"{found}: expected a data set as it was built, found {error}") from None
        yield folder


def _find(path: str | os.PathLike) -> pathlib.Path:
    root = make_path(path)
    versions = [root] if (root / files.MANIFEST).exists() else _versions(root)
    if len(versions) != 1:
        found = ", ".join(str(folder) for folder in versions) or "none"
        raise ValueError(f"{root}: expected one data set {NAME}, found {found}")
    return versions[0]


def _versions(root: pathlib.Path) -> list[pathlib.Path]:
    found = [version for name in list_folder(root / NAME) for version in list_folder(name)]
    return sorted(version for version in found if (version / files.MANIFEST).exists())


def _open_users(folder: pathlib.Path) -> Sequence[dict]:
    tfds = require_tfds()
    _check_features(folder)
    return tfds.builder_from_directory(folder).as_data_source(SPLIT)  # pyright: ignore[reportCallIssue]


def _check_features(folder: pathlib.Path) -> None:
    """Raises ValueError unless the stored features are those of `make_features`.

    TFDS imports every module that features.json names as that of a feature: with other names, data would run code.
    """
    from google.protobuf import json_format

    try:
        stored = json.loads((folder / _FEATURES).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{folder / _FEATURES}: expected JSON, found {error}") from None
    if stored != json_format.MessageToDict(make_features().to_proto()):
        raise ValueError(f"{folder / _FEATURES}: expected the features of {NAME}, found others")


def _decisions(users: list[dict]) -> Decisions:
    sizes = [len(user["decision_id"]) for user in users]
    columns = _joined(users, "decisions")
    ids = interactions.strings([name.decode() for user in users for name in user["decision_id"]])
    columns |= {"ids": ids, "user": np.repeat(np.arange(len(users), dtype=np.int32), sizes)}
    order = np.argsort(columns.pop("row"))
    return Decisions(**{name: values[order] for name, values in columns.items()})


def _feedback(users: list[dict]) -> Feedback:
    columns = _joined(users, "feedback")
    decision = [user["decisions"]["row"][user["feedback"]["decision"]] for user in users]
    columns["decision"] = np.concatenate(decision).astype(np.int32)
    order = np.argsort(columns.pop("row"))
    return Feedback(**{name: values[order] for name, values in columns.items()})


def _joined(users: list[dict], table: str) -> dict[str, np.ndarray]:
    return {name: np.concatenate([user[table][name] for user in users]) for name in users[0][table]}
