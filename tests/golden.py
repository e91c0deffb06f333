"""Golden values: what training and scoring compute, so that a change of structure can be seen to change no number.

Write them anew (only where a change of numbers is meant):  python tests/golden.py [--data=../shared/data]
It runs on one core. Without --data the values of alpaca_route stay as they are in golden.json.
"""

import argparse
import hashlib
import json
import os
import pathlib
import platform
import sys
import tempfile

# sums are added in another order by another number of threads: one core, so that the last bits are always the same
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.pop("XLA_FLAGS", None)
os.environ.pop("JAX_DISABLE_MOST_OPTIMIZATIONS", None)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax  # noqa: E402
import numpy as np  # noqa: E402

from experiments import alpaca_route, embedded, paper  # noqa: E402
from prouter_jax.config import ExperimentConfig  # noqa: E402
from prouter_jax.dataset import read_source  # noqa: E402
from prouter_jax.experiment import train_experiment  # noqa: E402
from prouter_jax.serving.router import Router  # noqa: E402

PATH = pathlib.Path(__file__).with_suffix(".json")
PAIRS = 100
SAMPLES = 8  # numbers of each parameter that are kept beside its digest


def configs(data: str | None) -> dict[str, ExperimentConfig]:
    """The runs by name; those of alpaca_route only where `data`, a folder of data sets, is given."""
    runs = {"embedded": embedded.get_config(), "embedded_paper": paper.get_config()}
    if data:
        path = str(pathlib.Path(data) / "alpaca_route")
        runs |= {"alpaca": alpaca_route.get_config(), "alpaca_paper": paper.get_config()}
        runs["alpaca_paper"].data = alpaca_route.get_config().data
        runs["alpaca"].data.path = runs["alpaca_paper"].data.path = path
    for config in runs.values():
        config.train.refit = False  # half of the pairs are of queries that training did not see
    return runs


def measure(config: ExperimentConfig) -> dict:
    """Trains, loads the router and scores 100 pairs: half known queries by id, half unseen texts; some new users."""
    source = read_source(config.data)
    with tempfile.TemporaryDirectory() as folder:
        train_experiment(config, folder)
        router = Router.load(folder)
    known = router.world.interactions
    trained_on = set(known.queries.ids.tolist())
    texts = [
        text
        for name, text in zip(source.interactions.queries.ids, source.interactions.queries.texts, strict=True)
        if name not in trained_on
    ]
    users = [
        f"new {row}" if row % 10 == 9 else str(known.users.ids[row % len(known.users.ids)]) for row in range(PAIRS)
    ]
    ids = [str(known.queries.ids[row * 5 % len(known.queries.ids)]) if row % 2 else None for row in range(PAIRS)]
    queries = [None if row % 2 else str(texts[row % len(texts)]) for row in range(PAIRS)]
    scores = router.score(users, queries, query_ids=ids)
    picked = [[llm, shares[llm]] for llm, shares in zip(scores.llm, scores.probabilities, strict=True)]
    everything = [shares[llm] for shares in scores.probabilities for llm in sorted(shares)]
    return {
        "parameters": {name: describe(leaf) for name, leaf in named_leaves(router.trained.params)},
        "scores": picked,
        "probabilities": hashlib.sha256(np.array(everything, np.float64).tobytes()).hexdigest(),
    }


def named_leaves(params: dict) -> list[tuple[str, np.ndarray]]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(leaf)) for path, leaf in leaves]


def describe(leaf: np.ndarray) -> dict:
    flat = leaf.reshape(-1)
    chosen = flat[:: max(1, len(flat) // SAMPLES)][:SAMPLES]
    return {
        "shape": list(leaf.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest(),
        "values": [float(value) for value in chosen],
    }


def machine() -> str:
    """What the last bits depend on: the processor, and the versions of what computes."""
    cpu = pathlib.Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.strip(): value.strip() for name, value in named.items()}
    flags = hashlib.sha256(named.get("flags", "").encode()).hexdigest()[:8]
    model = named.get("model name", platform.processor())
    return f"{platform.machine()}, {model}, flags {flags}, jax {jax.__version__}, numpy {np.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of data sets, with alpaca_route in it")
    parser.add_argument("--only", help="measure this run alone and print it as JSON; nothing is written")
    arguments = parser.parse_args()
    runs = configs(arguments.data)
    if arguments.only:
        json.dump({"machine": machine(), **measure(runs[arguments.only])}, sys.stdout)
        return
    kept = json.loads(PATH.read_text())["runs"] if PATH.exists() else {}
    values = {"machine": machine(), "runs": kept | {name: measure(config) for name, config in runs.items()}}
    PATH.write_text(json.dumps(values) + "\n")
    print(f"{PATH}: {', '.join(runs)}")


if __name__ == "__main__":
    main()
