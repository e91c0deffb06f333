"""The train step of every network: EM for its Bayesian rounds, gradients for its layers, joined by optax."""

import dataclasses
from collections.abc import Callable, Hashable

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from prouter_jax import config
from prouter_jax.graph.history import with_batch
from prouter_jax.graph.schema import RouterGraph, Visibility
from prouter_jax.model.answer_features import Observed, observe
from prouter_jax.model.network import Architecture
from prouter_jax.model.rounds import Estimated
from prouter_jax.sharding import DATA, replicated, users_sharding
from prouter_jax.training import em, tuning
from prouter_jax.training.masked_loss import Masking, blur_texts, choose_masked, make_masking, routing_loss

EM, GRADIENT, FROZEN = "em", "gradient", "frozen"  # what trains a parameter


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained; hashable, so a static argument of compiled functions.

    Attributes:
      optimizer: the values of `config.Optimizer`.
      num_train_steps: the number of steps, for the learning rate's schedule.
      masking: what a gradient step masks.
      steps_per_round: steps of a round over minibatches of users; 0 if a step takes all users.
      tuning_steps: gradient steps after the rounds of EM, with preset "tuned".
    """

    optimizer: tuple
    num_train_steps: int
    masking: Masking
    steps_per_round: int
    tuning_steps: int


def make_recipe(experiment: config.ExperimentConfig, steps_per_pass: int = 1) -> Recipe:
    """Makes the recipe of a configuration.

    Args:
      steps_per_pass: number of batches in a pass over all users, the default of `config.train.steps_per_round`.
    """
    train = experiment.train
    steps = (train.steps_per_round or steps_per_pass) if train.users_per_step else 0
    return Recipe(
        dataclasses.astuple(experiment.optimizer),
        train.num_train_steps,
        make_masking(experiment),
        steps,
        train.tuning_steps,
    )


def init_network(network: Architecture, recipe: Recipe, key: jax.Array) -> tuple[dict, optax.OptState | tuning.Folded]:
    """Returns the initial parameters and optimizer state."""
    params = network.init(key)
    if network.transfer is None:
        return params, make_optimizer(network, recipe).init(params)
    rounds = dataclasses.replace(network, transfer=None)
    em_state = make_optimizer(rounds, recipe).init({name: params[name] for name in rounds.kinds()})
    return params, tuning.init(network, recipe.tuning_steps, recipe.steps_per_round > 0, params, em_state)


def read_world(network: Architecture, recipe: Recipe, graph: RouterGraph) -> RouterGraph | Observed:
    """Returns the input of every step besides its batch.

    It is the observed outcomes where the batch has all else that a step reads: in minibatches, without layers.
    """
    return observe(graph) if recipe.steps_per_round and network.layers is None else graph


def make_step(network: Architecture, recipe: Recipe, mesh: jax.sharding.Mesh, folds: bool = True) -> Callable:
    """Makes the step function, to be compiled: the E-step of EM, a gradient, and the updates of `make_optimizer`.

    Args:
      folds: whether an EM without each fold is trained as well, where gradient steps on top of EM follow.

    Returns:
      A function (params, opt_state, world, batch, step number, key) -> (params, opt_state, metrics), where `world` is
      what `read_world` returns; a batch, if any, replaces the users of the graph.
    """
    if network.transfer is not None:
        rounds = dataclasses.replace(network, transfer=None)
        make = tuning.make_folded_step if folds and not recipe.steps_per_round else tuning.make_em_step
        return make(network, make_step(rounds, recipe, mesh))
    optimizer = make_optimizer(network, recipe)
    e_step, differentiate = _make_e_step(network, recipe, mesh), _make_gradient(network, recipe, mesh)

    def step(params, opt_state, world, batch, number, key):
        expected, fit = e_step(params, world, batch, number)
        gradient, losses = differentiate(params, world, batch, number, key)
        extra = {"expected": expected, "world": world, "number": number, "mesh": mesh}
        updates, opt_state = optimizer.update(gradient, opt_state, params, **extra)
        return optax.apply_updates(params, updates), opt_state, fit | losses

    return step


def make_optimizer(network: Architecture, recipe: Recipe) -> optax.GradientTransformationExtraArgs:
    """Makes the optimizer: EM for what it estimates, AdamW for what gradients train; all else is frozen."""
    transformations: dict[Hashable, optax.GradientTransformation] = {FROZEN: optax.set_to_zero()}
    if network.rounds is not None:
        transformations[EM] = em.em(network.rounds, recipe.steps_per_round)
    labels = label_params(network)
    if GRADIENT in jax.tree.leaves(labels):
        transformations[GRADIENT] = make_adamw(config.Optimizer(*recipe.optimizer), recipe.num_train_steps)
    return optax.partition(transformations, labels)


def label_params(network: Architecture) -> dict:
    """Returns what trains each parameter, in the structure of the parameters: `EM`, `GRADIENT` or `FROZEN`."""

    def label(kind: type) -> str:
        return EM if issubclass(kind, Estimated) else GRADIENT if issubclass(kind, nnx.Param) else FROZEN

    return jax.tree.map(label, network.kinds())


def make_adamw(optimizer: config.Optimizer, num_steps: int) -> optax.GradientTransformation:
    """Makes AdamW with linear warm-up, cosine decay to a tenth of the peak, and clipping by global norm."""
    warmup, peak = min(optimizer.warmup_steps, num_steps // 2), optimizer.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(0.0 if warmup else peak, peak, warmup, num_steps, peak / 10)
    return optax.chain(
        optax.clip_by_global_norm(optimizer.clip_norm),
        # eps: a gradient that is zero but for rounding must not become a step
        optax.adamw(schedule, eps=1e-6, weight_decay=optimizer.weight_decay),
    )


def _make_e_step(network: Architecture, recipe: Recipe, mesh: jax.sharding.Mesh) -> Callable:
    """The E-step of EM; without rounds, a function that does nothing."""
    if network.rounds is None:
        return lambda *_: (None, {})
    return em.make_e_step(network.rounds, recipe.steps_per_round, mesh)


def _make_gradient(network: Architecture, recipe: Recipe, mesh: jax.sharding.Mesh) -> Callable:
    """The gradient of the loss of masked decisions; without parameters that gradients train, zeros at no cost."""
    labels, by_user = label_params(network), users_sharding(mesh)
    if GRADIENT not in jax.tree.leaves(labels):
        return lambda params, *_: (jax.tree.map(jnp.zeros_like, params), {})
    masked_shardings = (Visibility(replicated(mesh), replicated(mesh), by_user), by_user)

    def loss(params, graph, visibility, scored):
        held = jax.tree.map(lambda label, x: x if label == GRADIENT else jax.lax.stop_gradient(x), labels, params)
        return routing_loss(network.bind(held), graph, visibility, scored)

    def differentiate(params, graph, batch, number, key):
        graph = with_batch(graph, batch, mesh.shape[DATA]) if recipe.steps_per_round else graph
        # divides the histories by users, and with them all that is computed from them
        masked = jax.lax.with_sharding_constraint(choose_masked(graph, recipe.masking, number, key), masked_shardings)
        graph = blur_texts(graph, recipe.masking.text_noise, jax.random.fold_in(key, 2**29 + number))
        (total, parts), gradient = jax.value_and_grad(loss, has_aux=True)(params, graph, *masked)
        return gradient, {"loss": total, **parts}

    return differentiate
