"""The two networks behind one door: the default (`bayes`) and the paper's (`gnn`)."""

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
from prouter_jax.training import em as minibatch
from prouter_jax.training.loss import Masking, blur_texts, choose_masked, make_masking, routing_loss


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained; hashable, so that compiled functions can depend on it.

    Attributes:
      steps_per_round: where a step reads a batch of users; 0 where it reads the whole graph.
    """

    optimizer: tuple
    num_train_steps: int
    masking: Masking
    steps_per_round: int


def make_recipe(experiment: config.ExperimentConfig, steps_per_pass: int = 1) -> Recipe:
    """What a configuration says of training, where so many batches are a pass over all users."""
    train = experiment.train
    steps = (train.steps_per_round or steps_per_pass) if train.users_per_step else 0
    return Recipe(dataclasses.astuple(experiment.optimizer), train.num_train_steps, make_masking(experiment), steps)


def init_network(network: Network, recipe: Recipe, key: jax.Array) -> tuple[dict, object]:
    """Parameters and the optimizer's state before the first step; of the default network, the sums of a round."""
    params = network.init(key)
    if isinstance(network, EmNetwork):
        return params, minibatch.zero_statistics(network) if recipe.steps_per_round else ()
    return params, make_optimizer(config.Optimizer(*recipe.optimizer), recipe.num_train_steps).init(params)


def read_world(network: Network, recipe: Recipe, graph: RouterGraph) -> RouterGraph | Observed:
    """What a step reads beside its batch: the graph; of the default network in batches, what it shows of answers."""
    return observe(graph) if isinstance(network, EmNetwork) and recipe.steps_per_round else graph


def make_step(network: Network, recipe: Recipe, mesh: jax.sharding.Mesh) -> Callable:
    """A function (params, opt_state, world, batch, step, key) -> (params, opt_state, metrics), to be compiled.

    A step is a round of messages of the default network, or a batch's part of one; a gradient step of the paper's.
    The batch, if any, takes the place of the graph's users.
    """
    if isinstance(network, GraphNetwork):
        return _make_gradient_step(network, recipe, mesh)

    def in_batches(params, sums, observed, batch, number, key):
        del key
        return minibatch.make_step(network, recipe.steps_per_round, mesh)(params, sums, observed, batch, number)

    def whole(params, opt_state, graph, batch, number, key):
        del batch, key
        params, metrics = network.round(params, graph, number)
        return params, opt_state, metrics

    return in_batches if recipe.steps_per_round else whole


def make_optimizer(optimizer: config.Optimizer, num_steps: int) -> optax.GradientTransformation:
    """AdamW with linear warm-up, cosine decay to a tenth, and clipping by global norm."""
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
    spread = (Visibility(replicated(mesh), replicated(mesh), by_user), by_user)

    def loss(params, graph, visibility, scored):
        return routing_loss(network.bind(params), graph, visibility, scored)

    def step(params, opt_state, graph, batch, number, key):
        graph = with_batch(graph, batch, mesh.shape[DATA]) if recipe.steps_per_round else graph
        # the histories are divided by users here, and everything made of them follows
        hidden = jax.lax.with_sharding_constraint(choose_masked(graph, recipe.masking, number, key), spread)
        graph = blur_texts(graph, recipe.masking.text_noise, jax.random.fold_in(key, 2**29 + number))
        (total, parts), gradient = jax.value_and_grad(loss, has_aux=True)(params, graph, *hidden)
        updates, opt_state = update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, {"loss": total, **parts}

    return step
