"""Table for votes of real people between two answers: workers with training votes, and workers absent from training."""

from prouter_jax.evaluation.protocol import measure
from prouter_jax.evaluation.protocol.definition import Definition, Size, changed, to_arguments
from prouter_jax.evaluation.protocol.requirements import gain, gain_over_blind, score, settings
from prouter_jax.evaluation.protocol.tables.base import aim, required, seeds, split_units, tuning, unit, votes

_LOSS = "log_loss"
_KNOWN, _NEW = "votes held out", "new workers"


def tables(size: Size) -> list[Definition]:
    """The definitions of the table of votes."""
    config = votes(size)
    tuned = tuning(size, "votes", config, metric=_LOSS, trainings=10, seeds=2)
    new = changed(config, {"data.split": "warm_user"})
    ks = (0, 3) if size.small else (0, 3, 10, 30)
    arguments = {"setting": _NEW, "config": to_arguments(new), "metric": _LOSS, "tuning": tuned, "ks": ks}
    units = [unit(size, _NEW, measure.measure_new_users, seed=seed, **arguments) for seed in seeds(size, 10)]
    aims = {0: 0.79, 3: 0.80, 10: 0.81, 30: 0.83}
    return [
        Definition(
            "votes",
            "Votes of real people",
            "80 crowd workers vote between two of 50 LLMs on 13 prompts. Ties count in the log loss, not in the "
            "accuracy. The order in which the answers were shown is known. New workers are absent from training; k of "
            "their votes are known.",
            split_units(size, _KNOWN, config, tuned, 10, _LOSS) + units,
            (
                required("the log loss is not higher than any baseline's", gain(0)),
                required(
                    "new workers: the log loss is never above the blind score", gain_over_blind(0, where=settings(_NEW))
                ),
                aim("votes held out: accuracy at least 0.81", score(0.81, where=settings(_KNOWN)), "accuracy"),
                aim(
                    "new workers: accuracy at least 0.79, 0.80, 0.81, 0.83 at k = 0, 3, 10, 30",
                    score(aims, where=settings(_NEW)),
                    "accuracy",
                ),
            ),
        )
    ]
