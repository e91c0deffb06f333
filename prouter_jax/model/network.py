"""`BayesNetwork`: rounds of messages between users and answers, which are both the training and the reading.

A round: every user reads its visible history (`reader`), the population is learnt from all users (`population`), and
the answers' tastes move with everybody's surprise (`tastes`). What is kept is the population and the tastes; a user's
state is read from its history, whoever it is and whenever it comes.
"""

import dataclasses

import jax
import jax.numpy as jnp

from prouter_jax.config import Model
from prouter_jax.graph.history import Histories, only, over_users, read_histories, sum_over_users
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model import answer_features as properties
from prouter_jax.model.answer_features import EFFECT, Columns, Observed, assemble
from prouter_jax.model.latent_factors import move_tastes, with_sides
from prouter_jax.model.posterior import Population, misfit, read, uncertainty, utilities
from prouter_jax.model.prior import learn, plain_precision, prior_mean, spread_of, told_from

_FIRST_SCALE = 0.2  # of the tastes that answers begin with, by chance: equal ones would stay equal
_NOISE_FLOOR = 1e-2  # of ratings: what is told more exactly is told exactly enough
_SHARPNESS_BESIDE_RATINGS = 10.0  # ratings fix the scale of utility, so choices need one of their own
SUMS = ("rating", "ratings", "too_high", "steep")  # of `misfit`, what `scales` takes
_READING_STEPS = 12  # Newton steps from the prior to a user that is read anew


@dataclasses.dataclass(frozen=True)
class BayesNetwork:
    """What decides the shapes and rounds of a run; hashable, so that compiled functions can depend on it.

    Attributes:
      queries: padded number of those in the world; users: not padded.
      sharpness: of choices in utility.
    """

    columns: Columns
    queries: int
    llms: int
    users: int
    taste_precision: float
    population_strength: float
    warmup_rounds: int
    sharpness: float

    def init(self, key: jax.Array) -> dict:
        """Parameters before the first round."""
        size = self.columns.size
        crowd = jnp.zeros(size).at[EFFECT].set(0.5).at[properties.COST].set(-0.5)
        tastes = _FIRST_SCALE * jax.random.normal(key, (self.queries, self.llms, self.columns.tastes))
        return {
            "crowd": crowd,
            "precision": plain_precision(self.columns),
            "log_noise": jnp.log(jnp.full((), 0.1)),
            "bar": jnp.zeros(()),
            "tastes": tastes,
            "met": jnp.zeros(self.llms),
            "users": jnp.broadcast_to(prior_mean(self.columns, crowd), (self.users, size)),
            "known": jnp.zeros(self.users),
        }

    def round(self, params: dict, graph: RouterGraph, step: jax.Array) -> tuple[dict, dict[str, jax.Array]]:
        """One round of messages; returns the new parameters and how badly the visible feedback was told before."""
        histories, population = read_histories(graph), self.population(params)
        known = graph.visibility.decisions * _decided(graph, histories)
        tastes = jnp.where(step < self.warmup_rounds, 0.0, params["tastes"])
        answers = self.answers(params, graph, tastes)
        start = jnp.pad(params["users"], ((0, graph.layout.users - self.users), (0, 0)))
        users, unknown, told = self.read(graph, histories, answers, population, start, 1)
        has = (known.sum(1) > 0).astype(jnp.float32)
        strength = self.population_strength
        spread = spread_of(self.columns, users, unknown, has, params["crowd"])
        shift, precision = learn(self.columns, spread, strength)
        users, crowd = told_from(self.columns, users, shift), params["crowd"] + shift
        new = {**params, **scales(params, sums_of(told)), "crowd": crowd, "precision": precision}
        new["users"] = users[: self.users]
        new["known"] = has[: self.users]
        new["met"] = _met(graph, histories, self.llms)
        if self.columns.tastes:
            states = (users, self.answers(new, graph, tastes), params["tastes"])
            population = dataclasses.replace(population, mean=prior_mean(self.columns, crowd))
            moved = move_tastes(graph, histories, self.columns, population, states, crowd, self.taste_precision)
            new["tastes"] = jnp.where(step < self.warmup_rounds, params["tastes"], moved)
        return new, metrics_of(told)

    def population(self, params: dict) -> Population:
        """What all users have in common."""
        mean, certainty = prior_mean(self.columns, params["crowd"]), jnp.exp(-2 * params["log_noise"])
        return Population(mean, params["precision"], jnp.float32(self.sharpness), certainty, params["bar"])

    def answers(self, params: dict, graph: RouterGraph, tastes: jax.Array | None = None) -> jax.Array:
        """Properties of the answers to the graph's queries, [queries, llms, properties], gaps filled with means."""
        return self.properties(params, properties.observe(graph), params["tastes"] if tastes is None else tastes)

    def properties(self, params: dict, observed: Observed, tastes: jax.Array) -> jax.Array:
        """What `answers` returns, for these tastes.

        Where nothing but effect and cost is weighed, an LLM whom training did not meet is taken with caution: its
        unseen answers have a standard error less than its mean effect, else every hard query would go to it.
        """
        values, seen = observed.values, observed.seen
        expected = properties.task_means(values, seen, observed.task, observed.num_tasks)[observed.task]
        if self.columns.plain:
            met = (params["met"] > 0).astype(jnp.float32)
            error = properties.mean_errors(values[..., EFFECT], seen[..., EFFECT], met)
            new = (1 - met) * met.max()  # before training nobody is met, and nobody is new
            expected = expected.at[..., EFFECT].add(-error * new)
        return assemble(self.columns, jnp.where(seen > 0, values, expected), tastes, params["crowd"])

    def strangers(self, params: dict, graph: RouterGraph) -> jax.Array:
        """theta of the users of any graph before their histories are read, [users, properties]."""
        return jnp.broadcast_to(self.population(params).mean, (graph.layout.users, self.columns.size))

    def read_users(
        self,
        params: dict,
        graph: RouterGraph,
        answers: jax.Array,
        start: jax.Array | None = None,
        steps: int = _READING_STEPS,
    ) -> jax.Array:
        """theta of the users of any graph over these answers, from their histories alone, [users, properties].

        Args:
          start: where the Newton steps begin, [users, properties]; strangers if None.
          steps: so many of them.
        """
        start = self.strangers(params, graph) if start is None else start
        return self.read(graph, read_histories(graph), answers, self.population(params), start, steps)[0]

    def read(self, graph: RouterGraph, histories: Histories, answers, population: Population, start, steps: int):
        """theta, what is not known of it, and how badly `start` told what was said; users first.

        Args:
          answers: [queries, llms, properties]; start: [users, properties]; steps: of Newton's method, 0 for none.
        """

        def of_user(answers, said, _, visible, theta):
            said = only(said, visible)
            answers = with_sides(self.columns, answers, said)
            told = misfit(utilities(theta, answers), said, population)
            theta = read(theta, answers, said, population, steps)
            unknown = uncertainty(theta, answers, said, population)
            return theta, jnp.moveaxis(unknown, 0, -1) if theta.ndim > 1 else unknown, told

        return over_users(graph, of_user, answers, histories, graph.visibility.decisions, start)


def make_bayes(model: Model, graph: RouterGraph, num_users: int) -> BayesNetwork:
    """The network of a configuration for the world of a graph."""
    layout = graph.layout
    columns = Columns(
        style=graph.style.shape[-1] if model.style else 0,
        llms=layout.num("llm") if model.llm_weights else 0,
        sides=int(layout.has_sides),
        crowd=int(model.crowd),
        tastes=model.taste_dim,
    )
    sizes = (layout.num("query"), layout.num("llm"), num_users)
    numbers = (model.taste_precision, model.population_strength, model.warmup_rounds)
    return BayesNetwork(columns, *sizes, *numbers, _SHARPNESS_BESIDE_RATINGS if layout.has_ratings else 1.0)


def metrics_of(told: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """How badly feedback was told, as means over what was said; `told` is the `misfit` of each user."""
    means = {kind: _mean(told, kind) for kind in ("choice", "rating", "thumb") if kind in told}
    found = {"loss": sum(means.values(), jnp.zeros(()))}
    return found | ({"rating_error": jnp.sqrt(means["rating"])} if "rating" in means else {})


def sums_of(told: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """What `scales` takes, from the `misfit` of each user; zero for kinds of feedback that nobody gives."""
    return {name: told[name].sum() if name in told else jnp.zeros(()) for name in SUMS}


def scales(params: dict, sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The parameters that relate ratings and thumbs to utility: the ratings' noise, and one Newton step of the bar."""
    noise = 0.5 * jnp.log(_mean(sums, "rating") + _NOISE_FLOOR**2)
    return {
        "log_noise": jnp.where(sums["ratings"] > 0, noise, params["log_noise"]),
        "bar": params["bar"] + sums["too_high"] / (sums["steep"] + 1),
    }


def _mean(told: dict[str, jax.Array], kind: str) -> jax.Array:
    return told[kind].sum() / jnp.maximum(told[f"{kind}s"].sum(), 1)


def _decided(graph: RouterGraph, histories: Histories) -> jax.Array:
    """1 where a user decided, [users, decisions]."""
    offered = histories.said.offered
    return jnp.moveaxis(offered.max(1), -1, 0) if graph.layout.shared_queries else offered.max(-1)


def _met(graph: RouterGraph, histories: Histories, num_llms: int) -> jax.Array:
    """In how many visible decisions each LLM was on offer, [llms]."""

    def of_shared(said, query, llm, visible):
        del query, llm
        return (said.offered * visible[:, None]).sum((0, 2))

    def of_own(said, query, llm, visible):
        del query
        return jax.ops.segment_sum((said.offered * visible[..., None]).reshape(-1), llm.reshape(-1), num_llms)

    function = of_shared if graph.layout.shared_queries else of_own
    return sum_over_users(graph, function, histories, graph.visibility.decisions)
