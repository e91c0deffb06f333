"""The embedded benchmark: synthetic data with planted user preferences; needs no files.

Cheap and strong LLMs answer queries whose texts show topic and difficulty. Users weigh quality against cost, have
weights of answer styles, and choose the answer of the highest utility, with noise.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil

import numpy as np

from prouter_jax.config import Embedded
from prouter_jax.data import interactions
from prouter_jax.data.distinct import distinct_sets
from prouter_jax.data.history_store import HistoryStore, StoreWriter, open_store
from prouter_jax.data.synthetic import text
from prouter_jax.data.synthetic.text import answer_texts
from prouter_jax.data.synthetic.world import World, draw_users, draw_world, utility
from prouter_jax.data.validation import validate
from prouter_jax.io.cache import cache_folder

_CHOICE_NOISE = 0.03
_WHOLE_POOL_SHARE = 2 / 3


def build_embedded(config: Embedded) -> interactions.Interactions:
    """Generates the embedded benchmark; deterministic in `config`.

    `Users.preference` is NaN: the utility (`planted_utility`) has more terms than effect and cost.
    """
    world = draw_world(config)
    offers, decisions, feedback = _draw_decisions(world, config, np.random.default_rng([config.seed, 4]))
    data = interactions.Interactions(
        users=interactions.Users(_ids("u", config.num_users), np.full(config.num_users, np.nan, np.float32)),
        tasks=_tasks(config.num_tasks),
        queries=interactions.Queries(_ids("q", config.num_queries), interactions.strings(world.texts), world.task),
        llms=_llm_table(world),
        outcomes=_outcomes(world, config),
        offers=offers,
        decisions=dataclasses.replace(decisions, ids=_ids("d", len(decisions.user))),
        feedback=feedback,
    )
    return validate(data)


def planted_utility(config: Embedded) -> np.ndarray:
    """The true utility of each answer for each user, without the noise of choices.

    Returns:
      float32 [users, queries, llms], NaN without an outcome; about 4 GB for a thousand users,
      a hundred thousand queries and ten LLMs.
    """
    world = draw_world(config)
    users, queries = np.arange(config.num_users)[:, None], np.arange(config.num_queries)[None]
    return np.where(world.seen, utility(world, users, queries), np.float32(np.nan))


def draw_histories(world: World, config: Embedded, num_users: int, part: int) -> HistoryStore:
    """Histories of additional users of the same world, not in `build_embedded`.

    Args:
      part: number of the group of users; each part has other users.
    """
    rng = np.random.default_rng([config.seed, 6, part])
    weight, style_weights = draw_users(num_users, config.preferences, rng)
    offers, decisions, feedback = _draw_decisions(
        dataclasses.replace(world, weight=weight, style_weights=style_weights), config, rng
    )
    users = np.arange(num_users + 1) * (len(decisions.user) // num_users)
    starts = np.searchsorted(feedback.decision, np.arange(len(decisions.user) + 1))
    first = decisions.first.astype(np.int16)
    columns = feedback.llm, feedback.value, feedback.kind
    return HistoryStore(users, decisions.query, decisions.offer, first, starts, *columns, offers)


def _draw_decisions(
    world: World, config: Embedded, rng: np.random.Generator
) -> tuple[np.ndarray, interactions.Decisions, interactions.Feedback]:
    each, num_users = min(config.decisions_per_user, config.num_queries), len(world.weight)
    asked = [rng.choice(config.num_queries, each, replace=False) for _ in range(num_users)]
    query = np.concatenate(asked).astype(np.int32)
    user = np.repeat(np.arange(num_users, dtype=np.int32), each)
    time = rng.exponential(size=(num_users, each)).cumsum(1).ravel()
    on_offer = _draw_offers(world.seen[query], rng)
    noisy_utility = utility(world, user, query) + _CHOICE_NOISE * rng.gumbel(size=on_offer.shape)
    noisy_utility[~on_offer] = -np.inf
    best = noisy_utility == noisy_utility.max(1, keepdims=True)
    decision, llm = (rows.astype(np.int32) for rows in np.nonzero(best))
    share = (1 / best.sum(1))[decision].astype(np.float32)
    offers, offer = distinct_sets(on_offer)
    nameless, no_side = interactions.strings([]), np.full(len(user), -1, np.int32)
    decisions = interactions.Decisions(nameless, user, query, offer, time, no_side)
    return (
        offers,
        decisions,
        interactions.Feedback(decision, np.full(len(llm), interactions.CHOICE, np.int8), llm, share),
    )


def _draw_offers(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bool [decisions, llms], the candidates: all LLMs with an outcome, or a random subset of them."""
    num_decisions, num_llms = seen.shape
    size = rng.integers(max(2, min(3, num_llms - 1)), num_llms, num_decisions, endpoint=True)
    size[rng.random(num_decisions) < _WHOLE_POOL_SHARE] = num_llms
    # LLMs without an outcome are last in the order, so at least two drawn LLMs have an outcome.
    order = np.where(seen, rng.random(seen.shape, np.float32), np.float32(2)).argsort(1)
    on_offer = np.zeros_like(seen)
    np.put_along_axis(on_offer, order, np.arange(num_llms) < size[:, None], axis=1)
    return on_offer & seen


def _tasks(num_tasks: int) -> interactions.Tasks:
    kinds = text.task_kinds(num_tasks)
    names = [text.task_name(*kind) for kind in kinds]
    descriptions = [text.task_description(*kind) for kind in kinds]
    return interactions.Tasks(interactions.strings(names), interactions.strings(descriptions))


def _outcomes(world: World, config: Embedded) -> interactions.Outcomes:
    query, llm = (rows.astype(np.int32) for rows in np.nonzero(world.seen))
    columns = (world.effect, world.cost, world.input_tokens, world.output_tokens)
    topic = np.array(text.task_kinds(config.num_tasks))[world.task, 0]
    rng = np.random.default_rng([config.seed, 5])
    response = answer_texts(world.texts, topic, world.pool.style, query, llm, rng)
    return interactions.Outcomes(query, llm, *(column[world.seen] for column in columns), response=response)


def _llm_table(world: World) -> interactions.Llms:
    pool = world.pool
    families = [text.family_name(family) for family in pool.family]
    member = np.arange(len(families)) // (pool.family.max() + 1)
    properties = zip(families, pool.skill, pool.topic_skill, pool.style, pool.output_price, strict=True)
    descriptions = [text.llm_description(*llm) for llm in properties]
    return interactions.Llms(
        ids=interactions.strings([f"{family}-{number + 1}" for family, number in zip(families, member, strict=True)]),
        families=interactions.strings(families),
        descriptions=interactions.strings(descriptions),
        input_price=pool.input_price.astype(np.float32),
        output_price=pool.output_price.astype(np.float32),
        pools=interactions.strings(["core"] * len(families)),
    )


def _ids(letter: str, count: int) -> np.ndarray:
    width = len(str(count - 1))
    return interactions.strings([f"{letter}{row:0{width}d}" for row in range(count)])


_USERS_AT_ONCE = 20_000


def open_more_users(config: Embedded) -> HistoryStore:
    """Histories of `config.more_users` additional users, generated on the first call and then read from the cache."""
    name = hashlib.sha256(json.dumps(dataclasses.asdict(config), sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_folder() / "users" / name
    if not folder.exists():
        _write(config, folder)
    return open_store(folder)


def _write(config: Embedded, folder: pathlib.Path) -> None:
    """Writes the histories atomically; of several processes, the first to finish provides the folder."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    world = draw_world(dataclasses.replace(config, num_users=1))
    with StoreWriter(draft) as writer:
        for start in range(0, config.more_users, _USERS_AT_ONCE):
            number = min(_USERS_AT_ONCE, config.more_users - start)
            writer.append(draw_histories(world, config, number, start // _USERS_AT_ONCE))
    with contextlib.suppress(OSError):
        draft.rename(folder)
    shutil.rmtree(draft, ignore_errors=True)
