"""Takes a user out of a trained checkpoint: the parameters that belong to the user alone.

What all users share (prior, scales, features of answers) was fitted with the user's decisions and stays as it is.
"""

import dataclasses
import pathlib

import jax
import numpy as np

from prouter_jax.config import ExperimentConfig, Mesh
from prouter_jax.data.episodes import users_left_out
from prouter_jax.graph.world import World
from prouter_jax.io import files
from prouter_jax.model.network import Architecture, make_network
from prouter_jax.sharding import make_mesh, to_host
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.run import CHECKPOINTS, compiled_init, restore_best
from prouter_jax.training.state import TrainState
from prouter_jax.training.step import make_recipe
from prouter_jax.training.tuning import read_known_users


def save_without_user(
    config: ExperimentConfig, folder: pathlib.Path, target: pathlib.Path, before: World, after: World, row: int
) -> None:
    """Writes the best checkpoint of a folder to another folder, without the parameters of one user.

    Other checkpoints serve to resume a training, which needs the data of its start.

    Args:
      config: of the training.
      before, after: the world of the training, and the same without the user.
      row: of the user in `before`.

    Raises:
      ValueError: if the best checkpoint is damaged, or the network has another form without the user.
    """
    old, new = (_make_network(config, world) for world in (before, after))
    if _form(old) != _form(new):
        raise ValueError(
            f"{folder}: expected a network of the same form without this user, found another: nobody else has such "
            "feedback. Train without the user in a new workdir, and delete this one"
        )
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    step = checkpoints.best_step()
    metric = files.read_manifest(folder / CHECKPOINTS / str(step))["metric"]
    state = to_host(restore_best(config, old, folder))
    shapes = compiled_init(new, make_recipe(config), make_mesh(Mesh()))[1]
    state = jax.tree.map(lambda leaf, shape: _without(np.asarray(leaf), shape.shape, row), state, shapes)
    if config.train.users_per_step and new.rounds is not None:
        state = _with_known_users(state, new, after)
    Checkpoints(target / CHECKPOINTS).save(step, state, metric)


def _make_network(config: ExperimentConfig, world: World) -> Architecture:
    return make_network(config, world.build_graph(), len(world.interactions.users.ids))


def _form(network: Architecture) -> Architecture:
    """The network but for its number of users."""
    rounds = None if network.rounds is None else dataclasses.replace(network.rounds, users=0)
    transfer = None if network.transfer is None else dataclasses.replace(network.transfer, known=0)
    return dataclasses.replace(network, rounds=rounds, transfer=transfer)


def _without(leaf: np.ndarray, shape: tuple[int, ...], row: int) -> np.ndarray:
    """A leaf for one user fewer: the axis whose length differs is that of the users."""
    axes = [axis for axis, (old, new) in enumerate(zip(leaf.shape, shape, strict=True)) if old != new]
    return np.delete(leaf, row, axes[0]) if axes else leaf


def _with_known_users(state: TrainState, network: Architecture, world: World) -> TrainState:
    """The state with weights read from the world, in place of those of the last batch, whose users are not named."""
    left_out = users_left_out(len(world.interactions.users.ids) if network.transfer is not None else 0)
    known = read_known_users(network, state.params, world.build_graph(), world, left_out)
    return dataclasses.replace(state, params={**state.params, **known})
