"""`EmNetwork`: the default network, trained by rounds of expectation maximisation (EM).

A round is

    E-step   posterior mode and covariance of every user's weights, from the visible history  (`posterior`)
    M-step   the Gaussian prior that all users share                                          (`prior`)
             the noise of ratings and the threshold of thumbs                                 (`update_scales`)
             one damped Newton step of the answers' latent factors                            (`latent_factors`)

The parameters are the prior, the scales and the latent factors. A user's weights are inferred from the user's history,
so a user without history, or one who comes after training, needs no parameter.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from prouter_jax.config import Model
from prouter_jax.graph.history import Histories, map_over_users, mask_feedback, read_histories, sum_over_users
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model import answer_features
from prouter_jax.model.answer_features import COST, EFFECT, AnswerFeatures, Observed, assemble
from prouter_jax.model.latent_factors import update_latent_factors, with_shown_first
from prouter_jax.model.likelihood import Population, negative_log_likelihood, utilities
from prouter_jax.model.posterior import posterior_covariance, posterior_mode
from prouter_jax.model.prior import initial_precision, m_step, prior_mean, recentre, second_moments

# what `update_scales` needs of `likelihood.negative_log_likelihood`
SCALE_STATISTICS = ("rating", "ratings", "threshold_gradient", "threshold_curvature")

_INITIAL_FACTOR_SCALE = 0.2  # standard deviation of the random initial factors; equal factors would stay equal
_INITIAL_NOISE = 0.1  # standard deviation of ratings, in utility
_MIN_NOISE = 1e-2  # keeps the precision of ratings finite where they are fitted exactly
_SHARPNESS_WITH_RATINGS = 10.0  # ratings fix the scale of utility, so choices need a sharpness of their own
_INFERENCE_STEPS = 12  # Newton steps from the prior mean to a user's posterior mode


@dataclasses.dataclass(frozen=True)
class EmNetwork:
    """Sizes and hyperparameters of the network; hashable, so a static argument of compiled functions.

    Attributes:
      features: the features of an answer.
      queries: padded number of queries in the graph.
      llms: number of LLMs.
      users: number of users whose weights are among the parameters, not padded.
      factor_precision: prior precision of each latent factor.
      prior_strength: weight of the initial prior covariance, in users.
      warmup_rounds: rounds before the latent factors are used and updated.
      sharpness: inverse temperature of choices, in 1 / utility.
    """

    features: AnswerFeatures
    queries: int
    llms: int
    users: int
    factor_precision: float
    prior_strength: float
    warmup_rounds: int
    sharpness: float

    def init(self, key: jax.Array) -> dict:
        """Returns the parameters before the first round.

        Returns:
          population_mean: mean weights of the population, [features].
          precision: prior precision of the users' weights, [features, features].
          log_noise: log of the ratings' standard deviation.
          threshold: utility at which a thumb is up with probability 1/2.
          latent_factors: [queries, llms, factors].
          llm_offers: in how many visible decisions each LLM was a candidate, [llms].
          users: weights of the training users, [users, features].
          has_history: 1 for training users with a visible decision, [users].
        """
        size = self.features.size
        population_mean = jnp.zeros(size).at[EFFECT].set(0.5).at[COST].set(-0.5)
        shape = (self.queries, self.llms, self.features.latent_factors)
        return {
            "population_mean": population_mean,
            "precision": initial_precision(self.features),
            "log_noise": jnp.log(jnp.full((), _INITIAL_NOISE)),
            "threshold": jnp.zeros(()),
            "latent_factors": _INITIAL_FACTOR_SCALE * jax.random.normal(key, shape),
            "llm_offers": jnp.zeros(self.llms),
            "users": jnp.broadcast_to(prior_mean(self.features, population_mean), (self.users, size)),
            "has_history": jnp.zeros(self.users),
        }

    def round(self, params: dict, graph: RouterGraph, step: jax.Array) -> tuple[dict, dict[str, jax.Array]]:
        """One round of EM over all users of a graph.

        Args:
          step: number of the round, from 0.

        Returns:
          The new parameters, and the mean losses of the visible feedback under the old ones.
        """
        features, histories, population = self.features, read_histories(graph), self.population(params)
        visible = graph.visibility.decisions * _has_decision(graph, histories)
        latent_factors = self.active_factors(params, step)
        answers = self.answers(params, graph, latent_factors)
        start = jnp.pad(params["users"], ((0, graph.layout.users - self.users), (0, 0)))
        users, covariance, losses = self.e_step(graph, histories, answers, population, start, 1)
        has_history = (visible.sum(1) > 0).astype(jnp.float32)
        moments = second_moments(features, users, covariance, has_history, params["population_mean"])
        shift, precision = m_step(features, moments, self.prior_strength)
        users, population_mean = recentre(features, users, shift), params["population_mean"] + shift
        new = {
            **params,
            **update_scales(params, scale_statistics(losses)),
            "population_mean": population_mean,
            "precision": precision,
            "users": users[: self.users],
            "has_history": has_history[: self.users],
            "llm_offers": _count_offers(graph, histories, self.llms),
        }
        if features.latent_factors:
            states = (users, self.answers(new, graph, latent_factors), params["latent_factors"])
            population = dataclasses.replace(population, mean=prior_mean(features, population_mean))
            updated = update_latent_factors(
                graph, histories, features, population, states, population_mean, self.factor_precision
            )
            new["latent_factors"] = jnp.where(step < self.warmup_rounds, params["latent_factors"], updated)
        return new, mean_losses(losses)

    def population(self, params: dict) -> Population:
        """Returns the prior and the scales of the likelihood that all users share."""
        mean, rating_precision = prior_mean(self.features, params["population_mean"]), jnp.exp(-2 * params["log_noise"])
        sharpness = jnp.float32(self.sharpness)
        return Population(mean, params["precision"], sharpness, rating_precision, params["threshold"])

    def active_factors(self, params: dict, step: jax.Array) -> Float[Array, "queries llms factors"]:
        """Returns the latent factors that round `step` uses: zero during the warm-up."""
        return jnp.where(step < self.warmup_rounds, 0.0, params["latent_factors"])

    def answers(
        self, params: dict, graph: RouterGraph, latent_factors: jax.Array | None = None
    ) -> Float[Array, "queries llms features"]:
        """Returns the features of the answers to the graph's queries; missing outcomes are filled with means.

        Args:
          latent_factors: [queries, llms, factors]; those of the parameters if None.
        """
        factors = params["latent_factors"] if latent_factors is None else latent_factors
        return self.features_of(params, answer_features.observe(graph), factors)

    def features_of(
        self, params: dict, observed: Observed, latent_factors: Float[Array, "queries llms factors"]
    ) -> Float[Array, "queries llms features"]:
        """Returns the features of answers with these observed outcomes and latent factors.

        Where the features are effect and cost alone, the expected effect of an LLM that training did not offer is
        lowered by its standard error: else all hard queries would be routed to it.
        """
        values, seen = observed.values, observed.seen
        expected = answer_features.task_means(values, seen, observed.task, observed.num_tasks)[observed.task]
        if self.features.only_effect_and_cost:
            offers = (params["llm_offers"] > 0).astype(jnp.float32)
            error = answer_features.mean_errors(values[..., EFFECT], seen[..., EFFECT], offers)
            is_new = (1 - offers) * offers.max()  # before the first round no LLM counts as new
            expected = expected.at[..., EFFECT].add(-error * is_new)
        return assemble(self.features, jnp.where(seen > 0, values, expected), latent_factors, params["population_mean"])

    def cold_start_users(self, params: dict, graph: RouterGraph) -> Float[Array, "users features"]:
        """Returns the prior mean as the weights of every user of a graph."""
        return jnp.broadcast_to(self.population(params).mean, (graph.layout.users, self.features.size))

    def read_users(
        self,
        params: dict,
        graph: RouterGraph,
        answers: Float[Array, "queries llms features"],
        start: Float[Array, "users features"] | None = None,
        steps: int = _INFERENCE_STEPS,
    ) -> Float[Array, "users features"]:
        """Infers the weights of the users of any graph from their histories: the posterior modes.

        Args:
          answers: features of the answers to the graph's queries.
          start: weights to start from; the prior mean if None.
          steps: number of Newton steps.
        """
        start = self.cold_start_users(params, graph) if start is None else start
        population = self.population(params)

        def of_user(answers, feedback, _, visible, theta):
            feedback = mask_feedback(feedback, visible)
            answers = with_shown_first(self.features, answers, feedback)
            return posterior_mode(theta, answers, feedback, population, steps)

        return map_over_users(graph, of_user, answers, read_histories(graph), graph.visibility.decisions, start)

    def e_step(
        self,
        graph: RouterGraph,
        histories: Histories,
        answers: Float[Array, "queries llms features"],
        population: Population,
        start: Float[Array, "users features"],
        steps: int,
    ) -> tuple[Float[Array, "users features"], Float[Array, "users features features"], dict[str, jax.Array]]:
        """Infers the posterior of every user's weights.

        Args:
          start: weights to start from.
          steps: number of Newton steps; 0 keeps `start`.

        Returns:
          Weights after the steps; their posterior covariance; the `negative_log_likelihood` of `start` by user.
        """

        def of_user(answers, feedback, _, visible, theta):
            feedback = mask_feedback(feedback, visible)
            answers = with_shown_first(self.features, answers, feedback)
            losses = negative_log_likelihood(utilities(theta, answers), feedback, population)
            theta = posterior_mode(theta, answers, feedback, population, steps)
            covariance = posterior_covariance(theta, answers, feedback, population)
            return theta, jnp.moveaxis(covariance, 0, -1) if theta.ndim > 1 else covariance, losses

        return map_over_users(graph, of_user, answers, histories, graph.visibility.decisions, start)


def make_em_network(model: Model, graph: RouterGraph, num_users: int) -> EmNetwork:
    """Makes the network of a configuration for the sizes of a graph.

    Args:
      num_users: number of users whose weights are among the parameters.
    """
    layout = graph.layout
    features = AnswerFeatures(
        style=graph.style.shape[-1] if model.style else 0,
        llms=layout.num("llm") if model.llm_weights else 0,
        shown_first=int(layout.has_sides),
        population_utility=int(model.population_mean),
        latent_factors=model.factor_dim,
    )
    return EmNetwork(
        features=features,
        queries=layout.num("query"),
        llms=layout.num("llm"),
        users=num_users,
        factor_precision=model.factor_precision,
        prior_strength=model.prior_strength,
        warmup_rounds=model.warmup_rounds,
        sharpness=_SHARPNESS_WITH_RATINGS if layout.has_ratings else 1.0,
    )


def mean_losses(losses: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns the metrics of a round: "loss", the sum of the mean losses of each kind of feedback, and "rating_error".

    Args:
      losses: sums by user, see `likelihood.negative_log_likelihood`.
    """
    means = {kind: _mean(losses, kind) for kind in ("choice", "rating", "thumb") if kind in losses}
    metrics = {"loss": sum(means.values(), jnp.zeros(()))}
    return metrics | ({"rating_error": jnp.sqrt(means["rating"])} if "rating" in means else {})


def scale_statistics(losses: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Sums the `SCALE_STATISTICS` over users; 0 for kinds of feedback that the data does not have."""
    return {name: losses[name].sum() if name in losses else jnp.zeros(()) for name in SCALE_STATISTICS}


def update_scales(params: dict, sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns the new noise of ratings, log of their root mean squared error, and threshold of thumbs.

    The threshold moves by gradient / (curvature + 1), a Newton step with an upper bound of the curvature.

    Args:
      sums: what `scale_statistics` returns.
    """
    log_noise = 0.5 * jnp.log(_mean(sums, "rating") + _MIN_NOISE**2)
    return {
        "log_noise": jnp.where(sums["ratings"] > 0, log_noise, params["log_noise"]),
        "threshold": params["threshold"] + sums["threshold_gradient"] / (sums["threshold_curvature"] + 1),
    }


def _mean(losses: dict[str, jax.Array], kind: str) -> jax.Array:
    return losses[kind].sum() / jnp.maximum(losses[f"{kind}s"].sum(), 1)


def _has_decision(graph: RouterGraph, histories: Histories) -> jax.Array:
    """1 where a user has a decision, 0 for padding; [users, decisions]."""
    offered = histories.feedback.offered
    return jnp.moveaxis(offered.max(1), -1, 0) if graph.layout.shared_queries else offered.max(-1)


def _count_offers(graph: RouterGraph, histories: Histories, num_llms: int) -> jax.Array:
    """In how many visible decisions each LLM is a candidate, [llms]."""

    def with_shared_queries(feedback, query, llm, visible):
        del query, llm
        return (feedback.offered * visible[:, None]).sum((0, 2))

    def with_own_queries(feedback, query, llm, visible):
        del query
        return jax.ops.segment_sum((feedback.offered * visible[..., None]).reshape(-1), llm.reshape(-1), num_llms)

    function = with_shared_queries if graph.layout.shared_queries else with_own_queries
    return sum_over_users(graph, function, histories, graph.visibility.decisions)
