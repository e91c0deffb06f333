"""From a configuration to data that is split: what may be known (`World`) and what is asked (decisions)."""

import dataclasses
import sys

import numpy as np
import pyarrow as pa

from prouter_jax.config import TIME, WARM, Data
from prouter_jax.data import interactions as tables
from prouter_jax.data.history_store import HistoryStore
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.public.registry import read_public
from prouter_jax.data.rewards import CostScale, DecisionArrays, build_decisions, build_rewards, fit_cost_scale
from prouter_jax.data.splits import (
    TEST,
    TRAIN,
    Division,
    Parts,
    divide,
    exchange,
    find_llms,
    hide_outcomes,
    rows_by_pair,
    split_queries,
    split_times,
    without_llms,
)
from prouter_jax.data.style_features import text_style, with_answer_style
from prouter_jax.data.synthetic.benchmark import build_embedded, open_more_users
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.data.text_encoders import encode_cached, make_encoder
from prouter_jax.data.tfds_reader import read_dataset
from prouter_jax.data.validation import validate
from prouter_jax.graph.build import NodeVectors
from prouter_jax.graph.world import World
from prouter_jax.llm.judges.registry import make_judge
from prouter_jax.llm.simulated_users import build_llm_as_judge, build_multi_cost_efficiency


@dataclasses.dataclass(frozen=True)
class Source:
    """All data of an experiment before any split, with its text vectors; shared by all seeds.

    `store` has the histories of the users who only train, over the same queries and LLMs; None without such users.
    """

    interactions: Interactions
    vectors: NodeVectors
    encoder: str
    store: HistoryStore | None = None


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One split of a source, with `config.given` decisions seen.

    Attributes:
      data: all queries, outcomes and decisions, simulated users included. Where LLMs are new, decisions that must
        not know of them have them not on offer, and those that this leaves without meaning are not there.
      vectors: of `data`.
      world: what may be known: the training part, with what is given. Its users, tasks and LLMs have the rows they
        have in `data`, a new user without decisions, a new LLM without outcomes; its cost scale is that of
        nothing given, so that a router trained there reads it alike.
      world_query: the row in `world` of each query of `data`, -1 for those it does not hold.
      parts: rows of `data.decisions`; some may be in no part. What is given is in train.
      truth_scale: of the costs in rewards and in what simulated users decide: fitted on all LLMs' training
        queries, so that a reward is the same whatever is seen. Differs from `world.scale` only where LLMs are new.
      store: of the source.

    Example:
      >>> from prouter_jax import Dataset, ExperimentConfig, prepare_dataset, read_source
      >>> config = ExperimentConfig()
      >>> config.data.encoder = "hash"
      >>> dataset = prepare_dataset(read_source(config.data), config.data, seed=0)
      >>> isinstance(dataset, Dataset), dataset.labelled("test").rewards.shape[1]
      (True, 8)
    """

    data: Interactions
    vectors: NodeVectors
    world: World
    world_query: np.ndarray
    parts: Parts
    truth_scale: CostScale
    store: HistoryStore | None = None

    def labelled(self, part: str) -> "Labelled":
        """The decisions of "train", "validation" or "test" with what each candidate would have been worth."""
        decisions = build_decisions(self.data, getattr(self.parts, part))
        return Labelled(decisions, build_rewards(self.data, self.truth_scale, decisions))


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Decisions and the reward of each candidate, float32 [decisions, llms], NaN where unknown or not on offer."""

    decisions: DecisionArrays
    rewards: np.ndarray


def read_source(config: Data) -> Source:
    """Reads or makes the data that `config` names, measures its answers and encodes its texts.

    Raises:
      ValueError: on bad data, in one line.

    Example:
      >>> from prouter_jax import ExperimentConfig, read_source
      >>> config = ExperimentConfig()
      >>> config.data.source, config.data.path, config.data.encoder = "tables", "data/mine", "hash"
      >>> read_source(config.data).vectors.query.shape
      (120, 64)
    """
    data = with_answer_style(read_interactions(config))
    if config.ignore_effects:
        unknown = np.full_like(data.outcomes.effect, np.nan)
        data = data.replace(outcomes=dataclasses.replace(data.outcomes, effect=unknown))
    if config.users == "llm_as_judge":
        # the same people for every seed of the split: a verdict may cost money
        judge = make_judge(config.judge, data)
        data = validate(build_llm_as_judge(data, judge, config.num_users, config.judge.seed))
    # of an answer's text nothing but its style is used from here on
    data = data.replace(outcomes=dataclasses.replace(data.outcomes, response=None))
    pa.default_memory_pool().release_unused()  # Arrow would keep what the texts took
    store = open_more_users(config.embedded) if config.embedded.more_users else None
    return Source(data, encode_texts(data, config.encoder), config.encoder, store)


def read_interactions(config: Data) -> Interactions:
    """Reads or makes the data that `config` names, with the texts of its answers.

    Raises:
      ValueError: on bad data, in one line.
    """
    if config.source == "embedded":
        data = build_embedded(config.embedded)
    elif config.source == "tables":
        data = read_tables(config.path, pool=config.pool, feedback=config.users == "recorded")
    elif config.source == "tfds":
        data = read_dataset(config.path, pool=config.pool)
    else:
        data = _read_public(config)
    validate(data)
    if config.most_users:
        data = tables.select_users(data, config.most_users)
    if config.users == "recorded" and not len(data.decisions.user):
        raise ValueError(
            f"{config.path}: expected recorded decisions, found none; config.data.users can simulate users"
        )
    return data


def _read_public(config: Data) -> Interactions:
    """Tells what was dropped: nothing else of a run would."""
    read = read_public(config.source, config.path, config.llms_path)
    if read.dropped:
        dropped = ", ".join(f"{times} {what}" for what, times in read.dropped.items())
        print(f"{config.source}: of {read.records} records dropped: {dropped}", file=sys.stderr)
    return read.data


def encode_texts(data: Interactions, encoder_name: str) -> NodeVectors:
    """Text vectors of tasks, queries and LLM descriptions; "given" takes those of tasks and queries from the data.

    Raises:
      ValueError: if vectors are to be given and are not, or the encoder is unknown.
    """
    encoder = make_encoder("wordllama" if encoder_name == "given" else encoder_name)
    llm = encode_cached(encoder, list(data.llms.descriptions))
    if encoder_name != "given":
        task, query = (encode_cached(encoder, list(texts)) for texts in (data.tasks.descriptions, data.queries.texts))
        return NodeVectors(task, query, llm, text_style(data.queries.texts))
    if data.queries.vectors is None:
        raise ValueError("config.data.encoder: expected vectors in the data for 'given', found none")
    width = data.queries.vectors.shape[1]
    task = np.zeros((len(data.tasks.ids), width), np.float32) if data.tasks.vectors is None else data.tasks.vectors
    return NodeVectors(task, data.queries.vectors, llm, text_style(data.queries.texts))


def prepare_dataset(source: Source, config: Data, seed: int) -> Dataset:
    """Splits a source with a seed, fits the cost scales on the training queries and simulates users if asked to.

    Raises:
      ValueError: if `config.new_llms` names an LLM that is not there.

    Example:
      >>> from prouter_jax import ExperimentConfig, prepare_dataset, read_source
      >>> config = ExperimentConfig()
      >>> config.data.source, config.data.path, config.data.encoder = "tables", "data/mine", "hash"
      >>> dataset = prepare_dataset(read_source(config.data), config.data, seed=0)
      >>> test = dataset.labelled("test")
      >>> test.rewards.shape[1], len(dataset.parts.train) > len(dataset.parts.test)
      (8, True)
    """
    data = source.interactions
    new = find_llms(data.llms.ids, config.new_llms)
    queries = None
    visible = np.ones(len(data.queries.ids), bool)
    if config.split == TIME:
        visible = _asked_early(data, split_times(data, config.train_share, config.validation_share))
    elif config.split not in WARM:
        queries = split_queries(data, config.train_share, config.validation_share, seed)
        visible = queries.numbers(len(visible)) == TRAIN
    truth_scale, scale = (_fit_scale(some, visible) for some in (data, hide_outcomes(data, new)))
    data, division = _divide(data, queries, config, new, truth_scale, seed)
    known = tables.select_decisions(hide_outcomes(data, new, division.shown), division.part == TRAIN)
    known = tables.distinct_offers(tables.select_queries(known, visible))
    vectors = source.vectors.of_queries(visible)
    world = World(known, vectors, scale, source.encoder)
    world_query = np.where(visible, np.cumsum(visible) - 1, -1)
    return Dataset(data, source.vectors, world, world_query, division.parts(), truth_scale, source.store)


def _asked_early(data: Interactions, parts: Parts) -> np.ndarray:
    """bool [queries]: those with a training decision, and those that nobody ever asked, measured beforehand.

    Outcomes tell no time: all of a query that was asked early are seen.
    """
    asked, early = np.zeros((2, len(data.queries.ids)), bool)
    asked[data.decisions.query] = True
    early[data.decisions.query[parts.train]] = True
    return early | ~asked


def _fit_scale(data: Interactions, visible: np.ndarray) -> CostScale:
    """Of the outcomes on the queries where `visible` [queries]."""
    alone = data.replace(decisions=tables.no_decisions(), feedback=tables.no_feedback())
    return fit_cost_scale(tables.select_queries(alone, visible))


def _divide(
    data: Interactions, queries: Parts | None, config: Data, new: np.ndarray, scale: CostScale, seed: int
) -> tuple[Interactions, Division]:
    """The decisions and what becomes of them: the `new` LLMs are on offer in the test and where given."""
    source, data = data, _with_users(data, scale, config)
    division = divide(data, queries, config, new, seed)
    touched = (division.part != TEST) & ~division.given & ((data.offers & new).sum(1) > 0)[data.decisions.offer]
    if not touched.any():
        return data, division
    if config.users == "multi_cost_efficiency":
        other = _with_users(hide_outcomes(source, new), scale, config)
        rows = rows_by_pair(other, data)
    else:
        other, rows = without_llms(data, new)
    data, kept = exchange(data, touched, other, rows)
    return data, Division(division.part[kept], division.given[kept], division.shown)


def _with_users(data: Interactions, scale: CostScale, config: Data) -> Interactions:
    if config.users != "multi_cost_efficiency":
        return data
    limits = (config.num_users, config.preference_min, config.preference_max)
    return build_multi_cost_efficiency(data, scale, *limits, config.feedback)
