"""`World`: what may be known when a query is routed: training data, text vectors, cost scale; and its folder."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import RATING, THUMB, Interactions
from prouter_jax.data.query_features import QueryFeatures, make_query_features
from prouter_jax.data.rewards import CostScale, build_decisions
from prouter_jax.data.style_features import text_style, with_answer_style
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.data.text_encoders import make_encoder
from prouter_jax.graph.build import NodeVectors, build_graph, queries_shared
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.io import files
from prouter_jax.io.arrays import write_array
from prouter_jax.io.paths import make_path


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

    def build_graph(self, shards: int = 1, least_decisions: int = 0) -> RouterGraph:
        """The graph with every decision as history; arguments as of `graph.build.build_graph`."""
        histories = build_decisions(self.interactions, np.arange(len(self.interactions.decisions.user)))
        return build_graph(self.interactions, self.vectors, self.scale, histories, shards, least_decisions)

    def build_graph_of_one_user(self) -> RouterGraph:
        """The graph with the longest history alone, of the sizes that networks and reading new histories depend on.

        It is for users whose states are known: the edges of 100,000 histories take more memory than the rest.
        """
        data, count = self.interactions, len(self.interactions.users.ids)
        histories = build_decisions(data, np.arange(len(data.decisions.user)))
        if count < 2 or queries_shared(histories, count):
            return self.build_graph()
        longest = np.bincount(data.decisions.user, minlength=count).argmax()
        graph = dataclasses.replace(self, interactions=only_users(data, np.array([longest]))).build_graph()
        kinds = data.feedback.kind
        known = {
            "has_ratings": bool((kinds == RATING).any()),
            "has_thumbs": bool((kinds == THUMB).any()),
            "has_sides": bool((histories.first >= 0).any()),
        }
        return dataclasses.replace(graph, layout=dataclasses.replace(graph.layout, **known))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of new texts, float32 [texts, width].

        Raises:
          ValueError: if the world's vectors came with the data.
        """
        if self.encoder == "given":
            raise ValueError("this router was trained on vectors that came with the data: score by query_id")
        return make_encoder(self.encoder).encode(texts)

    def places(self, texts: Sequence[str], task: np.ndarray) -> QueryFeatures:
        """Where new texts of these task rows (-1 for none) [texts] stand among the queries."""
        return make_query_features(self.encode(texts), text_style(texts), task, len(self.interactions.tasks.ids))

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
        write_array(folder / f"{name}.npy", array)
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


def grow_world(world: World, merged: Interactions) -> World:
    """The world with all of `merged`, whose rows start with those of the world.

    Where the world knows the style of answers, that of new ones is read off their texts.

    LLMs that the world knows keep their old prices: what the model learnt of an LLM goes with the prices
    it had then, and `price_factors` says what has become of them.
    """
    before, now = world.interactions.llms, merged.llms
    prices = {
        name: np.append(getattr(before, name), getattr(now, name)[len(before.ids) :])
        for name in ("input_price", "output_price")
    }
    data = merged.replace(llms=dataclasses.replace(now, **prices))
    if world.interactions.outcomes.style is not None:
        data = with_answer_style(data)
    return _with_scale_rows(dataclasses.replace(world, interactions=data, vectors=_grown_vectors(world, merged)))


def price_factors(before: Interactions, now: Interactions) -> np.ndarray:
    """New over old price of each LLM, weighted by the tokens it was seen to use, [llms].

    Raises:
      ValueError: if a price changes that was not known or free.
    """
    tokens = [_mean_by_llm(now, x) for x in (now.outcomes.input_tokens, now.outcomes.output_tokens)]
    old, new = (
        sum(count * price for count, price in zip(tokens, prices, strict=True))
        for prices in ((t.llms.input_price, t.llms.output_price) for t in (before, now))
    )
    changed = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    if (changed & ~(old > 0)).any():
        name = now.llms.ids[changed & ~(old > 0)][0]
        raise ValueError(f"table llms, llm {name}: expected a known price above 0 before it is changed, found none")
    return np.where(changed, new / np.where(changed, old, 1), 1.0)


def only_users(data: Interactions, rows: np.ndarray) -> Interactions:
    """The given users and their decisions."""
    place = np.full(len(data.users.ids), -1, np.int32)
    place[rows] = np.arange(len(rows))
    kept = tables.select_decisions(data, place[data.decisions.user] >= 0)
    decisions = dataclasses.replace(kept.decisions, user=place[kept.decisions.user])
    return kept.replace(users=tables.take(data.users, rows), decisions=decisions)


def without_user(world: World, row: int) -> World:
    """The world without a user and the user's decisions; queries and their outcomes stay."""
    others = np.delete(np.arange(len(world.interactions.users.ids)), row)
    return dataclasses.replace(world, interactions=tables.distinct_offers(only_users(world.interactions, others)))


def _grown_vectors(world: World, merged: Interactions) -> NodeVectors:
    """The world's text vectors and those of what was added; a known LLM may be described anew."""
    vectors, describe = world.vectors, "wordllama" if world.encoder == "given" else world.encoder
    task, query = merged.tasks.descriptions[len(vectors.task) :], merged.queries.texts[len(vectors.query) :]
    return NodeVectors(
        task=np.concatenate([vectors.task, world.encode(list(task))]) if len(task) else vectors.task,
        query=np.concatenate([vectors.query, world.encode(list(query))]) if len(query) else vectors.query,
        llm=make_encoder(describe).encode(list(merged.llms.descriptions)),
        query_style=np.concatenate([vectors.query_style, text_style(query)]) if len(query) else vectors.query_style,
    )


def _mean_by_llm(data: Interactions, values: np.ndarray) -> np.ndarray:
    """Mean of what is known of each LLM; 1 where nothing is."""
    known = ~np.isnan(values)
    total, count = (
        np.bincount(data.outcomes.llm[known], weights, len(data.llms.ids)) for weights in (values[known], None)
    )
    return np.where(count > 0, total / np.maximum(count, 1), 1.0)


def _with_scale_rows(world: World) -> World:
    """A world whose cost scale has a row for each of its tasks; new ones take the overall scale."""
    extra = len(world.interactions.tasks.ids) + 1 - len(world.scale.low)
    if not extra:
        return world
    low, high = (np.append(x, np.repeat(x[-1], extra)) for x in (world.scale.low, world.scale.high))
    return dataclasses.replace(world, scale=dataclasses.replace(world.scale, low=low, high=high))
