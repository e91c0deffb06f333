"""Gradient steps on top of EM: trains `model.transfer` on users whom an EM of their own never saw.

The users are divided into folds. Beside the EM of all users there is one without each fold, trained in the same steps.
Where users come in minibatches, the folds are of a few users whom EM leaves out (`episodes.users_left_out`), so one EM
does for all. After the rounds, gradients train the numbers of `model.transfer` on episodes: decisions of a fold's users
are predicted from their histories with what the EM without the fold fitted (`episode_loss`). The last fold has no part
in it: its users decide whether the trained numbers are better than EM's (`gate`).
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from prouter_jax.config import WARM, ExperimentConfig
from prouter_jax.data.episodes import FOLDS, Episodes, users_left_out
from prouter_jax.data.interactions import CHOICE
from prouter_jax.data.query_features import QueryFeatures, make_query_features
from prouter_jax.dataset import Dataset
from prouter_jax.graph.schema import RouterGraph, Visibility, hide
from prouter_jax.graph.world import World
from prouter_jax.model.known_users import spaced
from prouter_jax.model.network import Architecture
from prouter_jax.model.rounds import Rounds
from prouter_jax.model.transfer import Transferred
from prouter_jax.training.episode_loss import Fitted, episode_loss

_LEARNING_RATES = {
    "prior_shift": 0.01,
    "prior_scale": 0.03,
    "log_kernel": 0.04,
    "log_sharpness": 0.03,
    "temperature": 0.03,
    "similar_weight": 0.05,
    "similar_sharpness": 0.05,
    "similar_error": 0.05,
}
_LAST_RATE = 0.05  # share of the learning rate in the last step
_EPSILON = 1e-5  # a gradient that is zero but for rounding must not become a step


@struct.dataclass
class Folded:
    """The optimizer state of a network with `transfer`.

    Attributes:
      em: that of EM on all users.
      folds: parameters of the EM without each fold, stacked; empty where users come in minibatches.
      adam: that of the trained numbers.
    """

    em: optax.OptState
    folds: dict
    adam: optax.OptState


@struct.dataclass
class TuningWorld:
    """What gradient steps read of the world.

    Attributes:
      fitted: what the EM without each fold fitted, stacked; one for all folds where users come in minibatches.
      queries: features of the world's queries.
      num_tasks: number of tasks.
    """

    fitted: Fitted
    queries: QueryFeatures
    num_tasks: int = struct.field(pytree_node=False)


def init(network: Architecture, tuning_steps: int, minibatches: bool, params: dict, em: optax.OptState) -> Folded:
    """Returns the initial state: the EM of each fold starts as that of all users.

    Args:
      minibatches: whether users come in minibatches.
    """
    names = [] if minibatches else list(network.tuned()[0].kinds())
    folds = {name: jnp.broadcast_to(params[name], (FOLDS, *params[name].shape)) for name in names}
    return Folded(em, folds, make_optimizer(tuning_steps).init(_trained(network, params)))


def make_optimizer(steps: int) -> optax.GradientTransformation:
    """Makes Adam with cosine decay and a learning rate for each of the trained numbers."""
    rates = {name: optax.cosine_decay_schedule(rate, steps, _LAST_RATE) for name, rate in _LEARNING_RATES.items()}
    return optax.partition(
        {name: optax.adam(rate, eps=_EPSILON) for name, rate in rates.items()}, {name: name for name in rates}
    )


def make_folded_step(network: Architecture, step: Callable) -> Callable:
    """Makes the step of EM on all users and of the EMs without a fold, one after the other in one program.

    Args:
      step: of the network without `transfer`, as `step.make_step` returns it.
    """
    names = list(network.tuned()[0].kinds())

    def folded(params, opt_state: Folded, world: RouterGraph, batch, number, key):
        def of_copy(copy):
            em_params, weight = copy
            seen = world.visibility
            graph = hide(world, Visibility(seen.outcomes, seen.tasks, seen.decisions * weight[:, None]))
            new, _, metrics = step(em_params, opt_state.em, graph, batch, number, key)
            return new, metrics

        every = {name: jnp.concatenate([params[name][None], opt_state.folds[name]]) for name in names}
        new, metrics = jax.lax.map(of_copy, (every, _fold_weights(world.layout.users)))
        first = jax.tree.map(lambda x: x[0], (new, metrics))
        folds = {name: value[1:] for name, value in new.items()}
        return {**params, **first[0]}, dataclasses.replace(opt_state, folds=folds), first[1]

    return folded


def make_em_step(network: Architecture, step: Callable) -> Callable:
    """Makes the step of EM alone: on a batch, from which the users of episodes are left out, or in a refit.

    Args:
      step: of the network without `transfer`, as `step.make_step` returns it.
    """
    names = list(network.tuned()[0].kinds())

    def em_step(params, opt_state: Folded, world, batch, number, key):
        of_em = {name: params[name] for name in names}
        new, em, metrics = step(of_em, opt_state.em, world, batch, number, key)
        return {**params, **new}, dataclasses.replace(opt_state, em=em), metrics

    return em_step


def make_tuning_step(network: Architecture, tuning_steps: int) -> Callable:
    """Makes the gradient step.

    Returns:
      A function (params, opt_state, world, episode) -> (params, opt_state, metrics), where `world` is a `TuningWorld`
      and the episode is one of `data.episodes.Episodes`.
    """
    optimizer, (_, sizes) = make_optimizer(tuning_steps), network.tuned()

    def step(params, opt_state: Folded, world: TuningWorld, episode: dict):
        def loss(trained):
            transfer = sizes.bind({**params, **trained})
            return episode_loss(transfer, *read_episode(world, episode), world.num_tasks, episode)

        trained: dict = _trained(network, params)
        (total, mean), gradient = jax.value_and_grad(loss, has_aux=True)(trained)
        updates, adam = optimizer.update(gradient, opt_state.adam, trained)
        new = {**params, **jax.tree.map(jnp.add, trained, updates)}
        return new, dataclasses.replace(opt_state, adam=adam), {"loss": total, "choice": mean}

    return step


def read_episode(world: TuningWorld, episode: dict) -> tuple[Fitted, QueryFeatures]:
    """Returns what an episode reads of the world: what an EM without its users fitted, and features of its queries."""
    rows, fitted = episode["queries"], world.fitted
    fold = episode["fold"] % len(fitted.users)
    of_fold = jax.tree.map(lambda x: x[fold], (fitted.population, fitted.users))
    return Fitted(of_fold[0], fitted.answers[fold, rows], of_fold[1]), world.queries.take(rows)


def make_tuning_world(network: Architecture, params: dict, folds: dict, graph: RouterGraph, dataset: Dataset):
    """Makes the `TuningWorld` of a run.

    Args:
      folds: `Folded.folds`.
      graph: of the world of `dataset`.
    """
    world, num_tasks = dataset.world, graph.layout.num("task")
    data, vectors = world.interactions, world.vectors
    queries = make_query_features(vectors.query, vectors.query_style, data.queries.task, num_tasks)
    copies = folds or {name: params[name][None] for name in network.tuned()[0].kinds()}
    fitted = _fit_folds(network, params, copies, graph, len(data.queries.ids))
    return TuningWorld(fitted, jax.tree.map(jnp.asarray, queries), num_tasks)


def read_known_users(
    network: Architecture, params: dict, graph: RouterGraph, world: World, left_out: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the parameters of known users where users come in minibatches: the world's first users, from histories.

    EM leaves the users of its last batch there, without their ids.

    Args:
      network: with Bayesian rounds.
      graph: of `world`.
      left_out: users of episodes. None is a known one: each would be most similar to itself.
    """
    number, decisions = _rounds(network).users, world.interactions.decisions
    has_history = np.bincount(decisions.user, minlength=number)[:number] > 0
    has_history[left_out[left_out < number]] = False
    users = np.array(_read_users(network, params, graph))[:number]
    users = np.pad(users, ((0, number - len(users)), (0, 0)))
    return {"users": users, "has_history": has_history.astype(np.float32)}


def find_obstacle(config: ExperimentConfig, dataset: Dataset) -> str:
    """Returns why there are no gradient steps after EM; empty if nothing is in their way."""
    if config.model.unseen_queries != "share":
        return f"config.model.unseen_queries is {config.model.unseen_queries}"
    store, _ = dataset.histories
    if not (store.feedback_kind == CHOICE).any():
        return "there are no choices"
    counts = np.diff(store.users)
    users = _episode_users(config, len(counts))
    least = np.bincount(np.flatnonzero(counts[users]) % FOLDS, minlength=FOLDS).min()
    return "" if least >= 2 else f"expected 2 users with decisions in each of {FOLDS} folds, found {least} in one"


def make_episodes(config: ExperimentConfig, dataset: Dataset) -> Episodes:
    """Makes the episodes of a run."""
    store, rows = dataset.histories
    num_queries = len(dataset.world.interactions.queries.ids)
    users = _episode_users(config, store.num_users)
    return Episodes(store, rows, num_queries, config.data.split not in WARM, config.seed, users)


class EpisodeInput:
    """Iterator over the episodes of consecutive steps; the last fold is left to the gate."""

    def __init__(self, episodes: Episodes, start: int):
        self.episodes, self.number = episodes, start

    def __next__(self) -> dict:
        self.number += 1
        return self.episodes.rows(self.number, self.number % (FOLDS - 1))

    def waiting(self) -> dict[str, float]:
        """As of `data.batches.Input`; episodes are not read ahead."""
        return {}


def _episode_users(config: ExperimentConfig, num_users: int) -> np.ndarray:
    return users_left_out(num_users) if config.train.users_per_step else np.arange(num_users)


@functools.partial(jax.jit, static_argnums=0)
def _read_users(network: Architecture, params: dict, graph: RouterGraph) -> jax.Array:
    """EM's weights of the users of a graph, [users, features]."""
    rounds = _rounds(network).bind(params)
    return rounds.read_users(graph, rounds.answers(graph))


def _rounds(network: Architecture) -> Rounds:
    if network.rounds is None:
        raise ValueError("network: expected Bayesian rounds, found none")
    return network.rounds


@functools.partial(jax.jit, static_argnums=(0, 4))
def _fit_folds(network: Architecture, params: dict, folds: dict, graph: RouterGraph, num_queries: int) -> Fitted:
    """What the EM without each fold fitted, stacked."""

    sizes, transfer = network.tuned()

    def of_fold(em_params):
        rounds = sizes.bind({**params, **em_params})
        rows = spaced(em_params["has_history"], transfer.known)
        return Fitted(rounds.population(), rounds.answers(graph)[:num_queries], em_params["users"][rows])

    return jax.lax.map(of_fold, folds)


def _trained(network: Architecture, params: dict) -> dict:
    """The parameters that gradients train on top of EM."""
    return {name: params[name] for name, kind in network.tuned()[1].kinds().items() if issubclass(kind, Transferred)}


def _fold_weights(num_users: int) -> jax.Array:
    """1 for the users whom each EM sees, all and then all but a fold's; [1 + folds, users]."""
    without = jnp.arange(num_users) % FOLDS != jnp.arange(FOLDS)[:, None]
    return jnp.concatenate([jnp.ones((1, num_users)), without.astype(jnp.float32)])
