"""Gradient steps on top of one EM with groups of trained numbers left at EM's values, to measure what each brings."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from prouter_jax.config import ExperimentConfig
from prouter_jax.dataset import Dataset
from prouter_jax.sharding import to_host
from prouter_jax.training.gate import em_numbers
from prouter_jax.training.run import Run
from prouter_jax.training.state import TrainState
from prouter_jax.training.tuning import EpisodeInput, init, make_episodes, make_tuning_step, make_tuning_world


def train_variants(
    config: ExperimentConfig, dataset: Dataset, run: Run, state: TrainState, groups: Mapping[str, Sequence[str]]
) -> dict[str, dict]:
    """Takes the gradient steps of a configuration for each variant; every variant has the same episodes.

    Args:
      state: with the EM that all variants start from; its trained numbers are not used.
      groups: the parameters of `model.transfer` that a variant leaves at EM's values, by its name.

    Returns:
      The parameters of each variant, as accepted by the gate, by name.
    """
    network, steps, params = run.network, config.train.tuning_steps, to_host(state.params)
    world = make_tuning_world(network, params, to_host(state.opt_state.folds), run.here, dataset)
    episodes, step = make_episodes(config, dataset), jax.jit(make_tuning_step(network, steps))
    start, plain = network.tuned()[1].init(jax.random.key(0)), em_numbers(network)
    found = {}
    for name, group in groups.items():
        fixed = {number: plain[number] for number in group}
        tuned = {**params, **start, **fixed, "accepted": jnp.ones(())}
        opt_state = init(network, steps, run.batches is not None, tuned, state.opt_state.em)
        batches = EpisodeInput(episodes, 0)
        for _ in range(steps):
            tuned, opt_state, _ = step(tuned, opt_state, world, next(batches))
            tuned |= fixed  # each number has an optimizer of its own: the others' steps do not depend on it
        found[name] = to_host(tuned)
    return found
