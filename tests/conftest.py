"""What several test modules share: eight virtual devices, a tiny embedded data set and a router trained on it.

JAX reads the environment when it is first imported, so it is set here before anything imports it. Compiled code
is not optimised, and XLA's older emitters make it, in a third of the time: compilation is most of what these tests do.
Compilations are shared between tests of the same sizes, so tests that can use `prepared` and `network` as they are
should. OpenBLAS has one thread: its threads wait for each other without letting go of their cores, which two tests at
a time share. Python looks for garbage less often: JAX keeps what it traced, many objects that are none.
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import copy
import dataclasses
import gc
import pathlib
import subprocess
import tempfile
import typing

import jax
import numpy as np
import pytest
from bucket_server import Bucket, serve_bucket
from jax._src import lru_cache
from processes import adopt_orphans, ending_children

from prouter_jax.config import Embedded, ExperimentConfig, Model
from prouter_jax.data.interactions import (
    CHOICE,
    RATING,
    Decisions,
    Feedback,
    Interactions,
    Llms,
    Outcomes,
    Queries,
    Tasks,
    Users,
    strings,
)
from prouter_jax.data.rewards import DecisionArrays, build_decisions
from prouter_jax.dataset import Dataset, prepare_dataset, read_source
from prouter_jax.experiment import run_experiment
from prouter_jax.model.inference import Scorer
from prouter_jax.model.network import Architecture
from prouter_jax.training import run as train_module
from prouter_jax.training.loop import train
from prouter_jax.training.run import initial_state, make_run, make_train_step, restore_best
from prouter_jax.training.validation import run_scorer

gc.set_threshold(100_000)
_CONFIG = ExperimentConfig(name="tiny")
_CONFIG.data.encoder = "hash"
_CONFIG.data.embedded = Embedded(num_tasks=3, num_queries=100, num_llms=4, num_users=6, decisions_per_user=20)
_CONFIG.model = Model(preset="em", factor_dim=2, warmup_rounds=2)
_CONFIG.train.num_train_steps = 12
_CONFIG.train.eval_every_steps = 4
_CONFIG.train.refit = False


# Files whose slow tests take minutes, longest first: of one that is begun last, one core would do all the rest alone.
_LONGEST = (
    *("training/multi_process", "launch/compile", "evaluation/protocol/tables", "llm/collect_proofs", "launch/sweep"),
    *("serving/updates", "launch/xpk", "end_to_end", "evaluation/evaluate"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They come first; xdist gives files out in this order, if it is told not to make one of its own."""
    tests = pathlib.Path(__file__).parent
    place = {tests / f"{name}_test.py": number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


class Trained(typing.NamedTuple):
    """A finished run: its configuration, data, workdir and best parameters, and these applied to all training data."""

    config: ExperimentConfig
    dataset: Dataset
    workdir: pathlib.Path
    params: dict
    scorer: Scorer
    compilations: int


@pytest.fixture
def tiny_config() -> ExperimentConfig:
    """A configuration of the sizes of `prepared`, to be changed at will."""
    return copy.deepcopy(_CONFIG)


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    """The model of that configuration, not to be changed."""
    return copy.deepcopy(_CONFIG.model)


@pytest.fixture
def two_users() -> Interactions:
    """u likes b best and finds a so-so; v cannot tell b from c; v is offered b and c only."""
    unknown = np.full(3, np.nan)
    return Interactions(
        users=Users(strings("uv"), np.array([0.5, np.nan])),
        tasks=Tasks(strings(["math"]), strings(["Sums."])),
        queries=Queries(strings("xyz"), strings(["1+1", "2+2", "Hi"]), np.array([0, 0, -1])),
        llms=Llms(
            strings("abc"), strings(["", "f", "f"]), strings("ABC"), unknown, np.array([0, 1, 2.0]), strings("ppq")
        ),
        outcomes=Outcomes(
            np.array([0, 0, 1]), np.array([0, 2, 2]), np.array([1, 0, np.nan]), unknown, unknown, unknown
        ),
        offers=np.array([[True, True, True], [False, True, True]]),
        decisions=Decisions(
            strings(["d", "e"]),
            np.array([0, 1]),
            np.array([0, 1]),
            np.array([0, 1]),
            np.array([1, np.nan]),
            np.array([-1, 2], np.int32),
        ),
        feedback=Feedback(
            np.array([0, 0, 1, 1], np.int32),
            np.array([CHOICE, RATING, CHOICE, CHOICE], np.int8),
            np.array([1, 0, 1, 2], np.int32),
            np.array([1, 3, 0.5, 0.5], np.float32),
        ),
    )


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Six users with planted preferences who chose among four LLMs, each on queries of its own; cold queries."""
    return prepare_dataset(read_source(_CONFIG.data), _CONFIG.data, seed=0)


@pytest.fixture(scope="session")
def shared_dataset() -> Dataset:
    """The same queries and LLMs, six simulated users who all rate them all."""
    data = copy.deepcopy(_CONFIG.data)
    data.users, data.num_users, data.feedback = "multi_cost_efficiency", 6, "rating"
    return prepare_dataset(read_source(data), data, seed=0)


@pytest.fixture(scope="session")
def all_kinds(shared_dataset) -> DecisionArrays:
    """Those users' past: of each three decisions one is a choice, one is rated and one has thumbs."""
    data = shared_dataset.world.interactions
    decisions = build_decisions(data, np.arange(len(data.decisions.user)))
    turn = (np.arange(len(decisions.user)) % 3)[:, None]
    best = np.nan_to_num(decisions.rating, nan=-np.inf).argmax(1)[:, None] == np.arange(4)
    likes = (decisions.rating > np.nanmedian(decisions.rating)).astype(np.int8)
    return dataclasses.replace(
        decisions,
        target=((turn == 0) & best).astype(np.float32),
        rating=np.where(turn == 1, decisions.rating, np.nan),
        thumb=np.where((turn == 2) & ~np.isnan(decisions.rating), likes, -1).astype(np.int8),
    )


@pytest.fixture(scope="session")
def network(dataset) -> Architecture:
    return make_run(_CONFIG, dataset).network


@pytest.fixture(scope="session")
def params(dataset) -> dict:
    """Parameters of `network` with noise on all of them, so that none is zero and every path through it counts."""
    fresh = initial_state(make_run(_CONFIG, dataset), 0).params
    rng = np.random.default_rng(0)
    noisy = jax.tree.map(lambda x: np.asarray(x) + rng.normal(0, 0.2, x.shape).astype(np.float32), fresh)
    off = noisy["precision"] - fresh["precision"]
    return noisy | {"precision": np.asarray(fresh["precision"] + off @ off.T)}  # a precision is positive definite


@pytest.fixture(scope="session")
def trained(dataset, network, tmp_path_factory) -> Trained:
    config, workdir = copy.deepcopy(_CONFIG), tmp_path_factory.mktemp("trained")
    train_module.compiled_step.cache_clear()  # other tests may have compiled the step for other graphs
    train(config, dataset, workdir)
    run = make_run(config, dataset)
    compilations = make_train_step(run)._cache_size()
    params = restore_best(config, network, workdir).params
    return Trained(config, dataset, workdir, params, run_scorer(run, params, dataset), compilations)


@pytest.fixture(scope="session", autouse=True)
def caches(request, tmp_path_factory):
    """Cached vectors stay out of the home folder; what was compiled is kept for other processes and later runs."""
    compiled = str(request.config.rootpath / ".pytest_cache" / "compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PYTHONPATH", str(request.config.rootpath))  # launch, from any folder
        patch.setenv("JAX_COMPILATION_CACHE_DIR", compiled)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        patch.setattr(lru_cache.LRUCache, "put", _keep_compiled)
        jax.config.update("jax_compilation_cache_dir", compiled)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        yield


def _keep_compiled(self, key: str, value: bytes) -> None:
    """As `LRUCache.put` of JAX, which others may read while it writes: here a file is whole from the first."""
    path = pathlib.Path(str(self.path)) / f"{key}-cache"
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(value)
    os.replace(file.name, path)


@pytest.fixture(scope="session", autouse=True)
def _orphans():
    adopt_orphans()


@pytest.fixture(autouse=True)
def _no_process_is_left(request, monkeypatch, _orphans):
    """What a test starts ends with it.

    Slow tests kill processes at any moment, while they write what they compiled as well: that is not kept.
    """
    if request.node.get_closest_marker("slow"):
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", f"{os.environ['XDG_CACHE_HOME']}/compiled")
    with ending_children():
        yield


@pytest.fixture(scope="session")
def experiment() -> ExperimentConfig:
    """A whole experiment in a second or two once compiled, with ids like those of the embedded benchmark."""
    config = ExperimentConfig(name="tiny experiment")
    config.data.encoder = "hash"
    config.data.embedded = Embedded(num_tasks=5, num_queries=120, num_llms=8, num_users=12, decisions_per_user=25)
    config.model = Model(preset="em", factor_dim=2, warmup_rounds=2)
    config.train.num_train_steps = 12
    config.train.eval_every_steps = 4
    config.train.refit = False  # `training.refit_test` has it
    return config


@pytest.fixture(scope="session")
def experiment_workdir(experiment, tmp_path_factory) -> pathlib.Path:
    """`experiment` after launch.train, not to be changed: copy it first."""
    workdir = tmp_path_factory.mktemp("experiment") / "run"
    run_experiment(experiment, workdir)
    return workdir


@pytest.fixture(scope="session")
def served_bucket():
    """TensorStore asks once where buckets are, so there is one server for all tests."""
    with serve_bucket() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", url)
        yield


@pytest.fixture
def bucket(served_bucket) -> typing.Iterator[str]:
    """An empty bucket in memory."""
    yield "gs://bucket"
    Bucket.store.clear()


@pytest.fixture
def small_disk(tmp_path) -> typing.Iterator[pathlib.Path]:
    """A disk of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk needs the right to mount one: {error}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
