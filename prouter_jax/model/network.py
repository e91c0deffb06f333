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
from prouter_jax.model.answer_features import EFFECT, AnswerFeatures, Observed, assemble
from prouter_jax.model.latent_factors import update_latent_factors, with_sides
from prouter_jax.model.posterior import (
    Population,
    negative_log_likelihood,
    posterior_covariance,
    posterior_mode,
    utilities,
)
from prouter_jax.model.prior import m_step, plain_precision, prior_mean, recentre, second_moments

_FIRST_SCALE = 0.2  # of the tastes that answers begin with, by chance: equal ones would stay equal
_NOISE_FLOOR = 1e-2  # of ratings: what is told more exactly is told exactly enough
_SHARPNESS_BESIDE_RATINGS = 10.0  # ratings fix the scale of utility, so choices need one of their own
SUMS = ("rating", "ratings", "too_high", "steep")  # of `misfit`, what `scales` takes
_READING_STEPS = 12  # Newton steps from the prior to a user that is read anew


@dataclasses.dataclass(frozen=True)
class EmNetwork:
    """What decides the shapes and rounds of a run; hashable, so that compiled functions can depend on it.

    Attributes:
      queries: padded number of those in the world; users: not padded.
      sharpness: of choices in utility.
    """

    columns: AnswerFeatures
    queries: int
    llms: int
    users: int
    factor_precision: float
    prior_strength: float
    warmup_rounds: int
    sharpness: float

    def init(self, key: jax.Array) -> dict:
        """Parameters before the first round."""
        size = self.columns.size
        population_mean = jnp.zeros(size).at[EFFECT].set(0.5).at[properties.COST].set(-0.5)
        latent_factors = _FIRST_SCALE * jax.random.normal(key, (self.queries, self.llms, self.columns.latent_factors))
        return {
            "population_mean": population_mean,
            "precision": plain_precision(self.columns),
            "log_noise": jnp.log(jnp.full((), 0.1)),
            "threshold": jnp.zeros(()),
            "latent_factors": latent_factors,
            "llm_offers": jnp.zeros(self.llms),
            "users": jnp.broadcast_to(prior_mean(self.columns, population_mean), (self.users, size)),
            "has_history": jnp.zeros(self.users),
        }

    def round(self, params: dict, graph: RouterGraph, step: jax.Array) -> tuple[dict, dict[str, jax.Array]]:
        """One round of messages; returns the new parameters and how badly the visible feedback was told before."""
        histories, population = read_histories(graph), self.population(params)
        known = graph.visibility.decisions * _decided(graph, histories)
        latent_factors = jnp.where(step < self.warmup_rounds, 0.0, params["latent_factors"])
        answers = self.answers(params, graph, latent_factors)
        start = jnp.pad(params["users"], ((0, graph.layout.users - self.users), (0, 0)))
        users, unknown, told = self.read(graph, histories, answers, population, start, 1)
        has = (known.sum(1) > 0).astype(jnp.float32)
        strength = self.prior_strength
        spread = second_moments(self.columns, users, unknown, has, params["population_mean"])
        shift, precision = m_step(self.columns, spread, strength)
        users, population_mean = recentre(self.columns, users, shift), params["population_mean"] + shift
        new = {**params, **scales(params, sums_of(told)), "population_mean": population_mean, "precision": precision}
        new["users"] = users[: self.users]
        new["has_history"] = has[: self.users]
        new["llm_offers"] = _count_offers(graph, histories, self.llms)
        if self.columns.latent_factors:
            states = (users, self.answers(new, graph, latent_factors), params["latent_factors"])
            population = dataclasses.replace(population, mean=prior_mean(self.columns, population_mean))
            moved = update_latent_factors(
                graph, histories, self.columns, population, states, population_mean, self.factor_precision
            )
            new["latent_factors"] = jnp.where(step < self.warmup_rounds, params["latent_factors"], moved)
        return new, metrics_of(told)

    def population(self, params: dict) -> Population:
        """What all users have in common."""
        mean, certainty = prior_mean(self.columns, params["population_mean"]), jnp.exp(-2 * params["log_noise"])
        return Population(mean, params["precision"], jnp.float32(self.sharpness), certainty, params["threshold"])

    def answers(self, params: dict, graph: RouterGraph, latent_factors: jax.Array | None = None) -> jax.Array:
        """Properties of the answers to the graph's queries, [queries, llms, properties], gaps filled with means."""
        return self.properties(
            params, properties.observe(graph), params["latent_factors"] if latent_factors is None else latent_factors
        )

    def properties(self, params: dict, observed: Observed, latent_factors: jax.Array) -> jax.Array:
        """What `answers` returns, for these tastes.

        Where nothing but effect and cost is weighed, an LLM whom training did not meet is taken with caution: its
        unseen answers have a standard error less than its mean effect, else every hard query would go to it.
        """
        values, seen = observed.values, observed.seen
        expected = properties.task_means(values, seen, observed.task, observed.num_tasks)[observed.task]
        if self.columns.plain:
            offers = (params["llm_offers"] > 0).astype(jnp.float32)
            error = properties.mean_errors(values[..., EFFECT], seen[..., EFFECT], offers)
            new = (1 - offers) * offers.max()  # before training nobody is met, and nobody is new
            expected = expected.at[..., EFFECT].add(-error * new)
        return assemble(self.columns, jnp.where(seen > 0, values, expected), latent_factors, params["population_mean"])

    def cold_start_users(self, params: dict, graph: RouterGraph) -> jax.Array:
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
        start = self.cold_start_users(params, graph) if start is None else start
        return self.read(graph, read_histories(graph), answers, self.population(params), start, steps)[0]

    def read(self, graph: RouterGraph, histories: Histories, answers, population: Population, start, steps: int):
        """theta, what is not known of it, and how badly `start` told what was said; users first.

        Args:
          answers: [queries, llms, properties]; start: [users, properties]; steps: of Newton's method, 0 for none.
        """

        def of_user(answers, feedback, _, visible, theta):
            feedback = only(feedback, visible)
            answers = with_sides(self.columns, answers, feedback)
            told = negative_log_likelihood(utilities(theta, answers), feedback, population)
            theta = posterior_mode(theta, answers, feedback, population, steps)
            unknown = posterior_covariance(theta, answers, feedback, population)
            return theta, jnp.moveaxis(unknown, 0, -1) if theta.ndim > 1 else unknown, told

        return over_users(graph, of_user, answers, histories, graph.visibility.decisions, start)


def make_em_network(model: Model, graph: RouterGraph, num_users: int) -> EmNetwork:
    """The network of a configuration for the world of a graph."""
    layout = graph.layout
    columns = AnswerFeatures(
        style=graph.style.shape[-1] if model.style else 0,
        llms=layout.num("llm") if model.llm_weights else 0,
        sides=int(layout.has_sides),
        population_mean=int(model.population_mean),
        latent_factors=model.factor_dim,
    )
    sizes = (layout.num("query"), layout.num("llm"), num_users)
    numbers = (model.factor_precision, model.prior_strength, model.warmup_rounds)
    return EmNetwork(columns, *sizes, *numbers, _SHARPNESS_BESIDE_RATINGS if layout.has_ratings else 1.0)


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
        "threshold": params["threshold"] + sums["too_high"] / (sums["steep"] + 1),
    }


def _mean(told: dict[str, jax.Array], kind: str) -> jax.Array:
    return told[kind].sum() / jnp.maximum(told[f"{kind}s"].sum(), 1)


def _decided(graph: RouterGraph, histories: Histories) -> jax.Array:
    """1 where a user decided, [users, decisions]."""
    offered = histories.feedback.offered
    return jnp.moveaxis(offered.max(1), -1, 0) if graph.layout.shared_queries else offered.max(-1)


def _count_offers(graph: RouterGraph, histories: Histories, num_llms: int) -> jax.Array:
    """In how many visible decisions each LLM was on offer, [llms]."""

    def of_shared(feedback, query, llm, visible):
        del query, llm
        return (feedback.offered * visible[:, None]).sum((0, 2))

    def of_own(feedback, query, llm, visible):
        del query
        return jax.ops.segment_sum((feedback.offered * visible[..., None]).reshape(-1), llm.reshape(-1), num_llms)

    function = of_shared if graph.layout.shared_queries else of_own
    return sum_over_users(graph, function, histories, graph.visibility.decisions)
