"""The router's settings: a stated number of configurations, the best on validation; `policies.tuning` does the others.

A configuration is trained once and then applied in several ways to new queries: what foresight is made of
needs no training.
"""

import dataclasses
import time
from typing import Any

import numpy as np

from prouter_jax.config import ExperimentConfig, Model
from prouter_jax.policies.selection import select
from prouter_jax.policies.tuning import Trial, Tuned, make_trial, pick_best
from prouter_jax.prepare import Prepared
from prouter_jax.protocol.contest import train_router
from prouter_jax.protocol.judging import LOG_LOSS
from prouter_jax.protocol.settings import changed
from prouter_jax.router import Trained
from prouter_jax.scoring import score_decisions


def training_settings(rng: np.random.Generator) -> dict[str, Any]:
    """One draw of what decides training."""
    return {
        "model.taste_dim": int(rng.choice([0, 4, 9, 12])),
        "model.taste_precision": _log(rng, 2, 20),
        "model.population_strength": _log(rng, 1, 20),
        "model.style": bool(rng.random() < 0.7),
        "model.llm_weights": bool(rng.random() < 0.7),
        "model.crowd": bool(rng.random() < 0.7),
    }


def foresight_settings(rng: np.random.Generator, model: Model) -> dict[str, Any]:
    """One draw of how near queries speak for new ones; shares only where the defaults foresee shares.

    Where they compare utilities, users never err: their shares say no more than their choices.
    """
    return {
        "model.foresight": str(rng.choice(["share", "utility"])) if model.foresight == "share" else model.foresight,
        "model.near.text": _log(rng, 0.5, 4),
        "model.near.style": float(rng.choice([0.0, 0.02, 0.1, 0.2])),
        "model.near.task": float(rng.choice([0.0, 0.1, 0.5])),
        "model.near.noise": _log(rng, 2, 50),
    }


def tune_router(
    config: ExperimentConfig, prepared: Prepared, seed: int, budget: int, trainings: int, metric: str
) -> Tuned:
    """Trains `trainings` configurations, applies each in `budget // trainings` ways; the defaults come first.

    Args:
      seed: of the split and the training; the configurations are always the same.
      metric: of validation decisions by which the best is chosen.
    """
    rng, trials, ways = np.random.default_rng(0), [], max(budget // trainings, 1)
    for number in range(trainings):
        learnt = training_settings(rng) if number else {}
        begun = time.perf_counter()
        trained = train_router(changed(config, learnt), prepared, seed)
        for way in range(ways):
            settings = learnt | (foresight_settings(rng, config.model) if way else {})
            trials.append(_trial(settings, changed(config, settings), trained, prepared, begun))
            begun = time.perf_counter()
    return pick_best(trials, metric == LOG_LOSS)


def _trial(settings, config: ExperimentConfig, trained: Trained, prepared: Prepared, begun: float) -> Trial:
    validation = prepared.labelled("validation")
    scorer = dataclasses.replace(trained, model=config.model).apply(prepared.world)
    scores = trained.temperature * score_decisions(scorer, prepared, validation.decisions)
    rows = np.flatnonzero(~np.isnan(validation.rewards).all(1))
    return make_trial(settings, scores[rows], select(validation, rows), begun)


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
