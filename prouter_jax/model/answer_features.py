"""What an answer is known by: its properties, and where each stands in a row of them.

    effect, cost (scaled), constant | style of its text | which LLM gave it | shown first | the crowd's liking | tastes

A user is a row of weights on the same columns; what it thinks of an answer is the product of both.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from prouter_jax.data.style_features import FEATURES
from prouter_jax.graph.schema import RouterGraph

EFFECT, COST, CONSTANT = 0, 1, 2
_NUM_FIXED = 3
_LLM_WEIGHT, _TASK_WEIGHT = 3.0, 20.0  # how many observations a broader mean counts for


@dataclasses.dataclass(frozen=True)
class AnswerFeatures:
    """How many columns of each kind there are; hashable, so that compiled functions can depend on it."""

    style: int
    llms: int
    sides: int
    population_mean: int
    latent_factors: int

    @property
    def size(self) -> int:
        return _NUM_FIXED + sum(dataclasses.astuple(self))

    @property
    def plain(self) -> bool:
        """Whether there is nothing but effect and cost to weigh."""
        return self.size == _NUM_FIXED

    @property
    def side(self) -> int:
        """The column of the answer that was shown first; only if `sides`."""
        return _NUM_FIXED + self.style + self.llms

    @property
    def population_mean_at(self) -> int:
        """The column of what everybody thinks of the answer; only if `crowd`."""
        return self.side + self.sides

    @property
    def latent_factors_at(self) -> int:
        """Where the tastes begin: they end the row."""
        return self.population_mean_at + self.population_mean

    @property
    def llms_at(self) -> int:
        """Where the LLMs begin."""
        return _NUM_FIXED + self.style

    def named(self) -> dict[str, slice]:
        """The columns of each property that can tell answers apart before they are shown, by its name."""
        found = {"effect": slice(EFFECT, EFFECT + 1), "cost": slice(COST, COST + 1)}
        found |= {_style_name(i): slice(_NUM_FIXED + i, _NUM_FIXED + i + 1) for i in range(self.style)}
        found["this LLM"] = slice(self.llms_at, self.llms_at + self.llms)
        found["population mean utility"] = slice(
            self.population_mean_at, self.population_mean_at + self.population_mean
        )
        found["latent factors"] = slice(self.latent_factors_at, self.latent_factors_at + self.latent_factors)
        return {name: at for name, at in found.items() if at.start < at.stop}


@struct.dataclass
class Observed:
    """What is observed of the answers to the queries of a graph.

    Attributes:
      values: effect, cost and style, [queries, llms, 2 + style]; seen: whether each is known, the same shape.
      task: row of each query's task, the number of tasks for none, [queries].
    """

    values: jax.Array
    seen: jax.Array
    task: jax.Array
    num_tasks: int = struct.field(pytree_node=False)


def observe(graph: RouterGraph) -> Observed:
    """What a graph shows of its answers."""
    return Observed(*measured(graph), tasks_of(graph), graph.layout.num("task"))


def measured(graph: RouterGraph) -> tuple[jax.Array, jax.Array]:
    """Effect, cost and style of every answer, and whether each is known: [queries, llms, 2 + style] twice."""
    edges = graph.edges("query_to_llm")
    shape = (graph.layout.num("query"), graph.layout.num("llm"))
    seen = jnp.stack([edges.first_known, edges.second_known], -1)
    values = jnp.stack([edges.first, edges.second], -1) * seen
    at = (edges.query, edges.receivers)
    # padding edges add zeros
    table, known = (jnp.zeros((*shape, 2)).at[at].add(x * edges.weight[:, None]) for x in (values, seen))
    style = jnp.asarray(graph.style)
    told = ~jnp.isnan(style) & (jnp.asarray(graph.visibility.outcomes)[:, None, None] > 0)
    return jnp.concatenate([table, jnp.where(told, style, 0)], -1), jnp.concatenate([known, told], -1)


def task_means(values: jax.Array, known: jax.Array, task: jax.Array, num_tasks: int) -> jax.Array:
    """Shrunken means of each LLM on each task, [tasks + 1, llms, ...]; the last row is for no task.

    (sum of observed + weight * broader mean) / (count + weight): from all LLMs to the LLM to the LLM on the task.

    Args:
      values, known: [queries, llms, ...]; task: row of each query's task, `num_tasks` for none, [queries].
    """
    sums, counts = (jax.ops.segment_sum(x, task, num_tasks + 1) for x in (values * known, known))
    of_llm, count = sums.sum(0), counts.sum(0)
    everybody = of_llm.sum(0) / jnp.maximum(count.sum(0), 1)
    overall = (of_llm + _LLM_WEIGHT * everybody) / (count + _LLM_WEIGHT)
    by_task = (sums + _TASK_WEIGHT * overall) / (counts + _TASK_WEIGHT)
    return by_task.at[-1].set(overall)


def mean_errors(values: jax.Array, known: jax.Array, usual: jax.Array) -> jax.Array:
    """Standard errors of the LLMs' shrunken means, beside what the LLMs' means differ by anyway: [llms].

    error = spread between LLMs * sqrt(weight / (count + weight)), which is all of the spread where nothing is observed.

    Args:
      values, known: [queries, llms]; usual: 1 for LLMs that tell the spread, [llms].
    """
    count = known.sum(0)
    means = (values * known).sum(0) / jnp.maximum(count, 1)
    usual = usual * (count > 0)
    middle = (usual * means).sum() / jnp.maximum(usual.sum(), 1)
    spread = (usual * (means - middle) ** 2).sum() / jnp.maximum(usual.sum(), 1)
    return jnp.sqrt(spread * _LLM_WEIGHT / (count + _LLM_WEIGHT))


def tasks_of(graph: RouterGraph) -> jax.Array:
    """The task row of each query, the number of tasks for none, [queries]."""
    belongs = graph.edges("task_to_query")
    return jnp.where(belongs.weight > 0, belongs.senders, graph.layout.num("task"))


def assemble(
    columns: AnswerFeatures, values: jax.Array, latent_factors: jax.Array, population_mean: jax.Array
) -> jax.Array:
    """Rows of properties [queries, llms, size] of answers with these effects, costs, styles and tastes.

    Args:
      values: [queries, llms, 2 + style], without gaps; tastes: [queries, llms, tastes].
      crowd: what everybody weighs each column with, [size]; gives the column of the crowd's liking.
    """
    shape, llms = values.shape[:2], values.shape[1]
    who = jnp.broadcast_to(jnp.eye(llms), (*shape, llms)) if columns.llms else jnp.zeros((*shape, 0))
    parts = [
        *(values[..., :2], jnp.ones((*shape, 1)), values[..., 2 : 2 + columns.style], who),
        *(jnp.zeros((*shape, columns.sides + columns.population_mean)), latent_factors),
    ]
    rows = jnp.concatenate(parts, -1)
    return rows.at[..., columns.population_mean_at].set(rows @ population_mean) if columns.population_mean else rows


def _style_name(feature: int) -> str:
    return f"style: {FEATURES[feature].replace('_', ' ')}"
