"""`World`: what may be known when a query is routed: training data, text vectors, cost scale; and its folder."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from prouter_jax import files
from prouter_jax.answer_style import text_style
from prouter_jax.decisions import CostScale, build_decisions
from prouter_jax.encoders import make_encoder
from prouter_jax.graph import RouterGraph
from prouter_jax.graph_build import NodeVectors, build_graph
from prouter_jax.interactions import Interactions
from prouter_jax.paths import make_path
from prouter_jax.places import Places, places_of
from prouter_jax.readers.tables import read_tables, write_tables


@dataclasses.dataclass(frozen=True)
class World:
    """Everything that a graph is built of.

    Attributes:
      interactions: visible queries with their outcomes, and the decisions that are the users' histories.
      vectors: text vectors of its tasks, queries and LLM descriptions.
      scale: of its costs, one row for each task and one for none.
      encoder: name of the text encoder that made the vectors.
    """

    interactions: Interactions
    vectors: NodeVectors
    scale: CostScale
    encoder: str

    def build_graph(self, shards: int = 1) -> RouterGraph:
        """The graph with every decision as history; `shards` as in `graph_build.build_graph`."""
        histories = build_decisions(self.interactions, np.arange(len(self.interactions.decisions.user)))
        return build_graph(self.interactions, self.vectors, self.scale, histories, shards)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of new texts, float32 [texts, width].

        Raises:
          ValueError: if the world's vectors came with the data.
        """
        if self.encoder == "given":
            raise ValueError("this router was trained on vectors that came with the data: score by query_id")
        return make_encoder(self.encoder).encode(texts)

    def places(self, texts: Sequence[str], task: np.ndarray) -> Places:
        """Where new texts of these task rows (-1 for none) [texts] stand among the queries.

        Raises:
          ValueError: as `encode`.
        """
        return places_of(self.encode(texts), text_style(texts), task, len(self.interactions.tasks.ids))

    def digest(self) -> str:
        """SHA-256 of what was observed; equal for equal data, whatever the order it came in is part of it.

        Texts of answers do not count: all that is used of them is their style.
        """
        data, total = self.interactions, hashlib.sha256(np.packbits(self.interactions.offers).tobytes())
        for name in ("users", "tasks", "queries", "llms", "outcomes", "decisions", "feedback"):
            table = getattr(data, name)
            for field in dataclasses.fields(table):
                # decisions are known by what they are about; vectors follow from texts
                if (name, field.name) != ("decisions", "ids") and field.name not in ("vectors", "response"):
                    total.update(_bytes(getattr(table, field.name)))
        return total.hexdigest()


def _bytes(column: np.ndarray | None) -> bytes:
    """The same for equal columns, whatever width a table file keeps them in and whichever NaN; nothing for none."""
    if column is None:
        return b""
    if column.dtype == object:
        return "\0".join(column).encode()
    if column.dtype.kind == "f":
        return np.where(np.isnan(column), -1.0, column).astype(np.float32).tobytes()
    return column.astype(np.int64).tobytes()


def save_world(world: World, folder: str | os.PathLike) -> None:
    """Writes the world as tables and arrays, then a manifest of their SHA-256 sums.

    Texts of answers stay behind, only their style is kept: they would be most of the folder.
    """
    folder = make_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = world.interactions
    write_tables(data.replace(outcomes=dataclasses.replace(data.outcomes, response=None)), folder / "tables")
    for name, array in _arrays(world).items():
        with files.open_whole(folder / f"{name}.npy") as file:
            np.save(file, array)
    files.write_manifest(folder, {"encoder": world.encoder, "width": world.vectors.query.shape[1]})


def load_world(folder: str | os.PathLike) -> World:
    """The inverse of `save_world`.

    Raises:
      ValueError: if a file is missing or differs from the manifest.
    """
    folder = make_path(folder)
    kept = files.verify(folder)
    arrays = {name: _load(folder / f"{name}.npy") for name in _ARRAYS}
    vectors = NodeVectors(*(arrays[name] for name in _ARRAYS[:4]))
    scale = CostScale(arrays["lowest_costs"], arrays["highest_costs"])
    return World(read_tables(folder / "tables"), vectors, scale, kept["encoder"])


_ARRAYS = ("task_vectors", "query_vectors", "llm_vectors", "query_style", "lowest_costs", "highest_costs")


def _load(path: pathlib.Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.load(file, allow_pickle=False)


def _arrays(world: World) -> dict[str, np.ndarray]:
    vectors, scale = world.vectors, world.scale
    kept = (vectors.task, vectors.query, vectors.llm, vectors.query_style, scale.low, scale.high)
    return dict(zip(_ARRAYS, kept, strict=True))
