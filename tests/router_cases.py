"""A router of six users after a few steps, for tests of serving."""

import dataclasses

import jax
import numpy as np

from prouter_jax.config import ExperimentConfig, Model
from prouter_jax.dataset import Dataset
from prouter_jax.serving.router import Router, Trained
from prouter_jax.sharding import to_host
from prouter_jax.training.run import initial_state, make_run, make_train_step
from prouter_jax.training.validation import run_scorer

PRESETS = ("em", "tuned", "paper")


def small_router(dataset: Dataset, model: Model, preset: str) -> Router:
    """Trains a preset for six steps; the numbers of "tuned" count as accepted."""
    config = ExperimentConfig(model=dataclasses.replace(model, preset=preset))
    run = make_run(config, dataset)
    state = initial_state(run, 0)
    for _ in range(6):
        state, _ = make_train_step(run)(state, run.world, {}, jax.random.key(0))
    params = to_host(state.params)
    if preset == "tuned":
        params["accepted"] = np.float32(1)
    scorer, data = run_scorer(run, params, dataset), dataset.world.interactions
    trained = Trained(config.model, run.network, params, 1.0, len(data.queries.ids))
    return Router(trained, dataset.world, scorer, data, scorer.users)
