"""The gate: trained numbers are used only if they predict users better whom neither EM nor gradients saw.

The last fold's users are predicted twice from histories of all lengths: by EM alone, and with the trained numbers. The
numbers are accepted if the mean over users of the fall in log loss is above two of its standard errors.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.compilation import jit_program
from prouter_jax.data.episodes import FOLDS, Episodes
from prouter_jax.model.network import Architecture
from prouter_jax.training.episode_loss import user_losses
from prouter_jax.training.tuning import TuningWorld, read_episode

_EPISODES = 30
_STANDARD_ERRORS = 2.0
_NO_SIMILAR_USERS = -30.0  # logit of their weight


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the gate measured.

    Attributes:
      improvement: mean over users of the fall in log loss, in nats.
      error: its standard error.
      users: number of users.
    """

    improvement: float
    error: float
    users: int

    @property
    def accepted(self) -> bool:
        """Whether the trained numbers are used."""
        return self.improvement > _STANDARD_ERRORS * self.error

    def to_text(self) -> str:
        """One line for the terminal."""
        found = f"log loss falls by {self.improvement:.4f} +- {self.error:.4f} on {self.users} users left out"
        return f"{found}: {'the trained numbers are used' if self.accepted else 'EM stays'}"


def judge(network: Architecture, params: dict, world: TuningWorld, episodes: Episodes) -> Verdict:
    """Compares the trained numbers with EM on the users of the last fold."""
    plain = em_numbers(network)
    trained = {name: params[name] for name in plain}
    sums = np.zeros((3, episodes.store.num_users))
    for number in range(_EPISODES):
        episode = episodes.rows(number, FOLDS - 1)
        (before, choices), (after, _) = (_losses(network, x, world, episode) for x in (plain, trained))
        for total, values in zip(sums, (before, after, choices), strict=True):
            np.add.at(total, episode["user"], np.asarray(values))
    return verdict(*sums)


def verdict(before: np.ndarray, after: np.ndarray, choices: np.ndarray) -> Verdict:
    """Returns the verdict on users' summed losses.

    Args:
      before, after: by EM alone and with the trained numbers, in nats, [users].
      choices: numbers of choices, [users].
    """
    rows = choices > 0
    falls = (before[rows] - after[rows]) / choices[rows]
    if len(falls) < 2:
        return Verdict(0.0, math.inf, len(falls))
    return Verdict(float(falls.mean()), float(falls.std(ddof=1) / math.sqrt(len(falls))), len(falls))


def em_numbers(network: Architecture) -> dict[str, jax.Array]:
    """Returns the values of the trained numbers with which predictions are those of EM."""
    start = network.tuned()[1].init(jax.random.key(0))
    return {**start, "similar_weight": jnp.array([_NO_SIMILAR_USERS, 0.0])}


@functools.partial(jit_program, static_argnums=0)
def _losses(network: Architecture, numbers: dict, world: TuningWorld, episode: dict) -> tuple[jax.Array, jax.Array]:
    transfer = network.tuned()[1].bind(numbers)
    return user_losses(transfer, *read_episode(world, episode), world.num_tasks, episode)
