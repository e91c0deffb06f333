"""The embedded benchmark: a made-up world that needs no files and whose truth is known.

Cheap and strong LLMs answer queries whose topic and difficulty stand in their texts; users weigh
quality against cost and like different styles, and choose the answer that pleases them most.
"""

import dataclasses

import numpy as np

from prouter_jax import config as config_lib
from prouter_jax import embedded_text as text
from prouter_jax import interactions
from prouter_jax.validation import validate


def build_embedded(config: config_lib.Embedded) -> interactions.Interactions:
    """The embedded benchmark of the given size; the same for the same config.

    `Users.preference` is NaN: a user's utility is more than a weight of quality, see `planted_utility`.
    """
    world = _draw_world(config)
    offers, decisions, feedback = _draw_decisions(world, config)
    data = interactions.Interactions(
        users=interactions.Users(_ids("u", config.num_users), np.full(config.num_users, np.nan, np.float32)),
        tasks=_tasks(config.num_tasks),
        queries=interactions.Queries(_ids("q", config.num_queries), interactions.strings(world.texts), world.task),
        llms=_llm_table(world),
        outcomes=_outcomes(world),
        offers=offers,
        decisions=decisions,
        feedback=feedback,
    )
    return validate(data)


def planted_utility(config: config_lib.Embedded) -> np.ndarray:
    """What each answer is truly worth to each user, without the noise of a choice.

    Returns:
      float32 [users, queries, llms], NaN where there is no outcome; about 4 GB for a thousand users,
      a hundred thousand queries and ten LLMs.
    """
    world = _draw_world(config)
    everybody, everything = np.arange(config.num_users)[:, None], np.arange(config.num_queries)[None]
    return np.where(world.seen, _utility(world, everybody, everything), np.float32(np.nan))


_TASTE_STRENGTH = 0.10
_CHOICE_NOISE = 0.03
_EFFECT_SLOPE = 5.0
_EFFECT_NOISE = 0.5
_MISSING_SHARE = 0.01
_WHOLE_POOL_SHARE = 2 / 3
_TOKENS = 250.0
# Kinds of people, by how much they like warmth, brevity, step-by-step, playfulness and detail.
_ARCHETYPES = np.array(
    [
        [1.2, 0.0, 0.0, 0.4, 0.0],
        [-0.4, 1.2, -0.3, -0.4, -0.8],
        [0.2, -0.5, 1.3, 0.0, 0.4],
        [0.4, 0.2, -0.4, 1.3, -0.3],
        [-0.2, -0.8, 0.3, -0.5, 1.2],
        [-1.1, 0.2, 0.1, -1.0, 0.2],
    ]
)


@dataclasses.dataclass(frozen=True)
class _Pool:
    """The LLMs: `family` [llms], `skill` [llms], `topic_skill` [llms, topics], `style` [llms, styles] in [-1, 1]."""

    family: np.ndarray
    skill: np.ndarray
    topic_skill: np.ndarray
    style: np.ndarray
    input_price: np.ndarray
    output_price: np.ndarray
    verbosity: np.ndarray


@dataclasses.dataclass(frozen=True)
class _World:
    """All but the decisions: `task` [queries], [queries, llms] from effect to seen, `weight` [users], `taste`."""

    pool: _Pool
    texts: list[str]
    task: np.ndarray
    effect: np.ndarray
    cost: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    seen: np.ndarray
    weight: np.ndarray
    taste: np.ndarray


def _draw_world(config: config_lib.Embedded) -> _World:
    # A generator for each part: more users or other preferences leave queries, LLMs and outcomes as they were.
    query_rng, llm_rng, outcome_rng, user_rng = (np.random.default_rng([config.seed, part]) for part in range(4))
    kinds = np.array(text.task_kinds(config.num_tasks))
    task = (np.arange(config.num_queries) % config.num_tasks).astype(np.int32)
    difficulty = query_rng.random(config.num_queries)
    texts = text.query_texts(kinds[task].tolist(), difficulty.tolist(), int(query_rng.integers(2**63)))
    pool = _draw_pool(config.num_llms, int(kinds[:, 0].max()) + 1, llm_rng)
    length = np.array([len(written) for written in texts])
    answers = _draw_answers(pool, kinds[task, 0], difficulty, length, outcome_rng)
    weight, taste = _draw_users(config.num_users, config.preferences, user_rng)
    return _World(pool, texts, task, *answers, weight=weight, taste=taste)


def _draw_pool(num_llms: int, num_topics: int, rng: np.random.Generator) -> _Pool:
    """LLMs of a family are alike in topics and style; who is more skilled costs more."""
    family = np.arange(num_llms) % max(1, round(num_llms / 3))
    rank = rng.permutation(num_llms)
    skill = 0.25 + 0.7 * (rank + rng.uniform(-0.2, 0.2, num_llms)) / (num_llms - 1)
    topic_skill = skill[:, None] + 0.25 * _alike(family, num_topics, rng)
    style = np.tanh(0.8 * _alike(family, len(text.STYLES), rng))
    output_price = 0.1 * 300 ** (rank / (num_llms - 1))
    _, brevity, steps, _, detail = style.T
    verbosity = np.exp(0.4 * (detail + steps / 2 - brevity) + 0.1 * rng.standard_normal(num_llms))
    return _Pool(family, skill, topic_skill, style, output_price / 4, output_price, verbosity)


def _alike(family: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """Unit-variance normals [llms, width], half of whose variance members of a family share."""
    shared = rng.standard_normal((family.max() + 1, width))[family]
    return (shared + rng.standard_normal(shared.shape)) / np.sqrt(2)


def _draw_answers(
    pool: _Pool, topic: np.ndarray, difficulty: np.ndarray, length: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Effect, cost, input tokens, output tokens and whether there is an outcome, all [queries, llms]."""
    shape = len(topic), len(pool.skill)
    margin = pool.topic_skill[:, topic].T - difficulty[:, None]
    logit = _EFFECT_SLOPE * (margin + 0.15) + _EFFECT_NOISE * rng.standard_normal(shape)
    input_tokens = np.broadcast_to(np.ceil(length / 4)[:, None], shape)
    wordiness = pool.verbosity * (0.5 + 1.5 * difficulty[:, None])
    output_tokens = np.ceil(_TOKENS * wordiness * np.exp(0.25 * rng.standard_normal(shape)))
    cost = (input_tokens * pool.input_price + output_tokens * pool.output_price) / 1e6
    seen = rng.random(shape) >= _MISSING_SHARE
    seen[seen.sum(1) < 2] = True
    columns = (1 / (1 + np.exp(-logit)), cost, input_tokens, output_tokens)
    return *(column.astype(np.float32) for column in columns), seen


def _draw_users(num_users: int, preferences: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    weight = rng.uniform(0.2, 1.0, num_users)
    kind = rng.integers(len(_ARCHETYPES), size=num_users)
    taste = _ARCHETYPES[kind] + 0.3 * rng.standard_normal((num_users, len(text.STYLES)))
    if not preferences:
        weight[:], taste[:] = weight.mean(), taste.mean(0)
    return weight.astype(np.float32), taste.astype(np.float32)


def _utility(world: _World, user: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The planted utility of every LLM for rows of users and queries: their broadcast shape + [llms]."""
    # People feel a price by its root: with the plain cost all but the dearest LLMs would seem free.
    felt_cost = np.sqrt(world.cost / world.cost.max())
    weight = world.weight[user][..., None]
    liking = world.taste @ world.pool.style.T.astype(np.float32)
    return weight * world.effect[query] - (1 - weight) * felt_cost[query] + _TASTE_STRENGTH * liking[user]


def _draw_decisions(
    world: _World, config: config_lib.Embedded
) -> tuple[np.ndarray, interactions.Decisions, interactions.Feedback]:
    rng = np.random.default_rng([config.seed, 4])
    each = min(config.decisions_per_user, config.num_queries)
    asked = [rng.choice(config.num_queries, each, replace=False) for _ in range(config.num_users)]
    query = np.concatenate(asked).astype(np.int32)
    user = np.repeat(np.arange(config.num_users, dtype=np.int32), each)
    time = rng.exponential(size=(config.num_users, each)).cumsum(1).ravel()
    on_offer = _draw_offers(world.seen[query], rng)
    pleasure = _utility(world, user, query) + _CHOICE_NOISE * rng.gumbel(size=on_offer.shape)
    pleasure[~on_offer] = -np.inf
    best = pleasure == pleasure.max(1, keepdims=True)
    decision, llm = (rows.astype(np.int32) for rows in np.nonzero(best))
    share = (1 / best.sum(1))[decision].astype(np.float32)
    offers, offer = _distinct_rows(on_offer)
    decisions = interactions.Decisions(_ids("d", len(user)), user, query, offer, time)
    return (
        offers,
        decisions,
        interactions.Feedback(decision, np.full(len(llm), interactions.CHOICE, np.int8), llm, share),
    )


def _draw_offers(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bool [decisions, llms]: all that have an outcome, or a random few of them."""
    num_decisions, num_llms = seen.shape
    size = rng.integers(max(2, min(3, num_llms - 1)), num_llms, num_decisions, endpoint=True)
    size[rng.random(num_decisions) < _WHOLE_POOL_SHARE] = num_llms
    # LLMs without an outcome come last in the draw, so at least two of the drawn ones have one.
    order = np.where(seen, rng.random(seen.shape, np.float32), np.float32(2)).argsort(1)
    on_offer = np.zeros_like(seen)
    np.put_along_axis(on_offer, order, np.arange(num_llms) < size[:, None], axis=1)
    return on_offer & seen


def _distinct_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of a bool array and, for each row, which of them it is."""
    packed = np.packbits(rows, axis=1)
    keys = packed.view(f"V{packed.shape[1]}").ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], which.astype(np.int32)


def _tasks(num_tasks: int) -> interactions.Tasks:
    kinds = text.task_kinds(num_tasks)
    names = [text.task_name(*kind) for kind in kinds]
    descriptions = [text.task_description(*kind) for kind in kinds]
    return interactions.Tasks(interactions.strings(names), interactions.strings(descriptions))


def _outcomes(world: _World) -> interactions.Outcomes:
    query, llm = (rows.astype(np.int32) for rows in np.nonzero(world.seen))
    columns = (world.effect, world.cost, world.input_tokens, world.output_tokens)
    return interactions.Outcomes(query, llm, *(column[world.seen] for column in columns))


def _llm_table(world: _World) -> interactions.Llms:
    pool = world.pool
    families = [text.family_name(family) for family in pool.family]
    member = np.arange(len(families)) // (pool.family.max() + 1)
    seen_from_outside = zip(families, pool.skill, pool.topic_skill, pool.style, pool.output_price, strict=True)
    descriptions = [text.llm_description(*llm) for llm in seen_from_outside]
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
