"""Small datasets and hand-made decisions for tests of policies."""

import copy
import dataclasses
import functools

import numpy as np

from prouter_jax.config import Data, Embedded
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset, Labelled, prepare_dataset, read_source


@functools.cache
def small_world(users: str = "recorded", split: str = "cold_query", seed: int = 0) -> Dataset:
    """The embedded benchmark with five LLMs and eight users; simulated ones all decide on all queries."""
    config = copy.deepcopy(Data(encoder="hash", users=users, num_users=8, split=split))
    config.embedded = Embedded(num_queries=100, num_llms=5, num_users=8, decisions_per_user=40)
    return prepare_dataset(read_source(config), config, seed)


def without_outcomes(dataset: Dataset) -> Dataset:
    """The same dataset without effects and costs."""
    world = dataset.world.interactions
    unknown = np.full(len(world.outcomes.effect), np.nan, np.float32)
    outcomes = dataclasses.replace(world.outcomes, effect=unknown, cost=unknown)
    return dataclasses.replace(
        dataset, world=dataclasses.replace(dataset.world, interactions=world.replace(outcomes=outcomes))
    )


def with_topics(dataset: Dataset, topic: np.ndarray) -> Dataset:
    """The same dataset, but the text vectors of queries of one topic are alike, and those of two topics orthogonal."""
    width = dataset.vectors.query.shape[1]
    noise = np.random.default_rng(0).normal(0, 0.02, (len(topic), width))
    query = (np.eye(width)[topic] + noise).astype(np.float32)
    return dataclasses.replace(dataset, vectors=dataclasses.replace(dataset.vectors, query=query))


def labelled(user, query, rewards, first=None) -> Labelled:
    """Decisions with the given rewards; an LLM with reward NaN is not a candidate."""
    rewards = np.array(rewards, np.float32)
    first = np.full(len(rewards), -1) if first is None else np.array(first)
    given = np.nan_to_num(rewards)
    unrated = np.full(rewards.shape, np.nan, np.float32)
    arrays = DecisionArrays(
        np.array(user), np.array(query), ~np.isnan(rewards), given, unrated, first, np.full(rewards.shape, -1, np.int8)
    )
    return Labelled(arrays, rewards)


def choices(user, query, llm, num_llms: int, first=None) -> Labelled:
    """Decisions among all LLMs with one choice each."""
    return labelled(user, query, np.array(llm)[:, None] == np.arange(num_llms), first)


def parts(dataset: Dataset) -> tuple[Labelled, Labelled, Labelled]:
    """Training, validation and test decisions."""
    return dataset.labelled("train"), dataset.labelled("validation"), dataset.labelled("test")
