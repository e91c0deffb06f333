"""From a configuration to a split data set: the visible training world and the decisions of each part."""

import dataclasses
import functools

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from prouter_jax.config import TIME, WARM, Data
from prouter_jax.data import interactions as tables
from prouter_jax.data.costs import with_costs
from prouter_jax.data.history_store import HistoryStore, build_store
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.leaks import drop_leaks
from prouter_jax.data.public.registry import read_public
from prouter_jax.data.rewards import CostScale, DecisionArrays, build_decisions, build_rewards, fit_cost_scale
from prouter_jax.data.splits import (
    TEST,
    TRAIN,
    Division,
    Parts,
    divide,
    find_llms,
    held_out_queries,
    hide_answers,
    hide_outcomes,
    replace_decisions,
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
from prouter_jax.io.display import log_line, on_progress
from prouter_jax.llm.simulated_users import build_llm_as_judge, build_multi_cost_efficiency, make_judge


@dataclasses.dataclass(frozen=True)
class Source:
    """All data of an experiment before the split, shared by all seeds.

    Attributes:
      interactions: the data.
      vectors: text vectors of its tasks, queries and LLMs.
      encoder: name of the text encoder.
      store: histories of additional training users over the same queries and LLMs; None without.
    """

    interactions: Interactions
    vectors: NodeVectors
    encoder: str
    store: HistoryStore | None = None


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A split of a source.

    Attributes:
      data: all queries, outcomes and decisions, simulated users included. With new LLMs, these are removed from
        decisions outside the test that are not given (see `data.splits.without_llms`).
      vectors: text vectors of `data`.
      world: the visible data: training decisions and given ones. Users, tasks and LLMs have the same rows as in
        `data`; new users have no decisions but given ones, new LLMs no outcomes but given ones. The cost scale is
        fitted on training queries only, so it is identical with and without given decisions.
      world_query: int [queries], row in `world` of each query of `data`, -1 for hidden queries.
      parts: rows of `data.decisions`; given decisions are in train, and some decisions may be in no part.
      truth_scale: cost scale of rewards and of simulated users' decisions, fitted on the training queries of all LLMs.
        It differs from `world.scale` only with new LLMs.
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

    @functools.cached_property
    def histories(self) -> tuple[HistoryStore, Int[np.ndarray, " queries"]]:
        """Histories of the training users, and the row in `world` of each query that they name, -1 for hidden ones."""
        if self.store is not None:
            return self.store, self.world_query
        return build_store(self.world.interactions), np.arange(len(self.world.interactions.queries.ids))

    def labelled(self, part: str) -> "Labelled":
        """The decisions of "train", "validation" or "test" with their rewards."""
        decisions = build_decisions(self.data, getattr(self.parts, part))
        return Labelled(decisions, build_rewards(self.data, self.truth_scale, decisions))


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Decisions with rewards.

    Attributes:
      decisions: the decisions.
      rewards: float32 [decisions, llms], NaN if missing or not a candidate.
    """

    decisions: DecisionArrays
    rewards: np.ndarray


def read_source(config: Data) -> Source:
    """Reads or generates the data of a configuration, computes style features and text vectors.

    Raises:
      ValueError: if the data is invalid.

    Example:
      >>> from prouter_jax import ExperimentConfig, read_source
      >>> config = ExperimentConfig()
      >>> config.data.source, config.data.path, config.data.encoder = "tables", "data/mine", "hash"
      >>> read_source(config.data).vectors.query.shape
      (120, 64)
    """
    data = with_answer_style(read_interactions(config))
    if config.ignore_effects:
        missing = np.full_like(data.outcomes.effect, np.nan)
        data = data.replace(outcomes=dataclasses.replace(data.outcomes, effect=missing))
    if config.users == "recorded":
        data = drop_leaks(data)
    if config.users == "multi_cost_efficiency":
        data = with_costs(data, config.path or config.source)
    if config.users == "llm_as_judge":
        # the same judgements for every seed of the split, because a verdict may cost money
        judge = make_judge(config.judge, data)
        data = validate(build_llm_as_judge(data, judge, config.num_users, config.judge.seed))
    # later steps read only the style of answers, not their texts
    data = data.replace(outcomes=dataclasses.replace(data.outcomes, response=None))
    pa.default_memory_pool().release_unused()  # otherwise Arrow keeps the memory of the texts
    store = open_more_users(config.embedded) if config.embedded.more_users else None
    return Source(data, encode_texts(data, config.encoder), config.encoder, store)


def read_interactions(config: Data) -> Interactions:
    """Reads or generates the data of a configuration, with the texts of answers.

    Raises:
      ValueError: if the data is invalid or has no recorded decisions where `config.users` needs them.
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
    """Reads a public format and prints the numbers of dropped records."""
    read = read_public(config.source, config.path, config.llms_path, on_progress("records", 1.5))
    if read.dropped:
        dropped = ", ".join(f"{number} {reason}" for reason, number in read.dropped.items())
        log_line(f"{config.source}: of {read.records} records dropped: {dropped}")
    return read.data


def encode_texts(data: Interactions, encoder_name: str) -> NodeVectors:
    """Text vectors of tasks, queries and LLM descriptions, and the style of queries.

    Args:
      encoder_name: as for `make_encoder`; "given" takes the vectors of tasks and queries from the data.

    Raises:
      ValueError: if the data has no vectors for "given", or the encoder does not exist.
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
    """Splits a source, fits the cost scales on training queries and simulates users if configured.

    Args:
      source: from `read_source`.
      config: the settings of the split and of simulated users.
      seed: of the split.

    Raises:
      ValueError: if `config.new_llms` names an LLM that the data lacks.

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
        visible = _visible_before(data, split_times(data, config.train_share, config.validation_share))
    elif config.split not in WARM:
        queries = split_queries(data, config.train_share, config.validation_share, seed)
        visible = queries.numbers(len(visible)) == TRAIN
    held_out = held_out_queries(visible, seed) if config.history == "unseen" else np.zeros(len(visible), bool)
    visible &= ~held_out
    truth_scale, scale = (_fit_scale(some, visible) for some in (data, hide_outcomes(data, new)))
    data, division = _divide(data, queries, config, new, truth_scale, seed)
    train = tables.select_decisions(hide_outcomes(data, new, division.shown), division.part == TRAIN)
    # rows of queries with histories alone come after those of training
    rows = np.concatenate([np.flatnonzero(visible), np.flatnonzero(held_out)[: None if config.given else 0]])
    train = tables.distinct_offers(tables.select_queries(hide_answers(train, held_out), rows))
    world = World(train, source.vectors.of_queries(rows), scale, source.encoder)
    world_query = np.full(len(visible), -1)
    world_query[rows] = np.arange(len(rows))
    return Dataset(data, source.vectors, world, world_query, division.parts(), truth_scale, source.store)


def prepare_whole(source: Source, config: Data) -> Dataset:
    """All queries and decisions of a source as training data; nothing is held out, whatever `config.split` is.

    Simulated users decide anew: the cost scale is that of all queries.

    Args:
      source, config: as for `prepare_dataset`.
    """
    every = np.ones(len(source.interactions.queries.ids), bool)
    scale = _fit_scale(source.interactions, every)
    data = _with_users(source.interactions, scale, config)
    none, rows = np.zeros(0, np.int64), np.arange(len(data.decisions.user))
    world = World(tables.distinct_offers(data), source.vectors, scale, source.encoder)
    return Dataset(data, source.vectors, world, np.arange(len(every)), Parts(rows, none, none), scale, source.store)


def _visible_before(data: Interactions, parts: Parts) -> np.ndarray:
    """bool [queries]: queries with a training decision, and queries without any decision.

    Outcomes have no time, so all outcomes of a visible query are visible.
    """
    has_decision, in_training = np.zeros((2, len(data.queries.ids)), bool)
    has_decision[data.decisions.query] = True
    in_training[data.decisions.query[parts.train]] = True
    return in_training | ~has_decision


def _fit_scale(data: Interactions, visible: np.ndarray) -> CostScale:
    """The cost scale of the outcomes on visible queries, bool [queries]."""
    outcomes_only = data.replace(decisions=tables.no_decisions(), feedback=tables.no_feedback())
    return fit_cost_scale(tables.select_queries(outcomes_only, visible))


def _divide(
    data: Interactions, queries: Parts | None, config: Data, new: np.ndarray, scale: CostScale, seed: int
) -> tuple[Interactions, Division]:
    """The decisions and their division; new LLMs are removed from decisions outside the test that are not given."""
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
    data, kept = replace_decisions(data, touched, other, rows)
    return data, Division(division.part[kept], division.given[kept], division.shown)


def _with_users(data: Interactions, scale: CostScale, config: Data) -> Interactions:
    """Adds multi_cost_efficiency users if configured."""
    if config.users != "multi_cost_efficiency":
        return data
    limits = (config.num_users, config.preference_min, config.preference_max)
    return build_multi_cost_efficiency(data, scale, *limits, config.feedback)
