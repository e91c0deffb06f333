"""Minibatches: an epoch over a million users, and the cost of a user against that among few users."""

import dataclasses
import resource
import time
from collections.abc import Iterator

import numpy as np

from ..config_flag import load_experiment
from .figures import Figure, Setting

_FEW = 10_000
_FEW_PASSES = 12  # enough steps for a median
_PARTS = 8  # of the long epoch: a figure each


def measure(setting: Setting) -> Iterator[Figure]:
    """Time of a user in passes over few and over all users, then memory and the share of time spent on input."""
    del setting  # an epoch takes minutes: its parts are the runs
    from prouter_jax.training.run import initial_state

    run, config = _run()
    batches = run.batches
    if batches is None:
        raise ValueError("experiments/million.py: expected an experiment in minibatches")
    few = _of_few(batches)
    state = _step(run, _step(run, initial_state(run, config.seed), few), batches)  # nothing is left to compile
    state, few_times, _ = _timed(run, state, few, _FEW_PASSES)
    per_few = [1e6 * seconds / _FEW for seconds in few_times]
    yield Figure("user_of_few", f"{_FEW:,} users: time of a user in an epoch", "us", per_few)
    state, parts, waited = _timed(run, state, batches, 1, _PARTS)
    users = batches.store.num_users
    decisions = len(batches.store.query) // users
    what = f"{users:,} users, {decisions} decisions each, {len(batches.world_query):,} queries"
    per_many = [1e6 * seconds * _PARTS / users for seconds in parts]
    yield Figure("user_of_many", f"{what}: time of a user in an epoch", "us", per_many)
    ratio = float(np.median(per_many) / np.median(per_few))
    yield Figure("users_ratio", f"the same over that among {_FEW:,} users", "times", [ratio], at_most=1.1)
    yield Figure("epoch", f"{what}: an epoch", "s", [sum(parts)])
    yield Figure("input_wait", "share of an epoch spent waiting for input", "%", [100 * waited], at_most=5.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    yield Figure("epoch_memory", f"{what}: peak memory of preparing and training", "GB", [peak], at_most=4.0)


def _run():
    from prouter_jax.dataset import prepare_dataset, read_source
    from prouter_jax.training.run import make_run

    config = load_experiment("million")
    dataset = prepare_dataset(read_source(config.data), config.data, seed=0)
    return make_run(config, dataset), config


def _of_few(batches):
    """Batches of the first `_FEW` users, no larger than these users need."""
    from prouter_jax.graph.build import whole_chunks

    store = dataclasses.replace(batches.store, users=batches.store.users[: _FEW + 1])
    return dataclasses.replace(batches, store=store, users=min(batches.users, whole_chunks(_FEW)))


def _step(run, state, batches):
    """The state after a step."""
    import jax

    from prouter_jax.data.batches import Input
    from prouter_jax.training.run import make_train_step

    batch = next(Input(batches, run.mesh, 0, 1))
    return make_train_step(run)(state, run.world, batch, jax.random.key(0))[0]


def _timed(run, state, batches, passes: int, parts: int = 1):
    """Seconds of each of `parts` of the passes, and the share of them spent waiting for input."""
    import jax

    from prouter_jax.data.batches import Input
    from prouter_jax.training.run import make_train_step

    step_fn, key, seconds, waited = make_train_step(run), jax.random.key(0), [], 0.0
    steps = batches.steps
    batch_input = Input(batches, run.mesh, 0, steps * passes)
    ends = [round(steps * part / parts) for part in range(1, parts + 1)]
    for _ in range(passes):
        done = 0
        for end in ends:
            begun = time.perf_counter()
            for _ in range(done, end):
                state, _ = step_fn(state, run.world, next(batch_input), key)
            jax.block_until_ready(state)
            # parts differ by a step: as if each had as many
            seconds.append((time.perf_counter() - begun) * steps / parts / (end - done))
            waited += batch_input.waiting()["input_wait"] / (passes * parts)
            done = end
    return state, seconds, waited
