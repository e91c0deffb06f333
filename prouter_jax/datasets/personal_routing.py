"""The tensorflow-datasets builder `personal_routing`: an example is a user with all decisions and what was said.

Its configs are the formats that are read. What users share stands beside the records of a built data set: tables/ (a
folder as `readers.tables` reads it) and offers.npy, bool [candidate sets, llms]. Numbers in examples are rows of these.
"""

import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds  # pyright: ignore[reportMissingImports]

from prouter_jax import files, interactions
from prouter_jax.datasets.formats import FORMATS
from prouter_jax.interactions import Interactions
from prouter_jax.readers.personal_routing import OFFERS, SPLIT, TABLES
from prouter_jax.readers.tables import write_tables


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
            raise ValueError("personal_routing: expected data to build of; use python -m launch.build_dataset")
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
