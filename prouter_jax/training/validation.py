"""What a state is worth on the decisions of validation, and whether its trained numbers are better than EM."""

import dataclasses
import math
import pathlib
import typing

import jax
import numpy as np

from prouter_jax.data.episodes import Episodes
from prouter_jax.data.rewards import choice_shares
from prouter_jax.dataset import Dataset, Labelled
from prouter_jax.io.display import log_line, waiting
from prouter_jax.metrics import Fit, choose, mean, measure_fit, shrunken_temperature, values_of_selected
from prouter_jax.model.inference import Scorer, make_scorer, score_decisions
from prouter_jax.sharding import to_host
from prouter_jax.training.gate import judge
from prouter_jax.training.metrics_writer import to_record
from prouter_jax.training.multihost import broadcast, is_primary
from prouter_jax.training.run import Run
from prouter_jax.training.state import TrainState
from prouter_jax.training.tuning import TuningWorld
from prouter_jax.training.user_states import save_user_states


def run_scorer(run: Run, params: dict, dataset: Dataset, users: np.ndarray | None = None) -> Scorer:
    """The network with `params`, applied to what it is trained on; `users` as of `inference.make_scorer`."""
    return make_scorer(run.network, params, dataset.world, run.here, run.model, users=users)


class Validation(typing.NamedTuple):
    """What the scores of some decisions are worth.

    Attributes:
      reward: mean of the chosen LLMs.
      temperature: makes the logits of choices probabilities.
      fit: how well these fit.
      users: states that were scored with, [users, properties].
    """

    reward: float
    temperature: float
    fit: Fit
    users: np.ndarray


def validate(run: Run, params: dict, dataset: Dataset, labelled: Labelled) -> Validation:
    """What the scores of some decisions are worth.

    The mean is over picks whose reward is known: of a log, those that were served (replay, Li et al. 2011). The
    temperature is pulled towards 1, for a few users cannot tell it; without any choice it is 1. Where utilities of
    unseen queries are predicted and no user has a history, it is at most 1: the utilities of such users are the mean of
    a population, near 0 where tastes differ, and ask for a factor of 3 that makes users with a history far too sure.
    """
    decisions = labelled.decisions
    scorer = run_scorer(run, params, dataset)
    logits = score_decisions(scorer, dataset, decisions)
    reward = mean(values_of_selected(labelled.rewards, choose(logits, decisions.offered)))
    shares = choice_shares(decisions)
    groups = decisions.user, decisions.query
    temperature = shrunken_temperature(logits, decisions.offered, shares, *groups) if shares.any() else 1.0
    has_history = np.isin(decisions.user, dataset.world.interactions.decisions.user).any()
    if run.model.unseen_queries == "utility" and not has_history:
        temperature = min(temperature, 1.0)
    fit = measure_fit(temperature * logits, decisions.offered, shares, decisions.user, decisions.query)
    return Validation(reward, temperature, fit, scorer.users)


@waiting("router: validating")
def evaluate_state(
    state: TrainState, run: Run, dataset: Dataset, validation: Labelled, workdir: pathlib.Path
) -> tuple[TrainState, Fit]:
    """The state with what early stopping must remember; all processes measure it, the first one's word counts.

    States of users are kept where this is the best state so far.
    """
    params = to_host(state.params)
    found = validate(run, params, dataset, validation)
    reward, temperature = (float(x) for x in broadcast(found[:2]))
    better = reward > float(state.best_reward)
    # of equal rewards, the first checkpoint is the best one, and rewards are kept as float32
    if np.float32(reward) > float(state.best_reward) and is_primary():
        save_user_states(workdir, params, found.users)
    numbers = {
        "validation_reward": np.float32(reward),
        "best_reward": np.float32(reward if better else state.best_reward),
        "stale": np.int32(0 if better else int(state.stale) + 1),
        "temperature": np.float32(temperature),
    }
    placed = {name: jax.device_put(value, state.best_reward.sharding) for name, value in numbers.items()}
    return dataclasses.replace(state, **placed), found.fit


@waiting("router: comparing with EM")
def judge_state(
    state: TrainState,
    run: Run,
    dataset: Dataset,
    workdir: pathlib.Path,
    world: TuningWorld,
    episodes: Episodes,
) -> tuple[TrainState, dict[str, float], float]:
    """The state with the gate's verdict, what was measured, and its rank: above all states of EM if it is accepted."""
    found = judge(run.network, to_host(state.params), world, episodes)
    accepted = bool(broadcast((np.float32(found.accepted),))[0])
    placed = jax.device_put(np.float32(accepted), state.params["accepted"].sharding)
    state = dataclasses.replace(state, params={**state.params, "accepted": placed})
    if is_primary():
        log_line(f"router: {found.to_text()}")
    measured = {"improvement": found.improvement, "improvement_error": found.error, "accepted": float(accepted)}
    measured = {name: value for name, value in measured.items() if math.isfinite(value)}
    if not accepted:
        return state, measured, -math.inf
    params = to_host(state.params)
    valid = validate(run, params, dataset, dataset.labelled("validation"))
    reward = float(broadcast((valid.reward,))[0])
    if is_primary():
        save_user_states(workdir, params, valid.users)
    numbers = {"validation_reward": np.float32(reward), "temperature": np.float32(1)}
    placed = {name: jax.device_put(value, state.best_reward.sharding) for name, value in numbers.items()}
    return dataclasses.replace(state, **placed), measured | to_record(valid.fit), float(state.best_reward) + 1
