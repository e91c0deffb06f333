"""The Bayesian rounds: users' weights on the features of answers, inferred from their histories.

A user's weights are the mode of their posterior under a Gaussian prior that all users share (`prior`, `posterior`). The
answers' features include latent factors, which all users' feedback estimates (`latent_factors`). The parameters are the
prior, the scales of the likelihood and the latent factors; expectation maximisation (EM) estimates them, see
`training.em`. A user without history, or one who comes after training, needs no parameter.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from prouter_jax.graph.history import (
    Histories,
    informative_feedback,
    map_over_users,
    mask_feedback,
    read_histories,
)
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model import answer_features
from prouter_jax.model.answer_features import COST, EFFECT, AnswerFeatures, Observed, assemble
from prouter_jax.model.functional import Functional
from prouter_jax.model.latent_factors import loadings, with_shown_first
from prouter_jax.model.likelihood import Population, negative_log_likelihood, utilities
from prouter_jax.model.llm_prior import LlmPrior
from prouter_jax.model.llm_states import NewLlms, StateColumns, is_one_hot, llm_inputs, llm_states
from prouter_jax.model.posterior import posterior_covariance, posterior_mode
from prouter_jax.model.prior import initial_precision, prior_mean

_INITIAL_FACTOR_SCALE = 0.2  # standard deviation of the random initial factors; equal factors would stay equal
_INITIAL_NOISE = 0.1  # standard deviation of ratings, in utility
_INFERENCE_STEPS = 12  # Newton steps from the prior mean to a user's posterior mode


class Estimated(nnx.Variable):
    """A parameter that EM estimates; `nnx.Param` is for those that gradients train."""


@dataclasses.dataclass(frozen=True)
class Rounds(Functional["BayesianRounds"]):
    """Sizes and hyperparameters of `BayesianRounds`; hashable, so a static argument of compiled functions.

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

    def make(self, key: jax.Array) -> "BayesianRounds":
        """Returns the module before the first round."""
        return BayesianRounds(self, key)

    def bind(self, params: dict) -> "BayesianRounds":
        """Returns the module with these parameters, see `Functional.bind`.

        Args:
          params: may have an "llm_prior" and "new_llms", which `new_llms.extend_network` adds.
        """
        rounds = super().bind(params)
        rounds.llm_prior, rounds.new_llms = (nnx.data(params.get(name)) for name in ("llm_prior", "new_llms"))
        return rounds


class BayesianRounds(nnx.Module):
    """Weights of users on the features of answers; all parameters are `Estimated`.

    Attributes:
      population_mean: mean weights of the population, [features].
      precision: prior precision of the users' weights, [features, features].
      log_noise: log of the ratings' standard deviation.
      threshold: utility at which a thumb is up with probability 1/2.
      latent_factors: [queries, llms, factors].
      llm_offers: in how many visible decisions each LLM was a candidate, [llms].
      users: weights of the training users, [users, features].
      has_history: 1 for training users with a visible decision, [users].
      llm_prior: predicts outcomes of LLMs that training did not offer, an `LlmPrior`; no parameter, None without.
      new_llms: what is learnt of LLMs that training did not offer, `NewLlms`; no parameter, None without.
    """

    def __init__(self, sizes: Rounds, key: jax.Array):
        size = sizes.features.size
        population_mean = jnp.zeros(size).at[EFFECT].set(0.5).at[COST].set(-0.5)
        shape = (sizes.queries, sizes.llms, sizes.features.latent_factors)
        self.sizes = sizes
        self.population_mean = Estimated(population_mean)
        self.precision = Estimated(initial_precision(sizes.features))
        self.log_noise = Estimated(jnp.log(jnp.full((), _INITIAL_NOISE)))
        self.threshold = Estimated(jnp.zeros(()))
        self.latent_factors = Estimated(_INITIAL_FACTOR_SCALE * jax.random.normal(key, shape))
        self.llm_offers = Estimated(jnp.zeros(sizes.llms))
        self.users = Estimated(jnp.broadcast_to(prior_mean(sizes.features, population_mean), (sizes.users, size)))
        self.has_history = Estimated(jnp.zeros(sizes.users))
        self.llm_prior: LlmPrior | None = nnx.data(None)
        self.new_llms: NewLlms | None = nnx.data(None)

    def population(self) -> Population:
        """Returns the prior and the scales of the likelihood that all users share."""
        mean = prior_mean(self.sizes.features, self.population_mean[...])
        rating_precision = jnp.exp(-2 * self.log_noise[...])
        sharpness = jnp.float32(self.sizes.sharpness)
        return Population(mean, self.precision[...], sharpness, rating_precision, self.threshold[...])

    def active_factors(self, round_number: jax.Array) -> Float[Array, "queries llms factors"]:
        """Returns the latent factors that a round uses: zero during the warm-up."""
        return jnp.where(round_number < self.sizes.warmup_rounds, 0.0, self.latent_factors[...])

    def answers(
        self, graph: RouterGraph, latent_factors: jax.Array | None = None
    ) -> Float[Array, "queries llms features"]:
        """Returns the features of the answers to the graph's queries; missing outcomes are filled with means.

        Args:
          latent_factors: [queries, llms, factors]; those of the parameters if None.
        """
        factors = self.latent_factors[...] if latent_factors is None else latent_factors
        return self.features_of(answer_features.observe(graph), factors)

    def features_of(
        self, observed: Observed, latent_factors: Float[Array, "queries llms factors"]
    ) -> Float[Array, "queries llms features"]:
        """Returns the features of answers with these observed outcomes and latent factors.

        Where the features are effect and cost alone, the expected effect of an LLM that training did not offer is
        lowered by its standard error: else all hard queries would be routed to it.
        """
        values, seen = observed.values, observed.seen
        expected = answer_features.task_means(values, seen, observed.task, observed.num_tasks)[observed.task]
        if self.llm_prior is not None:
            expected = self.llm_prior.expected(observed, expected)
        if self.sizes.features.only_effect_and_cost:
            offers = (self.llm_offers[...] > 0).astype(jnp.float32)
            error = answer_features.mean_errors(values[..., EFFECT], seen[..., EFFECT], offers)
            error = error if self.llm_prior is None else self.llm_prior.effect_errors(seen[..., EFFECT], error)
            is_new = (1 - offers) * offers.max()  # before the first round no LLM counts as new
            expected = expected.at[..., EFFECT].add(-error * is_new)
        filled = jnp.where(seen > 0, values, expected)
        states = self.llm_states(observed.llms)
        return assemble(self.sizes.features, filled, latent_factors, self.population_mean[...], states)

    def state_columns(self, graph: RouterGraph) -> StateColumns | None:
        """Returns the columns of the LLMs' states where users share queries, else None."""
        features = self.sizes.features
        if not features.llm_state or not graph.layout.shared_queries:
            return None
        if is_one_hot(features.llm_state, features.own_columns, self.sizes.llms):
            return StateColumns(features.llm_columns, None)
        return StateColumns(features.llm_columns, self.llm_states(llm_inputs(graph)))

    def llm_states(self, inputs: Float[Array, "llms inputs"]) -> Float[Array, "llms columns"] | None:
        """Returns the states of the LLMs; None if answers have no columns for them.

        Args:
          inputs: from `llm_states.llm_inputs`.
        """
        features = self.sizes.features
        if not features.llm_state:
            return None
        return llm_states(inputs, features.llm_state, features.own_columns, self.llm_offers[...])

    def cold_start_users(self, graph: RouterGraph) -> Float[Array, "users features"]:
        """Returns the prior mean as the weights of every user of a graph."""
        return jnp.broadcast_to(self.population().mean, (graph.layout.users, self.sizes.features.size))

    def read_users(
        self,
        graph: RouterGraph,
        answers: Float[Array, "queries llms features"],
        start: Float[Array, "users features"] | None = None,
        steps: int = _INFERENCE_STEPS,
        population: Population | None = None,
    ) -> Float[Array, "users features"]:
        """Infers the weights of the users of any graph from their histories: the posterior modes.

        Weights on LLMs that training did not offer count the uncertainty of their utility, see `NewLlms`.

        Args:
          answers: features of the answers to the graph's queries.
          start: weights to start from; the prior mean if None.
          steps: number of Newton steps.
          population: prior and scales of the likelihood; EM's if None.
        """
        features, population, states = self.sizes.features, population or self.population(), self.state_columns(graph)
        start = jnp.broadcast_to(population.mean, (graph.layout.users, features.size)) if start is None else start

        def of_user(answers, feedback, llm, visible, theta):
            feedback = informative_feedback(mask_feedback(feedback, visible), llm, self.sizes.llms)
            answers = with_shown_first(features, answers, feedback)
            return posterior_mode(theta, answers, feedback, population, steps, states)

        users = map_over_users(graph, of_user, answers, read_histories(graph), graph.visibility.decisions, start)
        if self.new_llms is None:
            return users
        return self.new_llms.added(users, self.excess_variance(graph, answers, users, population))

    def excess_variance(
        self,
        graph: RouterGraph,
        answers: Float[Array, "queries llms features"],
        users: Float[Array, "users features"],
        population: Population,
    ) -> Float[Array, "users llms"]:
        """Returns the variance that the utility of a new LLM has beyond that of the trained LLMs; 0 for these.

        It is that of the weights on LLMs, and that of the latent factors, which are zero for the answers of a new LLM,
        beyond what it is for the population's mean weights. It is 0 for a user without history.

        Args:
          answers: features of the answers to the graph's queries.
          users: posterior modes of the weights.
        """
        features, of_llms, columns = self.sizes.features, self.sizes.features.llm_columns, self.state_columns(graph)
        states = self.llm_states(llm_inputs(graph))
        new = (self.llm_offers[...] == 0).astype(jnp.float32)
        mean, factors = self.population_mean[...], self.latent_factors[...]
        factor_variance = _mean_square(factors, (jnp.abs(factors).sum(-1) > 0) * (1 - new))

        def of_user(answers, feedback, _, visible, theta):
            feedback = mask_feedback(feedback, visible)
            answers = with_shown_first(features, answers, feedback)
            covariance = posterior_covariance(theta, answers, feedback, population, columns)
            variance = jnp.einsum("...ab,la,lb->...l", covariance[..., of_llms, of_llms], states, states)
            known = variance @ ((1 - new) / jnp.maximum((1 - new).sum(), 1))
            beyond = loadings(features, theta.T, mean) ** 2 - mean[features.factor_start :] ** 2
            excess = new * (variance - (known - beyond @ factor_variance)[..., None])
            return jnp.moveaxis(excess, 0, -1) if theta.ndim > 1 else excess

        return map_over_users(graph, of_user, answers, read_histories(graph), graph.visibility.decisions, users)

    def e_step(
        self,
        graph: RouterGraph,
        histories: Histories,
        answers: Float[Array, "queries llms features"],
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
        features, population, states = self.sizes.features, self.population(), self.state_columns(graph)

        def of_user(answers, feedback, _, visible, theta):
            feedback = mask_feedback(feedback, visible)
            answers = with_shown_first(features, answers, feedback)
            losses = negative_log_likelihood(utilities(theta, answers), feedback, population)
            theta = posterior_mode(theta, answers, feedback, population, steps, states)
            covariance = posterior_covariance(theta, answers, feedback, population, states)
            return theta, jnp.moveaxis(covariance, 0, -1) if theta.ndim > 1 else covariance, losses

        return map_over_users(graph, of_user, answers, histories, graph.visibility.decisions, start)


def _mean_square(values: jax.Array, weight: jax.Array) -> jax.Array:
    """Weighted mean of the squares of rows, [..., columns] to [columns]."""
    return jnp.einsum("...,...f->f", weight, values**2) / jnp.maximum(weight.sum(), 1)
