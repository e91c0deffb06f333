"""From a configuration to data that is split: what may be known (`World`) and what is asked (decisions)."""

import dataclasses

import numpy as np

from prouter_jax import interactions as tables
from prouter_jax.config import Data
from prouter_jax.decisions import DecisionArrays, build_decisions, build_rewards, fit_cost_scale
from prouter_jax.embedded import build_embedded
from prouter_jax.encoders import encode_cached, make_encoder
from prouter_jax.graph_build import NodeVectors
from prouter_jax.interactions import Interactions
from prouter_jax.readers.personaroute import read_personaroute
from prouter_jax.readers.tables import read_tables
from prouter_jax.simulate import build_multi_cost_efficiency
from prouter_jax.splits import Parts, split_decisions, split_queries
from prouter_jax.validation import validate
from prouter_jax.world import World


@dataclasses.dataclass(frozen=True)
class Source:
    """All data of an experiment before any split, with its text vectors; shared by all seeds."""

    interactions: Interactions
    vectors: NodeVectors
    encoder: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """One split of a source.

    Attributes:
      data: all queries and decisions, simulated users included.
      vectors: of `data`.
      world: the training part; its users, tasks and LLMs have the rows they have in `data`.
      world_query: the row in `world` of each query of `data`, -1 for those it does not hold.
      parts: rows of `data.decisions`.
    """

    data: Interactions
    vectors: NodeVectors
    world: World
    world_query: np.ndarray
    parts: Parts

    def labelled(self, part: str) -> "Labelled":
        """The decisions of "train", "validation" or "test" with what each candidate would have been worth."""
        decisions = build_decisions(self.data, getattr(self.parts, part))
        return Labelled(decisions, build_rewards(self.data, self.world.scale, decisions))


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Decisions and the reward of each candidate, float32 [decisions, llms], NaN where unknown or not on offer."""

    decisions: DecisionArrays
    rewards: np.ndarray


def read_source(config: Data) -> Source:
    """Reads or makes the data that `config` names and encodes its texts.

    Raises:
      ValueError: on bad data, in one line.
    """
    if config.source == "embedded":
        data = build_embedded(config.embedded)
    elif config.source == "tables":
        data = read_tables(config.path, pool=config.pool)
    else:
        data = read_personaroute(config.path, config.llms_path)
    validate(data)
    if config.users == "recorded" and not len(data.decisions.user):
        raise ValueError(
            f"{config.path}: expected recorded decisions, found none; config.data.users can simulate users"
        )
    return Source(data, encode_texts(data, config.encoder), config.encoder)


def encode_texts(data: Interactions, encoder_name: str) -> NodeVectors:
    """Text vectors of tasks, queries and LLM descriptions; "given" takes those of tasks and queries from the data.

    Raises:
      ValueError: if vectors are to be given and are not, or the encoder is unknown.
    """
    encoder = make_encoder("wordllama" if encoder_name == "given" else encoder_name)
    llm = encode_cached(encoder, list(data.llms.descriptions))
    if encoder_name != "given":
        task, query = (encode_cached(encoder, list(texts)) for texts in (data.tasks.descriptions, data.queries.texts))
        return NodeVectors(task, query, llm)
    if data.queries.vectors is None:
        raise ValueError("config.data.encoder: expected vectors in the data for 'given', found none")
    width = data.queries.vectors.shape[1]
    task = np.zeros((len(data.tasks.ids), width), np.float32) if data.tasks.vectors is None else data.tasks.vectors
    return NodeVectors(task, data.queries.vectors, llm)


def prepare(source: Source, config: Data, seed: int) -> Prepared:
    """Splits a source with a seed, fits the cost scale on the training queries and simulates users if asked to."""
    data = source.interactions
    shares = (config.train_share, config.validation_share, seed)
    queries = split_queries(data, *shares) if config.split == "cold_query" else None
    visible = np.ones(len(data.queries.ids), bool)
    if queries is not None:
        visible = np.isin(np.arange(len(visible)), queries.train)
    scale = fit_cost_scale(tables.select_queries(data, visible))
    if config.users == "multi_cost_efficiency":
        limits = (config.num_users, config.preference_min, config.preference_max)
        data = build_multi_cost_efficiency(data, scale, *limits, config.feedback)
    parts = _decisions_of(queries, data) if queries is not None else split_decisions(data, *shares)
    seen = np.zeros(len(data.decisions.user), bool)
    seen[parts.train] = True
    known = tables.select_queries(tables.select_decisions(data, seen), visible)
    vectors = dataclasses.replace(source.vectors, query=source.vectors.query[visible])
    world = World(known, vectors, scale, source.encoder)
    world_query = np.where(visible, np.cumsum(visible) - 1, -1)
    return Prepared(data, source.vectors, world, world_query, parts)


def _decisions_of(queries: Parts, data: Interactions) -> Parts:
    """The decisions on the queries of each part."""
    return Parts(
        *(
            np.flatnonzero(np.isin(data.decisions.query, getattr(queries, field.name)))
            for field in dataclasses.fields(Parts)
        )
    )
