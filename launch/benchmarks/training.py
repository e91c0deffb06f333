"""Training steps: a pass over 1,000 users, rounds of the default network, and epochs over a million users."""

import dataclasses
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from ..config_flag import load_experiment
from .figures import Figure, Setting, peak_memory
from .scoring import alpaca_config

_USERS = 1000  # of a pass
_QUERIES, _LLMS, _FEW_USERS = 1000, 300, 40
_FEW = 10_000  # users of an epoch that is compared
_FEW_PASSES = 12  # enough steps for a median
_PARTS = 8  # of the long epoch: a figure each
_SIDE = 2048  # of the matrices: large enough that a product is limited by arithmetic, not by memory
_BYTES = 1 << 28  # far more than the caches of a processor hold
_RUNS = 10  # at most
_SECONDS = 0.4  # no run starts after this time


def measure_full_pass(setting: Setting) -> Iterator[Figure]:
    """Time and memory of a pass, and its shares of the machine's bandwidth and float32 speed."""
    dataset, run = _prepare(alpaca_config(setting, _USERS))
    seconds = take_steps(run, setting.runs + 1, time.perf_counter)
    # before anything else takes memory
    peak = peak_memory()
    rewards = len(dataset.parts.train) * len(dataset.data.llms.ids)
    what = f"1,000 users, {rewards:,} rewards"
    yield Figure("pass", f"{what}: a pass", "s", seconds[1:], at_most=0.5)
    yield Figure("pass_memory", f"{what}: peak memory of preparing and of all passes", "GB", [peak], at_most=1.0)
    yield Figure("pass_first", f"{what}: the first pass, compilation included", "s", seconds[:1])
    yield from _limits(what, run, seconds[1:])


def take_steps(run, number: int, clock: Callable[[], float]) -> list[float]:
    """Takes steps on all users from a fresh state; returns the seconds of each by `clock`."""
    from prouter_jax.training.run import initial_state, make_train_step

    step, state, key = make_train_step(run), initial_state(run, seed=0), jax.random.key(0)
    seconds = []
    for _ in range(number):
        begun = clock()
        state, _ = step(state, run.world, {}, key)
        jax.block_until_ready(state)
        seconds.append(clock() - begun)
    return seconds


def measure_default_network(setting: Setting) -> Iterator[Figure]:
    """CPU time and memory of a round; the round of many users first, whose memory is the smaller."""
    for key, what, config in (("users", "1,000 users", _of_users(setting)), ("llms", "300 LLMs", _of_llms())):
        yield from _round(key, f"the default network, {what}", config, setting.runs)


def measure_epochs(setting: Setting) -> Iterator[Figure]:
    """Time of a user in passes over few and over all users, then memory and the share of time spent on input."""
    del setting  # an epoch takes minutes: its parts are the runs
    from prouter_jax.training.run import initial_state

    config = load_experiment("million")
    dataset, run = _prepare(config)
    batches = run.batches
    if batches is None:
        raise ValueError("experiments/million.py: expected an experiment in minibatches")
    few = _of_few(batches)
    # nothing is left to compile after these
    state = _take_step(run, _take_step(run, initial_state(run, config.seed), few), batches)
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
    tuned = _tune(run, state, config, dataset)
    yield Figure("gradient_steps", f"{what}: gradient steps after EM, and their gate", "s", [tuned])
    yield Figure("input_wait", "share of an epoch spent waiting for input", "%", [100 * waited], at_most=5.0)
    peak = peak_memory()
    yield Figure("epoch_memory", f"{what}: peak memory of preparing and training", "GB", [peak], at_most=4.0)


def measure_flops() -> float:
    """Peak float32 operations per second: products of matrices on all cores of the default device."""
    matrix = jnp.ones((_SIDE, _SIDE), jnp.float32)
    return 2 * _SIDE**3 / _fastest(jax.jit(jnp.matmul), matrix, matrix)


def measure_bandwidth() -> float:
    """Peak bytes per second read from the memory of the default device by all its cores."""
    values = jnp.ones(_BYTES // 4, jnp.float32)
    return _BYTES / _fastest(jax.jit(jnp.sum), values)


def _limits(what: str, run, seconds: list[float]) -> Iterator[Figure]:
    moved, done = _bytes_of_histories(run.world), _flops(run)
    of_memory, of_flops = moved / measure_bandwidth(), done / measure_flops()
    name = f"{what}: share of the memory's speed, of {moved / 1e6:.0f} MB of histories that a pass must read"
    yield Figure("pass_of_memory", name, "%", [100 * of_memory / time for time in seconds])
    name = f"{what}: share of the float32 speed of matrix products, of {done / 1e9:.2f} billion operations"
    yield Figure("pass_of_flops", name, "%", [100 * of_flops / time for time in seconds])


def _prepare(config):
    """The data set and the run of an experiment."""
    from prouter_jax.dataset import prepare_dataset, read_source
    from prouter_jax.training.run import make_run

    dataset = prepare_dataset(read_source(config.data), config.data, seed=0)
    return dataset, make_run(config, dataset)


def _tune(run, state, config, dataset) -> float:
    """Seconds of all that preset "tuned" does after EM, compilation included."""
    from prouter_jax.sharding import to_host
    from prouter_jax.training import tuning
    from prouter_jax.training.gate import judge
    from prouter_jax.training.run import compiled_tuning_step

    begun, params = time.perf_counter(), to_host(state.params)
    episodes = tuning.make_episodes(config, dataset)
    params |= tuning.read_known_users(run.network, params, run.here, dataset, episodes.users)
    world = tuning.make_tuning_world(run.network, params, state.opt_state.folds, run.here, dataset)
    step, batches = compiled_tuning_step(run.network, run.recipe, run.mesh), tuning.EpisodeInput(episodes, 0)
    for _ in range(config.train.tuning_steps):
        state, _ = step(state, world, next(batches), jax.random.key(0))
    judge(run.network, to_host(state.params), world, episodes)
    return time.perf_counter() - begun


def _bytes_of_histories(graph) -> int:
    """Bytes of the feedback and its visibility mask, each array once."""
    from prouter_jax.graph.history import read_histories

    arrays = jax.tree.leaves((jax.eval_shape(read_histories, graph).feedback, graph.visibility.decisions))
    return sum(array.size * array.dtype.itemsize for array in arrays)


def _flops(run) -> float:
    """Floating-point operations of a pass, counted in its compiled program (cached)."""
    from prouter_jax.aot.cost import read_work
    from prouter_jax.training.run import make_train_step

    compiled = make_train_step(run).lower(run.abstract, run.world, {}, jax.random.key(0)).compile()
    return read_work(compiled.as_text())[0].flops


def _of_users(setting: Setting):
    """All of alpaca_route's rewards for 1,000 users."""
    from prouter_jax.config import Model

    from .scoring import alpaca_config

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
    _, run = _prepare(config)
    before = peak_memory()
    seconds = take_steps(run, runs + 1, time.process_time)
    yield Figure(f"round_{key}", f"{what}: CPU time of a round", "s", seconds[1:], at_most=0.5)
    yield Figure(f"round_{key}_memory", f"{what}: peak memory of all rounds", "GB", [peak_memory()], at_most=1.0)
    yield Figure(f"round_{key}_prepared", f"{what}: peak memory of preparing", "GB", [before])
    yield Figure(f"round_{key}_first", f"{what}: CPU time of the first round, with compilation", "s", seconds[:1])


def _of_few(batches):
    """Batches of the first `_FEW` users, no larger than these users need."""
    from prouter_jax.graph.build import whole_chunks

    store = dataclasses.replace(batches.store, users=batches.store.users[: _FEW + 1])
    return dataclasses.replace(batches, store=store, users=min(batches.users, whole_chunks(_FEW)))


def _take_step(run, state, batches):
    """The state after a step."""
    from prouter_jax.data.batches import Input
    from prouter_jax.training.run import make_train_step

    batch = next(Input(batches, run.mesh, 0, 1))
    return make_train_step(run)(state, run.world, batch, jax.random.key(0))[0]


def _timed(run, state, batches, passes: int, parts: int = 1):
    """Seconds of each of `parts` of the passes, and the share of them spent waiting for input."""
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


def _fastest(function: Callable, *arguments: jax.Array) -> float:
    """Seconds of the fastest run: other work of the machine makes runs longer, never shorter."""
    jax.block_until_ready(function(*arguments))
    seconds = []
    while len(seconds) < _RUNS and sum(seconds) < _SECONDS:
        begun = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
