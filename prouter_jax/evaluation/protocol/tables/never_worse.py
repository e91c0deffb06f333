"""Table of harm: the router is not worse than simple policies or than itself without history, and it is calibrated.

It is of preset "tuned", which users get by default, with default hyperparameters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol.definition import Definition, Requirement, Size, Unit, changed, to_arguments
from prouter_jax.evaluation.protocol.requirements import (
    gain,
    gain_over_blind,
    gain_over_setting,
    interval_above,
    never_falling,
    score,
    settings,
    share,
    within,
)
from prouter_jax.evaluation.protocol.tables.base import (
    SOME_USERS,
    aim,
    by_seed,
    choices,
    costs,
    data_set,
    required,
    seeds,
    some_users,
    split_units,
    tuning,
    unit,
    votes,
)

_CHOICES, _UNSEEN = "choices, histories on known queries", "choices, histories on unseen queries"
_COSTS, _JUDGES = "multi-cost-efficiency", "judges who agree"
_WORKERS, _PAIRS = "votes of new workers", "pairs of answers"
_KS = (1, 3, 10, 30)
_LOSS, _ACCURACY, _WORSE = "log_loss", "accuracy", "worse"
_PERSONAL = "personal_bradley_terry"
# baselines of each kind of feedback that a practitioner would write, or that were ahead elsewhere
_OF_CHOICES = (
    *("smoothed_favourite", "empirical_bayes", "kernel_ridge", "factorisation"),
    *("agreeing_users", "factorisation_kernel", "implicit_als"),
)
_OF_COSTS = ("smoothed_favourite", "smoothed_user_task", "empirical_bayes")
_OF_VOTES = ("bradley_terry", "bradley_terry_task", "factorisation", _PERSONAL)
_OF_PAIRS = ("bradley_terry", "bradley_terry_task", "ridge", "kernel_ridge")
_CAPTION = (
    'Preset "tuned", which users get by default, with default hyperparameters; baselines are tuned with 20 '
    f"configurations. Choices: new users among {SOME_USERS} choose among 10 answers, and k of their choices are known, "
    "on training queries or on a quarter of these that is held out of training. Multi-cost-efficiency: new users among "
    f"{SOME_USERS} weigh quality against cost. Judges who agree: 20 of 65 judges of MT-Bench's answers are held out, "
    "k of their votes are known. Votes of new workers: as in the table of votes. Pairs of answers: RouteProfile's "
    "training pairs, one answer of each graded better, one user; scores are those of pairs held out. On few votes the "
    "ECE of true probabilities is above 0.02 as well, see ECE by chance. Harm by new LLMs, and cost users on known "
    "queries, are in the tables about these."
)


def never_worse_tables(size: Size) -> list[Definition]:
    """The definition of the table."""
    units = by_seed([*_choice_units(size), *_cost_units(size), *_vote_units(size), *_pair_units(size)])
    requirements = [*_of_choices(), *_of_unseen_queries(), *_of_probabilities(), *_of_others()]
    return [Definition("never_worse", "Never worse than simple policies", _CAPTION, units, requirements)]


def _choice_units(size: Size) -> list[Unit]:
    config = _default(size, some_users(size, choices(size)))
    tuned = tuning(size, "never_worse_choices", config, policies=_OF_CHOICES)
    new = changed(config, {"data.split": "cold_user"})
    unseen = changed(new, {"data.history": "unseen"})
    return [
        *_new_users(size, _CHOICES, new, tuned, (0, *_KS), 5),
        *_new_users(size, _UNSEEN, unseen, tuned, (0, *_KS), 5),
    ]


def _cost_units(size: Size) -> list[Unit]:
    config = _default(size, costs(size, "alpaca_route", SOME_USERS, {"data.pool": "core"}))
    tuned = tuning(size, "never_worse_costs", config, policies=_OF_COSTS)
    return _new_users(size, _COSTS, changed(config, {"data.split": "cold_user"}), tuned, (0, *_KS), 5)


def _vote_units(size: Size) -> list[Unit]:
    """Judges who mostly agree, and workers who do not."""
    # 0.6 and 0.1 of 65 judges leave 20 for the test, 18 of them with 40 votes or more
    shares = {"data.train_share": 0.6, "data.validation_share": 0.1}
    judges = _default(size, data_set(size, "mtbench_votes", {"data.split": "warm_query", **shares}))
    units = []
    for name, setting, config, ks, number in (
        ("judges", _JUDGES, judges, (0, 3, 10, 20), 5),
        ("workers", _WORKERS, _default(size, votes(size)), (0, 3, 10, 30), 10),
    ):
        tuned = tuning(size, f"never_worse_{name}", config, metric=_LOSS, seeds=2, policies=_OF_VOTES)
        new = changed(config, {"data.split": "warm_user"})
        units += _new_users(size, setting, new, tuned, ks, number, _LOSS)
    return units


def _pair_units(size: Size) -> list[Unit]:
    config = _default(size, data_set(size, "routeprofile_pairs", {}))
    tuned = tuning(size, "never_worse_pairs", config, policies=_OF_PAIRS)
    return split_units(size, _PAIRS, config, tuned, 5, _ACCURACY)


def _default(size: Size, config: ExperimentConfig) -> ExperimentConfig:
    return changed(config, {"model.preset": "tuned", **({"train.tuning_steps": 4} if size.small else {})})


def _new_users(
    size: Size,
    setting: str,
    config: ExperimentConfig,
    tuned: Mapping[str, Any],
    ks: Sequence[int],
    number: int,
    metric: str = "reward",
) -> list[Unit]:
    arguments = {"setting": setting, "config": to_arguments(config), "metric": metric, "tuning": tuned,
                 "ks": (0, 3) if size.small else ks}  # fmt: skip
    return [unit(size, setting, measure.measure_new_users, seed=seed, **arguments) for seed in seeds(size, number)]


def _of_choices() -> list[Requirement]:
    chosen, both = settings(_CHOICES), settings(_CHOICES, _COSTS)
    shares = {1: 0.10, 3: 0.45, 10: 0.75, 30: 0.92}
    return [
        required(
            "choices: the log loss is below every baseline's at k = 1, 3, 10, 30", gain(0, ks=_KS, where=chosen), _LOSS
        ),
        required(
            "choices: the interval of the gain in log loss over every baseline is above 0 at k = 3 and 10",
            interval_above(0, ks=(3, 10), where=chosen),
            _LOSS,
        ),
        required(
            "choices: the accuracy is not below any baseline's at k = 1, 3, 10, 30", gain(0, ks=_KS, where=chosen)
        ),
        required("choices and costs: never below the blind score", gain_over_blind(0, where=both)),
        aim(
            "choices: the share recovered at k = 1, 3, 10, 30 is at least 0.10, 0.45, 0.75, 0.92",
            share(shares, where=chosen),
        ),
        aim(
            "choices and costs: at k = 1 the interval of the gain over the blind router is above 0",
            interval_above(0, "user_blind", ks=(1,), where=both),
        ),
    ]


def _of_unseen_queries() -> list[Requirement]:
    where, others = settings(_UNSEEN), "empirical_bayes"
    gains = [
        required(
            f"histories on unseen queries, k = {k}: the accuracy exceeds empirical Bayes by {least}",
            gain(least, others, ks=(k,), where=settings(_UNSEEN, least_k=k)),
        )
        for k, least in ((3, 0.004), (10, 0.008), (30, 0.008))
    ]
    return [
        *gains,
        required(
            "histories on unseen queries: the interval of this gain is above 0 at k = 10 and 30",
            interval_above(0, others, ks=(10, 30), where=where),
        ),
        required(
            "histories on unseen queries: the accuracy is at most 0.008 below that of histories on known queries at "
            "k = 3, 10, 30",
            gain_over_setting(-0.008, _CHOICES, ks=(3, 10, 30), where=where),
        ),
        aim(
            "histories on unseen queries: the accuracy is that of histories on known queries at k = 3, 10, 30",
            gain_over_setting(0, _CHOICES, ks=(3, 10, 30), where=where),
        ),
    ]


def _of_probabilities() -> list[Requirement]:
    calibrated = settings(_CHOICES, _UNSEEN, _JUDGES, _WORKERS)
    with_history = settings(_CHOICES, _UNSEEN, _COSTS, _JUDGES, _WORKERS, least_k=3)
    return [
        required(
            "at k >= 3, at most 5 % of users do worse than without history", score(0.05, where=with_history), _WORSE
        ),
        aim("at k >= 3, at most 2 % of users do worse than without history", score(0.02, where=with_history), _WORSE),
        required("choices and votes: the ECE is at most 0.02 at every k", score(0.02, where=calibrated), "calibration"),
        aim("choices and votes: the ECE is at most 0.01 at every k", score(0.01, where=calibrated), "calibration"),
        required(
            "choices and votes: the slope of the logits is 0.9 to 1.1 at every k",
            within(0.9, 1.1, where=calibrated),
            "slope",
        ),
    ]


def _of_others() -> list[Requirement]:
    judges, workers, pairs = settings(_JUDGES), settings(_WORKERS), settings(_PAIRS)
    return [
        required(
            "judges who agree: the log loss is at most 0.003 above that of Bradley-Terry at every k",
            gain(-0.003, "bradley_terry", where=judges),
        ),
        required("judges who agree: the accuracy never falls with k", never_falling(where=judges), _ACCURACY),
        aim(
            "judges who agree: the log loss is below that of Bradley-Terry at every k",
            gain(0, "bradley_terry", where=judges),
        ),
        required(
            "new workers: the log loss is below that of personal Bradley-Terry at every k",
            gain(0, _PERSONAL, where=workers),
        ),
        aim("new workers: it is below by 0.01 at every k", gain(0.01, _PERSONAL, where=workers)),
        required("pairs of answers: the better answer is found in 0.74 of the pairs", score(0.74, where=pairs)),
        aim("pairs of answers: it is found in 0.76 of them", score(0.76, where=pairs)),
    ]
