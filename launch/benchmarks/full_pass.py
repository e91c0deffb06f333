"""A pass over 1,000 users on alpaca_route: one training step, which reads every training decision once."""

import resource
import time
from collections.abc import Callable, Iterator

from .figures import Figure, Setting
from .routers import alpaca_config

_USERS = 1000


def measure(setting: Setting) -> Iterator[Figure]:
    """Time and memory of a pass, and its shares of the machine's bandwidth and float32 speed."""
    dataset, run = _run(setting, _USERS)
    seconds = take_steps(run, setting.runs + 1, time.perf_counter)
    # before anything else takes memory
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    rewards = len(dataset.parts.train) * len(dataset.data.llms.ids)
    what = f"1,000 users, {rewards:,} rewards"
    yield Figure("pass", f"{what}: a pass", "s", seconds[1:], at_most=0.5)
    yield Figure("pass_memory", f"{what}: peak memory of preparing and of all passes", "GB", [peak], at_most=1.0)
    yield Figure("pass_first", f"{what}: the first pass, compilation included", "s", seconds[:1])
    yield from _limits(what, run, seconds[1:])


def _limits(what: str, run, seconds: list[float]) -> Iterator[Figure]:
    from .machine import measure_bandwidth, measure_flops

    moved, done = _bytes_of_histories(run.world), _flops(run)
    of_memory, of_flops = moved / measure_bandwidth(), done / measure_flops()
    name = f"{what}: share of the memory's speed, of {moved / 1e6:.0f} MB of histories that a pass must read"
    yield Figure("pass_of_memory", name, "%", [100 * of_memory / time for time in seconds])
    name = f"{what}: share of the float32 speed of matrix products, of {done / 1e9:.2f} billion operations"
    yield Figure("pass_of_flops", name, "%", [100 * of_flops / time for time in seconds])


def take_steps(run, number: int, clock: Callable[[], float]) -> list[float]:
    """Takes steps on all users from a fresh state; returns the seconds of each by `clock`."""
    import jax

    from prouter_jax.training.run import initial_state, make_train_step

    step, state, key = make_train_step(run), initial_state(run, seed=0), jax.random.key(0)
    seconds = []
    for _ in range(number):
        begun = clock()
        state, _ = step(state, run.world, {}, key)
        jax.block_until_ready(state)
        seconds.append(clock() - begun)
    return seconds


def _run(setting: Setting, num_users: int):
    from prouter_jax.dataset import prepare_dataset, read_source
    from prouter_jax.training.run import make_run

    config = alpaca_config(setting, num_users)
    dataset = prepare_dataset(read_source(config.data), config.data, seed=0)
    return dataset, make_run(config, dataset)


def _bytes_of_histories(graph) -> int:
    """Bytes of the feedback and its visibility mask, each array once."""
    import jax

    from prouter_jax.graph.history import read_histories

    arrays = jax.tree.leaves((jax.eval_shape(read_histories, graph).feedback, graph.visibility.decisions))
    return sum(array.size * array.dtype.itemsize for array in arrays)


def _flops(run) -> float:
    """Floating-point operations of a pass, counted in its compiled program (cached)."""
    import jax

    from prouter_jax.aot.cost import read_work
    from prouter_jax.training.run import make_train_step

    compiled = make_train_step(run).lower(run.abstract, run.world, {}, jax.random.key(0)).compile()
    return read_work(compiled.as_text())[0].flops
