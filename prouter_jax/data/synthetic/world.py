"""The planted truth of the embedded benchmark: skills of LLMs, styles of answers, utilities of users."""

import dataclasses

import numpy as np

from prouter_jax.config import Embedded
from prouter_jax.data.synthetic import text

_STYLE_STRENGTH = 0.10
_EFFECT_SLOPE = 5.0
_EFFECT_NOISE = 0.5
_MISSING_SHARE = 0.01
_TOKENS = 250.0
# Mean style weights of kinds of users: warmth, brevity, steps, playfulness, detail.
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
class Pool:
    """The LLMs.

    Attributes:
      family: int [llms].
      skill: float [llms], general skill; compared with the difficulty of queries in [0, 1].
      topic_skill: float [llms, topics], skill on each topic.
      style: float [llms, styles] in [-1, 1].
      input_price, output_price: float [llms], USD per million tokens.
      verbosity: float [llms], factor of the length of answers.
    """

    family: np.ndarray
    skill: np.ndarray
    topic_skill: np.ndarray
    style: np.ndarray
    input_price: np.ndarray
    output_price: np.ndarray
    verbosity: np.ndarray


@dataclasses.dataclass(frozen=True)
class World:
    """Everything but the decisions.

    Attributes:
      pool: the LLMs.
      texts: of the queries.
      task: int32 [queries].
      effect, cost, input_tokens, output_tokens: float32 [queries, llms], as in `Outcomes`.
      seen: bool [queries, llms], whether the outcome is in the data.
      weight: float32 [users], weight of effect against cost.
      style_weights: float32 [users, styles].
    """

    pool: Pool
    texts: list[str]
    task: np.ndarray
    effect: np.ndarray
    cost: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    seen: np.ndarray
    weight: np.ndarray
    style_weights: np.ndarray


def draw_world(config: Embedded) -> World:
    """Draws the world; deterministic in `config`."""
    # One random generator for each part, so that queries, LLMs and outcomes do not depend on the users.
    query_rng, llm_rng, outcome_rng, user_rng = (np.random.default_rng([config.seed, part]) for part in range(4))
    kinds = np.array(text.task_kinds(config.num_tasks))
    task = (np.arange(config.num_queries) % config.num_tasks).astype(np.int32)
    difficulty = query_rng.random(config.num_queries)
    texts = text.query_texts(kinds[task].tolist(), difficulty.tolist(), int(query_rng.integers(2**63)))
    pool = _draw_pool(config.num_llms, int(kinds[:, 0].max()) + 1, llm_rng)
    length = np.array([len(written) for written in texts])
    answers = _draw_answers(pool, kinds[task, 0], difficulty, length, outcome_rng)
    weight, style_weights = draw_users(config.num_users, config.preferences, user_rng)
    return World(pool, texts, task, *answers, weight=weight, style_weights=style_weights)


def utility(world: World, user: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The planted utility of every LLM.

    weight * effect - (1 - weight) * sqrt(cost / highest cost) + strength * (style weights . style).

    Args:
      user, query: int, rows of users and queries, of shapes that broadcast.

    Returns:
      float32, the broadcast shape + [llms].
    """
    # The square root of the cost: with the cost itself, all but the most expensive LLMs would seem free.
    felt_cost = np.sqrt(world.cost / world.cost.max())
    weight = world.weight[user][..., None]
    style_utility = world.style_weights @ world.pool.style.T.astype(np.float32)
    return weight * world.effect[query] - (1 - weight) * felt_cost[query] + _STYLE_STRENGTH * style_utility[user]


def draw_users(num_users: int, preferences: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weights of effect [users] and style weights [users, styles]; equal for all users without `preferences`."""
    weight = rng.uniform(0.2, 1.0, num_users)
    kind = rng.integers(len(_ARCHETYPES), size=num_users)
    style_weights = _ARCHETYPES[kind] + 0.3 * rng.standard_normal((num_users, len(text.STYLES)))
    if not preferences:
        weight[:], style_weights[:] = weight.mean(), style_weights.mean(0)
    return weight.astype(np.float32), style_weights.astype(np.float32)


def _draw_pool(num_llms: int, num_topics: int, rng: np.random.Generator) -> Pool:
    """Draws the LLMs: families share topics and style, and more skilled LLMs cost more."""
    family = np.arange(num_llms) % max(1, round(num_llms / 3))
    rank = rng.permutation(num_llms)
    skill = 0.25 + 0.7 * (rank + rng.uniform(-0.2, 0.2, num_llms)) / (num_llms - 1)
    topic_skill = skill[:, None] + 0.25 * _draw_correlated(family, num_topics, rng)
    style = np.tanh(0.8 * _draw_correlated(family, len(text.STYLES), rng))
    output_price = 0.1 * 300 ** (rank / (num_llms - 1))
    _, brevity, steps, _, detail = style.T
    verbosity = np.exp(0.4 * (detail + steps / 2 - brevity) + 0.1 * rng.standard_normal(num_llms))
    return Pool(family, skill, topic_skill, style, output_price / 4, output_price, verbosity)


def _draw_correlated(family: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """Normal variables of variance 1 [llms, width]; their correlation within a family is 1/2."""
    shared = rng.standard_normal((family.max() + 1, width))[family]
    return (shared + rng.standard_normal(shared.shape)) / np.sqrt(2)


def _draw_answers(
    pool: Pool, topic: np.ndarray, difficulty: np.ndarray, length: np.ndarray, rng: np.random.Generator
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
