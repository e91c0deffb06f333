"""What a training on a split chose, for the training of the router that is served: on all decisions.

No decision is left for validation then, so the second training takes what the first one chose: the number of steps, the
temperature, and the numbers that gradients trained on top of EM, with the verdict of their gate. These are few and hold
for users whom EM never saw (`model.transfer`), so EM alone is fitted anew.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.config import ExperimentConfig
from prouter_jax.dataset import Dataset
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.network import Architecture, make_network
from prouter_jax.sharding import to_host
from prouter_jax.training.metrics_writer import read_best_step
from prouter_jax.training.multihost import ask_primary
from prouter_jax.training.run import restore_best
from prouter_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What a training on a split chose.

    Attributes:
      network: its architecture.
      params: its parameters.
      steps: rounds of EM, or gradient steps of the layers.
      temperature: factor on the logits.
    """

    network: Architecture
    params: dict[str, np.ndarray]
    steps: int
    temperature: float

    def begin(self, state: TrainState, network: Architecture) -> TrainState:
        """Returns a fresh state of `network` with the numbers that gradients trained on top of EM, if there are any."""
        if self.network.transfer is None:
            return state
        (_, before), (_, now) = self.network.tuned(), network.tuned()
        carried = {name: self.params[name] for name in before.kinds()}
        for name in ("prior_shift", "prior_scale"):
            carried[name] = _carry(carried[name], before.features, now.features)
        placed = {name: jax.device_put(value, state.params[name].sharding) for name, value in carried.items()}
        return dataclasses.replace(state, params={**state.params, **placed})

    def end(self, state: TrainState) -> TrainState:
        """Returns the last state with the temperature."""
        return dataclasses.replace(state, temperature=jnp.full_like(state.temperature, self.temperature))


def read_chosen(config: ExperimentConfig, dataset: Dataset, folder: pathlib.Path) -> Chosen:
    """Reads what the finished training on a split chose.

    Args:
      config, dataset: of that training.
      folder: its workdir.

    Raises:
      ValueError: if its best checkpoint, or the record of its evaluations, is missing or damaged.
    """
    world = dataset.world
    network = make_network(config, world.build_graph(), len(world.interactions.users.ids))
    best = restore_best(config, network, folder, config.mesh)
    steps = ask_primary(lambda: read_best_step(folder))
    return Chosen(network, to_host(best.params), steps, float(best.temperature))


def _carry(values: np.ndarray, before: AnswerFeatures, now: AnswerFeatures) -> np.ndarray:
    """Values by column of the features for other features; EM's value, 0, where the columns are of something else.

    LLMs whose answers were held out have columns of their own in the split, and sides none if only held-out decisions
    record them.
    """
    llms = values[before.llm_columns]
    if (before.llm_state, before.own_columns) != (now.llm_state, now.own_columns):
        llms = np.zeros(now.llm_state + now.own_columns, values.dtype)
    side = values[before.shown_first_index : before.population_index]
    if before.shown_first != now.shown_first:
        side = np.zeros(now.shown_first, values.dtype)
    return np.concatenate([values[: before.llm_start], llms, side, values[before.population_index :]])
