"""Features of an answer: the columns that users' weights are multiplied with, and how they are computed from a graph.

    effect, cost (scaled), constant | style of its text | state of its LLM | shown first | population utility | factors

A user is a row of weights on the same columns; the utility of an answer is the product of both. The population utility
is the utility of the answer under the population's mean weights; the factors are latent.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from prouter_jax.data.style_features import FEATURES
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.llm_states import llm_inputs

EFFECT, COST, CONSTANT = 0, 1, 2  # columns
_NUM_FIXED = 3
_LLM_WEIGHT, _TASK_WEIGHT = 3.0, 20.0  # weight of the broader mean in a shrunken mean, in observations


@dataclasses.dataclass(frozen=True)
class AnswerFeatures:
    """How many columns of each group the features have; hashable, so a static argument of compiled functions.

    Attributes:
      style: style features of the answer's text.
      llm_state: columns of the state of a trained LLM, see `llm_states`; 0 without.
      own_columns: columns for LLMs that training did not offer, one each.
      shown_first: 1 if the features say whether the answer was shown first, else 0.
      population_utility: 1 if the features have the population utility, else 0.
      latent_factors: latent factors.
    """

    style: int
    llm_state: int
    own_columns: int
    shown_first: int
    population_utility: int
    latent_factors: int

    @property
    def size(self) -> int:
        """The number of all columns."""
        return _NUM_FIXED + sum(dataclasses.astuple(self))

    @property
    def only_effect_and_cost(self) -> bool:
        """Whether the only columns are effect, cost and constant."""
        return self.size == _NUM_FIXED

    @property
    def llm_start(self) -> int:
        """The first column of the LLMs' states."""
        return _NUM_FIXED + self.style

    @property
    def llm_columns(self) -> slice:
        """The columns of the LLMs' states."""
        return slice(self.llm_start, self.llm_start + self.llm_state + self.own_columns)

    @property
    def shown_first_index(self) -> int:
        """The column "shown first"; only if `shown_first`."""
        return self.llm_columns.stop

    @property
    def population_index(self) -> int:
        """The column of the population utility; only if `population_utility`."""
        return self.shown_first_index + self.shown_first

    @property
    def factor_start(self) -> int:
        """The first column of the latent factors, which are the last columns."""
        return self.population_index + self.population_utility

    def columns_by_name(self) -> dict[str, slice]:
        """Returns the columns of each property by its name, except "shown first" and the constant."""
        columns = {"effect": slice(EFFECT, EFFECT + 1), "cost": slice(COST, COST + 1)}
        columns |= {_style_name(i): slice(_NUM_FIXED + i, _NUM_FIXED + i + 1) for i in range(self.style)}
        columns["this LLM"] = self.llm_columns
        columns["population mean utility"] = slice(
            self.population_index, self.population_index + self.population_utility
        )
        columns["latent factors"] = slice(self.factor_start, self.factor_start + self.latent_factors)
        return {name: columns_of for name, columns_of in columns.items() if columns_of.start < columns_of.stop}


@struct.dataclass
class Observed:
    """Observed outcomes of the answers to the queries of a graph.

    Attributes:
      values: effect, scaled cost and style, 0 where not observed, [queries, llms, 2 + style].
      seen: 1 where observed, the same shape.
      task: row of each query's task; `num_tasks` for a query without one, [queries].
      llms: what their states are computed from, see `llm_states.llm_inputs`.
      num_tasks: the number of tasks.
    """

    values: jax.Array
    seen: jax.Array
    task: jax.Array
    llms: jax.Array
    num_tasks: int = struct.field(pytree_node=False)


def observe(graph: RouterGraph) -> Observed:
    """Collects the visible outcomes of a graph."""
    return Observed(*measured(graph), tasks_of(graph), llm_inputs(graph), graph.layout.num("task"))


def measured(
    graph: RouterGraph,
) -> tuple[Float[Array, "queries llms outcomes"], Float[Array, "queries llms outcomes"]]:
    """Returns effect, scaled cost and style of every answer (0 where not observed), and 1 where they are observed."""
    edges = graph.edges("query_to_llm")
    shape = (graph.layout.num("query"), graph.layout.num("llm"))
    flags = jnp.stack([edges.first_known, edges.second_known], -1)
    values = jnp.stack([edges.first, edges.second], -1) * flags
    answer = (edges.query, edges.receivers)
    # padding edges add zeros
    table, seen = (jnp.zeros((*shape, 2)).at[answer].add(x * edges.weight[:, None]) for x in (values, flags))
    style = jnp.asarray(graph.style)
    style_seen = ~jnp.isnan(style) & (jnp.asarray(graph.visibility.outcomes)[:, None, None] > 0)
    return jnp.concatenate([table, jnp.where(style_seen, style, 0)], -1), jnp.concatenate([seen, style_seen], -1)


def task_means(
    values: Float[Array, "queries llms *columns"],
    seen: Float[Array, "queries llms *columns"],
    task: Int[Array, " queries"],
    num_tasks: int,
    overall_mean: float | None = None,
    llm_weight: float | jax.Array = _LLM_WEIGHT,
) -> Float[Array, "tasks_and_unknown llms *columns"]:
    """Returns shrunken means of each LLM on each task; the last row is for queries without a task.

    (sum of observed + weight * broader mean) / (count + weight), where the mean of an LLM on a task is shrunk towards
    that of the LLM, and the mean of an LLM towards that of all LLMs.

    Args:
      seen: 1 where a value is observed.
      task: row of each query's task; `num_tasks` for a query without one.
      overall_mean: what the means of LLMs are shrunken towards; the mean of all LLMs if None.
      llm_weight: its weight, in observations, a number or [llms, *columns].
    """
    sums, counts = (jax.ops.segment_sum(x, task, num_tasks + 1) for x in (values * seen, seen))
    llm_sum, llm_count = sums.sum(0), counts.sum(0)
    overall = llm_sum.sum(0) / jnp.maximum(llm_count.sum(0), 1) if overall_mean is None else overall_mean
    llm_mean = (llm_sum + llm_weight * overall) / (llm_count + llm_weight)
    task_mean = (sums + _TASK_WEIGHT * llm_mean) / (counts + _TASK_WEIGHT)
    return task_mean.at[-1].set(llm_mean)


def mean_errors(
    values: Float[Array, "queries llms"], seen: Float[Array, "queries llms"], reference: Float[Array, " llms"]
) -> Float[Array, " llms"]:
    """Returns the standard error of each LLM's shrunken mean.

    error = sd * sqrt(weight / (count + weight)), with sd the standard deviation of the means of the reference LLMs;
    an LLM without observations has the error sd.

    Args:
      seen: 1 where a value is observed.
      reference: 1 for the LLMs that sd is estimated from.
    """
    count = seen.sum(0)
    means = (values * seen).sum(0) / jnp.maximum(count, 1)
    reference = reference * (count > 0)
    centre = (reference * means).sum() / jnp.maximum(reference.sum(), 1)
    variance = (reference * (means - centre) ** 2).sum() / jnp.maximum(reference.sum(), 1)
    return jnp.sqrt(variance * _LLM_WEIGHT / (count + _LLM_WEIGHT))


def tasks_of(graph: RouterGraph) -> Int[Array, " queries"]:
    """Returns the row of each query's task; the number of tasks for a query without one."""
    edges = graph.edges("task_to_query")
    return jnp.where(edges.weight > 0, edges.senders, graph.layout.num("task"))


def assemble(
    features: AnswerFeatures,
    values: Float[Array, "queries llms outcomes"],
    latent_factors: Float[Array, "queries llms factors"],
    population_mean: Float[Array, " features"],
    states: Float[Array, "llms columns"] | None,
) -> Float[Array, "queries llms features"]:
    """Assembles the features of answers; "shown first" is 0.

    Args:
      values: effect, scaled cost and style, without gaps.
      population_mean: mean weights of the population, for the population utility.
      states: of the LLMs, from `llm_states`; None if the features have none.
    """
    shape, states = values.shape[:2], jnp.zeros((1, 0)) if states is None else states
    parts = [
        *(values[..., :2], jnp.ones((*shape, 1)), values[..., 2 : 2 + features.style]),
        jnp.broadcast_to(states, (*shape, states.shape[1])),
        *(jnp.zeros((*shape, features.shown_first + features.population_utility)), latent_factors),
    ]
    rows = jnp.concatenate(parts, -1)
    if not features.population_utility:
        return rows
    return rows.at[..., features.population_index].set(rows @ population_mean)


def _style_name(feature: int) -> str:
    return f"style: {FEATURES[feature].replace('_', ' ')}"
