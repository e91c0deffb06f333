"""Tables of ablations: the default model and the network of arXiv 2511.16883 with changes, and gradient steps.

The names of the variants are part of the hashes of stored results and stay as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any

from prouter_jax.config import PARTS, ExperimentConfig
from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol.definition import ABLATION, Definition, Size, Unit, changed, to_arguments
from prouter_jax.evaluation.protocol.measure import EM, measure_gradients, measure_groups
from prouter_jax.evaluation.protocol.requirements import gain, settings
from prouter_jax.evaluation.protocol.tables.base import (
    SOME_USERS,
    by_seed,
    choices,
    required,
    seeds,
    some_users,
    unit,
    votes,
)

_DEFAULT = {
    "no liking of the crowd": {"model.population_mean": False},
    "no style": {"model.style": False},
    "no weights of LLMs": {"model.llm_weights": False},
    "no tastes": {"model.factor_dim": 0},
    "expected answers in place of shares": {"model.unseen_queries": "utility"},
    "no near texts": {"model.query_kernel.text": 0.0, "model.query_kernel.style": 0.0},
    "no tasks": {"model.query_kernel.task": 0.0},
    "half the rounds": {"train.num_train_steps": 8, "model.warmup_rounds": 2},
    "MiniLM texts": {"data.encoder": "minilm"},
    "the paper's network": {"model.preset": "paper"},
}
_PAPER = {
    **{f"without {part}": {"model.without": part} for part in PARTS},
    "one layer": {"model.message_passing_steps": 1},
    "three layers": {"model.message_passing_steps": 3},
    "bilinear head": {"model.head": "bilinear"},
    "the default network": {"model.preset": "em", "train.num_train_steps": 16, "train.eval_every_steps": 8},
}
# the trained numbers that a variant leaves at EM's values
_GROUPS = {
    "prior mean of EM": ("prior_shift",),
    "prior precision of EM": ("prior_scale",),
    "query kernel of EM": ("log_kernel",),
    "sharpness of EM": ("log_sharpness",),
    "no temperature": ("temperature",),
    "no similar users": ("similar_weight", "similar_sharpness", "similar_error"),
    "sharpness of similar users fixed": ("similar_sharpness",),
    "error of similar users fixed": ("similar_error",),
}

_NEW = "choices, new users"
_LEAST = {0: 0.010, 1: 0.014, 3: 0.015, 10: 0.012, 30: 0.011}  # fall of the log loss by k, in nats


def part_tables(size: Size) -> list[Definition]:
    """The definitions of the ablation tables."""
    paper = ExperimentConfig(name="paper")
    paper = changed(paper, {"model.preset": "paper", "train.num_train_steps": 300, "train.eval_every_steps": 25})
    small = changed(paper, {"train.num_train_steps": 20, "train.eval_every_steps": 10})
    return [
        Definition(
            "parts_default",
            "Ablation of the default model",
            f"Choices of {SOME_USERS} users on new queries; each variant is trained with default hyperparameters.",
            _units(size, "choices", some_users(size, choices(size)), _few(_DEFAULT) if size.small else _DEFAULT, 3),
            kind=ABLATION,
        ),
        Definition(
            "parts_paper",
            "Ablation of the network of the paper",
            'The embedded benchmark with 40 users and 8 LLMs; the preset "paper" (arXiv 2511.16883) and, for '
            "comparison, the default model.",
            _units(size, "embedded", small if size.small else paper, _few(_PAPER) if size.small else _PAPER, 3),
            kind=ABLATION,
        ),
    ]


def gradient_tables(size: Size) -> list[Definition]:
    """The definitions of the tables of preset "tuned": against EM, and without groups of the trained numbers."""
    of_choices = some_users(size, choices(size))
    new_users = {"data.split": "cold_user"}
    warm = {"data.split": "warm_query"}
    few = {**warm, "data.decisions_per_user": 20}
    groups = _few(_GROUPS) if size.small else _GROUPS
    units = (
        _gradient_units(size, measure_gradients, _NEW, of_choices, new_users, tuple(_LEAST), 5)
        + _gradient_units(size, measure_gradients, "choices, known users", of_choices, {}, (None,), 3)
        + _gradient_units(
            size, measure_gradients, "votes, new workers", votes(size), {"data.split": "warm_user"}, (0, 10), 3
        )
        + _gradient_units(size, measure_gradients, "choices, known queries", of_choices, warm, (None,), 2)
        + _gradient_units(size, measure_gradients, "choices, known queries, 20 decisions", of_choices, few, (None,), 2)
    )
    return [
        Definition(
            "gradients",
            "What gradient steps bring",
            f'Preset "tuned" (router) against the EM in the same training run: choices of {SOME_USERS} users on new '
            "and on known queries, and votes. k decisions of each new user are known. Temperature 1, no tuned "
            "settings. Scores are means over users. Intervals are over users, where the seeds in which a user is "
            "tested are one cluster. Accepted: in how many seeds the gate accepted the trained numbers; otherwise the "
            "router is EM.",
            by_seed(units),
            [
                required(f"k = {k}: the log loss falls by {least:.3f}", gain(least, EM, ks=(k,), where=settings(_NEW)))
                for k, least in _LEAST.items()
            ],
            kind=ABLATION,
        ),
        Definition(
            "ablation_gradients",
            "What each group of trained numbers brings",
            f"Choices of {SOME_USERS} users: gradient steps on top of one EM (router), and the same steps with a group "
            "of the trained numbers left at EM's values. k decisions of each new user are known. Validation users and "
            "queries, whatever the gate says. Temperature 1, no tuned settings. Scores are means over users. Intervals "
            "are over users, where the seeds in which a user is in validation are one cluster.",
            _gradient_units(size, measure_groups, _NEW, of_choices, new_users, (0, 3, 30), 5, groups=groups),
            kind=ABLATION,
        ),
    ]


def _few(variants: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(variants.items())[:2])


def _units(size: Size, setting: str, config: ExperimentConfig, variants, number: int) -> list[Unit]:
    arguments = {"setting": setting, "config": to_arguments(config), "variants": variants}
    return [unit(size, setting, measure.measure_parts, seed=seed, **arguments) for seed in seeds(size, number)]


def _gradient_units(
    size: Size,
    measured: Callable,
    setting: str,
    config: ExperimentConfig,
    changes: Mapping[str, Any],
    ks: tuple,
    number: int,
    **more,
) -> list[Unit]:
    few = {"train.tuning_steps": 4} if size.small else {}
    arguments = {
        "setting": setting,
        "config": to_arguments(changed(config, {"model.preset": "tuned", **changes, **few})),
        "ks": ks,
        **more,
    }
    return [unit(size, setting, measured, seed=seed, **arguments) for seed in seeds(size, number)]
