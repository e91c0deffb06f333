"""A round of the default network, with all answer features: many users, or many LLMs; users share their queries."""

import resource
import time
from collections.abc import Iterator

from .figures import Figure, Setting
from .full_pass import take_steps

_QUERIES, _LLMS, _FEW_USERS = 1000, 300, 40


def measure(setting: Setting) -> Iterator[Figure]:
    """CPU time and memory of a round; the round of many users first, whose memory is the smaller."""
    for key, what, config in (("users", "1,000 users", _of_users(setting)), ("llms", "300 LLMs", _of_llms())):
        yield from _round(key, f"the default network, {what}", config, setting.runs)


def _of_users(setting: Setting):
    """All of alpaca_route's rewards for 1,000 users."""
    from prouter_jax.config import Model

    from .routers import alpaca_config

    config = alpaca_config(setting, 1000)
    config.model = Model(preset="em")  # a step of preset "tuned" has four rounds
    return config


def _of_llms():
    """40 users who choose among 300 LLMs, on 1,000 queries."""
    from prouter_jax.config import Embedded, ExperimentConfig

    config = ExperimentConfig(name="many LLMs")
    config.data.encoder = "hash"
    config.data.embedded = Embedded(num_tasks=5, num_queries=_QUERIES, num_llms=_LLMS)
    config.model.preset = "em"
    config.data.users, config.data.num_users = "multi_cost_efficiency", _FEW_USERS
    return config


def _round(key: str, what: str, config, runs: int) -> Iterator[Figure]:
    from prouter_jax.dataset import prepare_dataset, read_source
    from prouter_jax.training.run import make_run

    dataset = prepare_dataset(read_source(config.data), config.data, seed=0)
    run, before = make_run(config, dataset), _peak()
    seconds = take_steps(run, runs + 1, time.process_time)
    yield Figure(f"round_{key}", f"{what}: CPU time of a round", "s", seconds[1:], at_most=0.5)
    yield Figure(f"round_{key}_memory", f"{what}: peak memory of all rounds", "GB", [_peak()], at_most=1.0)
    yield Figure(f"round_{key}_prepared", f"{what}: peak memory of preparing", "GB", [before])
    yield Figure(f"round_{key}_first", f"{what}: CPU time of the first round, with compilation", "s", seconds[:1])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
