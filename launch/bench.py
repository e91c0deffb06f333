"""Measures what README promises: `make bench`, or python -m launch.bench --data=../shared/data.

Every figure is the median of several runs with the lowest and the highest; each kind of work is timed
in a process of its own, so that its peak memory is its own.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from absl import flags

from launch import entry

_DATA = flags.DEFINE_string("data", "../shared/data", "Folder that holds alpaca_route.")
_RUNS = flags.DEFINE_integer("runs", 5, "How often each work is timed.", lower_bound=1)
_ONLY = flags.DEFINE_enum("only", None, ["start", "pass", "pairs", "texts"], "Measure only this.")


def main() -> None:
    works = {"start": _start_to_report, "pass": _one_pass, "pairs": _pairs, "texts": _texts}
    if _ONLY.value:
        works[_ONLY.value]()
        return
    for work in works:
        arguments = [f"--only={work}", f"--data={_DATA.value}", f"--runs={_RUNS.value}"]
        subprocess.run([sys.executable, "-m", "launch.bench", *arguments], check=True)


def _start_to_report() -> None:
    """One seed on 9 users, a new process each time, compilation included."""
    seconds = []
    for _ in range(min(_RUNS.value, 3)):
        with tempfile.TemporaryDirectory() as workdir:
            command = [sys.executable, "-m", "launch.train", "--config=experiments/alpaca_route.py"]
            command += [f"--workdir={workdir}/run", f"--config.data.path={_DATA.value}/alpaca_route"]
            begun = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - begun)
    _say("9 users, one seed, from start to report", seconds, "s")


def _one_pass() -> None:
    """1,000 users on alpaca_route: a round of messages, in which every training decision is read once."""
    import jax

    from prouter_jax.prepare import prepare, read_source
    from prouter_jax.train import initial_state, make_run, make_train_step

    config = _alpaca(num_users=1000)
    prepared = prepare(read_source(config.data), config.data, seed=0)
    run = make_run(config, prepared)
    step, state, key = make_train_step(run), initial_state(run, seed=0), jax.random.key(0)
    seconds = []
    for _ in range(_RUNS.value + 1):
        begun = time.perf_counter()
        state, _ = step(state, run.graph, {}, key)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - begun)
    rewards = len(prepared.parts.train) * len(prepared.data.llms.ids)
    print(f"1,000 users: {rewards:,} rewards, the first pass with compilation {seconds[0]:.1f} s")
    _say("1,000 users, one pass", seconds[1:], "s")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def _pairs() -> None:
    """Scoring a Parquet file of known users and known queries."""
    import numpy as np

    router, _ = _quick_router()
    rng = np.random.default_rng(0)
    known = list(router.world.interactions.queries.ids)
    pairs = {"user_id": rng.choice(list(router.known.users.ids), 500_000), "query_id": rng.choice(known, 500_000)}
    _say("pairs from stored vectors, Parquet to Parquet", _score_rates(router, pairs), "pairs/s")


def _texts() -> None:
    """Scoring texts, each different and none seen before, as long as alpaca_route's."""
    import numpy as np

    router, queries = _quick_router()
    texts = [f"{text} ({copy})" for copy in range(20) for text in queries]
    users = np.random.default_rng(0).choice(list(router.known.users.ids), len(texts))
    rates = _score_rates(router, {"user_id": users, "query": texts})
    _say(f"{len(texts)} different raw texts, Parquet to Parquet", rates, "texts/s")


def _alpaca(num_users: int):
    from experiments import alpaca_route

    config = alpaca_route.get_config()
    config.data.path = os.path.join(_DATA.value, "alpaca_route")
    config.data.num_users = num_users
    return config


def _quick_router():
    """A router of 9 users after few steps, and all texts: its speed does not depend on how well it was trained."""
    from prouter_jax.experiment import run_experiment
    from prouter_jax.prepare import read_source
    from prouter_jax.router import Router

    config = _alpaca(num_users=9)
    config.train.num_train_steps, config.train.eval_every_steps = 2, 2
    with tempfile.TemporaryDirectory() as workdir:
        run_experiment(config, workdir)
        return Router.load(workdir), list(read_source(config.data).interactions.queries.texts)


def _score_rates(router, columns: dict) -> list[float]:
    """Rows a second of scoring a file, once for each run; what was remembered of texts is forgotten between."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from prouter_jax.offline.score import score_file

    rates = []
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.table(columns), f"{folder}/pairs.parquet")
        for _ in range(_RUNS.value + 1):
            router.forget_texts()
            begun = time.perf_counter()
            counts = score_file(router.score_columns, f"{folder}/pairs.parquet", f"{folder}/scored.parquet")
            rates.append(counts.rows / (time.perf_counter() - begun))
    return rates[1:]


def _say(what: str, values: list[float], unit: str) -> None:
    digits = 2 if max(values) < 100 else 0
    median, low, high = (f"{x:,.{digits}f}" for x in (statistics.median(values), min(values), max(values)))
    print(f"{what}: {median} {unit} (median of {len(values)}, {low} to {high})", flush=True)


if __name__ == "__main__":
    entry.start(main)
