"""The train step of either network: a round of EM, a batch of a round, or a gradient step of the paper's network."""

import dataclasses
from collections.abc import Callable

import jax
import optax

from prouter_jax import config
from prouter_jax.graph.history import with_batch
from prouter_jax.graph.schema import RouterGraph, Visibility
from prouter_jax.model.answer_features import Observed, observe
from prouter_jax.model.inference import Network
from prouter_jax.model.network import EmNetwork
from prouter_jax.model.paper_network import GraphNetwork
from prouter_jax.sharding import DATA, replicated, users_sharding
from prouter_jax.training import em
from prouter_jax.training.masked_loss import Masking, blur_texts, choose_masked, make_masking, routing_loss


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained; hashable, so a static argument of compiled functions.

    Attributes:
      optimizer: the values of `config.Optimizer`.
      num_train_steps: the number of steps, for the learning rate's schedule.
      masking: what a gradient step masks.
      steps_per_round: steps of a round of minibatch EM; 0 if a step takes all users.
    """

    optimizer: tuple
    num_train_steps: int
    masking: Masking
    steps_per_round: int


def make_recipe(experiment: config.ExperimentConfig, steps_per_pass: int = 1) -> Recipe:
    """Makes the recipe of a configuration.

    Args:
      steps_per_pass: number of batches in a pass over all users, the default of `config.train.steps_per_round`.
    """
    train = experiment.train
    steps = (train.steps_per_round or steps_per_pass) if train.users_per_step else 0
    return Recipe(dataclasses.astuple(experiment.optimizer), train.num_train_steps, make_masking(experiment), steps)


def init_network(network: Network, recipe: Recipe, key: jax.Array) -> tuple[dict, object]:
    """Returns the initial parameters and optimizer state.

    Returns:
      The parameters, and: zero statistics for minibatch EM, () for EM on all users, optax's state for the paper's
      network.
    """
    params = network.init(key)
    if isinstance(network, EmNetwork):
        return params, em.zero_statistics(network) if recipe.steps_per_round else ()
    return params, make_optimizer(config.Optimizer(*recipe.optimizer), recipe.num_train_steps).init(params)


def read_world(network: Network, recipe: Recipe, graph: RouterGraph) -> RouterGraph | Observed:
    """Returns the input of every step besides its batch: the observed outcomes for minibatch EM, else the graph."""
    return observe(graph) if isinstance(network, EmNetwork) and recipe.steps_per_round else graph


def make_step(network: Network, recipe: Recipe, mesh: jax.sharding.Mesh) -> Callable:
    """Makes the step function, to be compiled.

    Returns:
      A function (params, opt_state, world, batch, step number, key) -> (params, opt_state, metrics), where `world` is
      what `read_world` returns; a batch, if any, replaces the users of the graph.
    """
    if isinstance(network, GraphNetwork):
        return _make_gradient_step(network, recipe, mesh)

    def on_batch(params, statistics, observed, batch, number, key):
        del key
        return em.make_step(network, recipe.steps_per_round, mesh)(params, statistics, observed, batch, number)

    def on_all_users(params, opt_state, graph, batch, number, key):
        del batch, key
        params, metrics = network.round(params, graph, number)
        return params, opt_state, metrics

    return on_batch if recipe.steps_per_round else on_all_users


def make_optimizer(optimizer: config.Optimizer, num_steps: int) -> optax.GradientTransformation:
    """Makes AdamW with linear warm-up, cosine decay to a tenth of the peak, and clipping by global norm."""
    warmup, peak = min(optimizer.warmup_steps, num_steps // 2), optimizer.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(0.0 if warmup else peak, peak, warmup, num_steps, peak / 10)
    return optax.chain(
        optax.clip_by_global_norm(optimizer.clip_norm),
        # eps: a gradient that is zero but for rounding must not become a step
        optax.adamw(schedule, eps=1e-6, weight_decay=optimizer.weight_decay),
    )


def _make_gradient_step(network: GraphNetwork, recipe: Recipe, mesh: jax.sharding.Mesh) -> Callable:
    update = make_optimizer(config.Optimizer(*recipe.optimizer), recipe.num_train_steps).update
    by_user = users_sharding(mesh)
    masked_shardings = (Visibility(replicated(mesh), replicated(mesh), by_user), by_user)

    def loss(params, graph, visibility, scored):
        return routing_loss(network.bind(params), graph, visibility, scored)

    def step(params, opt_state, graph, batch, number, key):
        graph = with_batch(graph, batch, mesh.shape[DATA]) if recipe.steps_per_round else graph
        # divides the histories by users, and with them all that is computed from them
        masked = jax.lax.with_sharding_constraint(choose_masked(graph, recipe.masking, number, key), masked_shardings)
        graph = blur_texts(graph, recipe.masking.text_noise, jax.random.fold_in(key, 2**29 + number))
        (total, parts), gradient = jax.value_and_grad(loss, has_aux=True)(params, graph, *masked)
        updates, opt_state = update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, {"loss": total, **parts}

    return step
