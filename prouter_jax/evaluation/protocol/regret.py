"""Measures the regret of the live router and of bandits among simulated new users, see `bandits.simulation`."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from prouter_jax.data.interactions import THUMB, Feedback, concatenate
from prouter_jax.dataset import Dataset, Labelled, prepare_dataset
from prouter_jax.evaluation.bandits.live import LiveBandit, blind_picks, choose_gate
from prouter_jax.evaluation.bandits.policies import BetaCells, EpsilonGreedy, LinUcb, Warm
from prouter_jax.evaluation.bandits.simulation import (
    Bandit,
    Rounds,
    after_thumbs,
    draw_rounds,
    regret,
    simulate,
)
from prouter_jax.evaluation.protocol.definition import Size, cached_source, from_arguments
from prouter_jax.evaluation.protocol.fitting import train_router
from prouter_jax.evaluation.protocol.measure import ALL, split_given
from prouter_jax.model.inference import prepare_queries
from prouter_jax.report.types import ROUTER
from prouter_jax.serving.exploration import Exploration
from prouter_jax.serving.live import LiveRouter
from prouter_jax.serving.router import Router, Trained

BLIND, INFORMED = "always_blind", "informed_router"
BANDITS = ("beta_cells", "linucb", "epsilon_greedy", BLIND)
_SHARE = 0.02  # of picks that exploring spreads over all LLMs
_COMPONENTS = 32  # of text vectors, for LinUCB
_STRENGTHS, _EPSILONS = (1.0, 4.0, 16.0, 64.0), (0.0, 0.03, 0.1)
_ALPHAS, _USER_PRECISIONS = (0.0, 0.03, 0.1, 0.3), (1.0, 10.0)
_METRIC = "regret"


def measure_regret(
    setting: str,
    config: Mapping,
    answered: Mapping[str, float],
    thumbs: Sequence[int],
    users: int,
    seed: int,
    size: Size,
) -> list[dict]:
    """Simulates new users and returns each policy's mean cumulative regret after some numbers of thumbs.

    Known users have told the best LLM of each decision, and given a thumb on one LLM drawn at random. The bandits'
    settings and the router's gate are chosen by the regret of validation users. "informed_router" knows all choices of
    the test users on training queries and learns nothing more.

    Args:
      setting: name of the setting.
      config: configuration with new users, as `definition.to_arguments` gives it.
      answered: share of rounds with a thumb, by what is added to the name of the setting.
      thumbs: after which the regret is returned.
      users: number of test users at most.
      size: has the folder of the data sets.
    """
    whole, rng = from_arguments(config, size.data), np.random.default_rng([seed, 11])
    dataset = prepare_dataset(cached_source(whole.data), whole.data, seed)
    train = dataset.labelled("train")
    dataset = _with_thumbs(dataset, _likes(train.rewards), rng)
    trained = train_router(whole, dataset, seed)
    scorer = trained.apply(dataset.world)
    live = LiveRouter(Router(trained, dataset.world, scorer, dataset.world.interactions, scorer.users))
    make = _Bandits(dataset, train)
    validation = _rounds(dataset.labelled("validation"), max(thumbs), 1.0, users, rng)
    gate = choose_gate(live, dataset.data, validation)
    chosen = {name: make.tune(name, validation, seed) for name in BANDITS if name != BLIND}
    given = split_given(whole, ALL, seed)
    found = []
    for added, share in answered.items():
        rounds = _rounds(dataset.labelled("test"), max(thumbs), share, users, rng)
        regrets = {name: simulate(make.one(name, len(rounds.query), seed, **chosen[name]), rounds) for name in chosen}
        regrets[BLIND] = regret(rounds, blind_picks(live, dataset.data, rounds))
        regrets[INFORMED] = regret(rounds, _informed_picks(trained, given, rounds))
        for name, kind in ((ROUTER, "none"), ("router_thompson", "thompson"), ("router_epsilon", "epsilon")):
            explore = Exploration(kind, _SHARE, gate, np.random.default_rng([seed, 12]).random)
            regrets[name] = simulate(LiveBandit(live, dataset.data, f"{name}{added}", explore), rounds)
        facts = {"new users": len(rounds.query), "gate": gate, **{name: str(chosen[name]) for name in chosen}}
        for number in thumbs:
            policies = {
                name: {_METRIC: float(after_thumbs(values, rounds, number).mean())} for name, values in regrets.items()
            }
            found.append({"setting": setting + added, "k": number, "seed": seed, "metric": _METRIC,
                          "policies": policies, "blind": policies[BLIND][_METRIC],
                          "full": policies[INFORMED][_METRIC], "facts": facts})  # fmt: skip
    return found


class _Bandits:
    """Makes bandits with what the known users told."""

    def __init__(self, dataset: Dataset, train: Labelled):
        vectors = dataset.vectors.query.astype(np.float64)
        visible = vectors[dataset.world_query >= 0]
        _, _, components = np.linalg.svd(visible - visible.mean(0), full_matrices=False)
        self.vectors = (vectors - visible.mean(0)) @ components[:_COMPONENTS].T
        self.vectors /= self.vectors[dataset.world_query >= 0].std(0).max()
        self.warm = Warm(_likes(train.rewards), self.vectors[train.decisions.query])

    def one(self, name: str, users: int, seed: int, **settings: float) -> Bandit:
        """A bandit before any thumb of these users."""
        if name == "linucb":
            return LinUcb(self.warm, self.vectors, users, **settings)
        kind = {"beta_cells": BetaCells, "epsilon_greedy": EpsilonGreedy}[name]
        return kind(self.warm, users, rng=np.random.default_rng([seed, 13]), **settings)

    def tune(self, name: str, rounds: Rounds, seed: int) -> dict[str, float]:
        """The settings with the least regret."""
        users = len(rounds.query)
        return min(_settings(name), key=lambda one: simulate(self.one(name, users, seed, **one), rounds).sum())


def _settings(name: str) -> Iterable[dict[str, float]]:
    ranges: dict[str, dict[str, tuple[float, ...]]] = {
        "beta_cells": {"strength": _STRENGTHS},
        "epsilon_greedy": {"strength": _STRENGTHS, "epsilon": _EPSILONS},
        "linucb": {"alpha": _ALPHAS, "user_precision": _USER_PRECISIONS},
    }
    names = list(ranges[name])
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*ranges[name].values())]


def _likes(rewards: Float[np.ndarray, "decisions llms"]) -> Bool[np.ndarray, "decisions llms"]:
    """Whether a thumb on each answer would be up."""
    return rewards >= np.nanmax(rewards, 1, keepdims=True)


def _with_thumbs(dataset: Dataset, likes: np.ndarray, rng: np.random.Generator) -> Dataset:
    """Adds a thumb to each training decision, on an LLM that is drawn at random."""
    data = dataset.world.interactions
    decision, llm = np.arange(len(likes), dtype=np.int32), rng.integers(likes.shape[1], size=len(likes))
    kind, value = np.full(len(likes), THUMB, np.int8), likes[decision, llm].astype(np.float32)
    thumbs = Feedback(decision, kind, llm.astype(np.int32), value)
    data = data.replace(feedback=concatenate([data.feedback, thumbs]))
    return dataclasses.replace(dataset, world=dataclasses.replace(dataset.world, interactions=data))


def _rounds(labelled: Labelled, thumbs: int, share: float, users: int, rng: np.random.Generator) -> Rounds:
    known = ~np.isnan(labelled.rewards).any(1)
    decisions = labelled.decisions
    columns = (decisions.user[known], decisions.query[known], labelled.rewards[known])
    return draw_rounds(*columns, thumbs, share, users, rng)


def _informed_picks(trained: Trained, given: Dataset, rounds: Rounds) -> np.ndarray:
    """The router's picks with the histories of `given`, [users, rounds]."""
    scorer, (distinct, place) = trained.apply(given.world), np.unique(rounds.query, return_inverse=True)
    asked, order = prepare_queries(scorer, given, distinct)
    user = np.repeat(rounds.user, rounds.query.shape[1])
    return scorer.logits(scorer.users, asked, user, order[place.reshape(-1)]).argmax(1).reshape(rounds.query.shape)
