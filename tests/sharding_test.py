"""Devices change how fast a run is, not what it computes."""

import json
import math
import re

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from prouter_jax.aot.hlo import parse_module
from prouter_jax.aot.lower import make_programs
from prouter_jax.config import Mesh
from prouter_jax.data.batches import Input
from prouter_jax.sharding import DATA, EVERY, MODEL, make_mesh, place, shardings
from prouter_jax.training.loop import train
from prouter_jax.training.run import compiled_init, compiled_step, initial_state, make_run, make_train_step
from prouter_jax.training.step import EM

KIND = re.compile("(all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(-start)?")


def _losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return np.array([[line["loss"], line["validation_reward"]] for line in lines])


@pytest.mark.parametrize(
    "mesh", [Mesh(data=4, model=2), pytest.param(Mesh(data=8), marks=pytest.mark.slow)], ids=["4x2", "8x1"]
)
def test_a_run_on_many_devices_is_the_run_on_one(trained, tiny_config, tmp_path, mesh):
    """With six users, which neither eight nor four devices share evenly."""
    tiny_config.mesh = mesh
    train(tiny_config, trained.dataset, tmp_path)
    np.testing.assert_allclose(_losses(tmp_path), _losses(trained.workdir), rtol=1e-4)


@pytest.fixture
def call_any_queries_many(monkeypatch):
    def forget():
        for compiled in (compiled_init, compiled_step):
            compiled.cache_clear()

    def call():
        monkeypatch.setattr("prouter_jax.sharding._MANY_ANSWERS", 1)
        forget()

    yield call
    forget()


@pytest.mark.parametrize("most_gathered", [2**30, 0], ids=["gathered", "in a ring"])
def test_where_there_are_many_queries_each_device_has_a_part_of_them(
    tiny_config, dataset, tmp_path, call_any_queries_many, monkeypatch, most_gathered
):
    monkeypatch.setattr("prouter_jax.training.minibatch_em._MOST_GATHERED", most_gathered)
    monkeypatch.setattr("prouter_jax.training.minibatch_em._ANSWERS_AT_ONCE", 2**15 if most_gathered else 8)
    tiny_config.train.users_per_step, found = 4, []
    for mesh in (Mesh(), Mesh(data=2), Mesh(data=2, model=2)):
        tiny_config.mesh, workdir = mesh, tmp_path / f"{mesh.data}x{mesh.model}"
        workdir.mkdir()
        train(tiny_config, dataset, workdir)
        found.append(_losses(workdir))
        call_any_queries_many()
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4)
    run = make_run(tiny_config, dataset)
    statistics = run.abstract.opt_state.inner_states[EM].inner_state
    for x in (run.world.values, run.world.seen, run.abstract.params["latent_factors"], statistics.messages):
        assert x.sharding.spec == P(EVERY)
        assert x.sharding.shard_shape(x.shape)[0] * 4 == x.shape[0]


def _device_bytes(config, mesh):
    """Bytes of the arguments of a compiled step, and of its temporaries, on each device."""
    config.mesh, devices = mesh, make_mesh(mesh)
    step = next(program for program in make_programs(config, devices, 4096) if program.name == "train step")
    found = step.function.lower(*step.arguments).compile().memory_analysis()
    return np.array([found.argument_size_in_bytes, found.temp_size_in_bytes])


@pytest.mark.parametrize("users", [0, 64], ids=["all users", "minibatches"])
def test_the_model_axis_divides_what_a_device_holds(tiny_config, users, call_any_queries_many, monkeypatch):
    """Of 100,000 queries; the graph of all users is whole on every device, its tables of answers are not."""
    call_any_queries_many()
    monkeypatch.setattr("prouter_jax.training.minibatch_em._MOST_GATHERED", 0)
    tiny_config.train.users_per_step, tiny_config.data.embedded.num_queries = users, 100_000
    (held, work), (less_held, less_work) = (_device_bytes(tiny_config, mesh) for mesh in (Mesh(2), Mesh(2, 4)))
    assert less_work < 0.4 * work
    assert less_held < (0.4 * held if users else held)


def _specs(config, dataset):
    leaves = jax.tree_util.tree_leaves_with_path(make_run(config, dataset).abstract)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.sharding.spec for path, leaf in leaves}


def test_work_is_divided_by_users(tiny_config, dataset):
    tiny_config.mesh = Mesh(data=4, model=2)
    assert set(_specs(tiny_config, dataset).values()) == {P()}
    visible = make_run(tiny_config, dataset).world.visibility.decisions
    assert visible.sharding.spec == P(DATA)
    assert visible.sharding.shard_shape(visible.shape)[0] == 2


def _sent(config, dataset, users):
    """Elements of the results of all collectives of a step of the minibatches, and how many properties there are."""
    config.mesh, config.train.users_per_step = Mesh(data=2), users
    run = make_run(config, dataset)
    batch = next(Input(run.batches, run.mesh, 0, 1))
    step = make_train_step(run).lower(initial_state(run, 0), run.world, batch, jax.random.key(0))
    module = parse_module(step.compile().as_text())
    found = [x for _, x in module.instructions() if KIND.fullmatch(x.opcode)]
    return sum(math.prod(shape.dims) for x in found for shape in x.shapes), run.network.rounds.features.size


def test_devices_tell_each_other_sums_and_nothing_of_their_users(tiny_config, dataset):
    """But the states of some, which are kept; that the matrices of users stay where they are made is what is fast."""
    (few, size), (many, _) = (_sent(tiny_config, dataset, users) for users in (8, 16))
    assert few > 0
    assert many - few <= 3 * 8 * (size + 1)


def test_an_axis_that_does_not_divide_stays_whole():
    mesh = make_mesh(Mesh(data=1, model=2))
    state = {"params": {"message": {name: {"kernel": np.zeros((4, n))} for name, n in (("odd", 5), ("even", 6))}}}
    found = shardings(state, mesh)["params"]["message"]
    assert found["odd"]["kernel"].spec == P()
    assert found["even"]["kernel"].spec == P(None, MODEL)


def test_a_placed_graph_is_the_same_graph(dataset):
    graph = dataset.world.build_graph(shards=8)
    placed = place(graph, make_mesh(Mesh(data=8)))
    jax.tree.map(np.testing.assert_array_equal, graph, placed)
    assert placed.layout == graph.layout


def test_too_few_devices_are_an_error():
    with pytest.raises(ValueError, match=r"config\.mesh: expected at most 8 devices, found 16 x 2"):
        make_mesh(Mesh(data=16, model=2))


def test_a_process_without_a_device_of_the_mesh_is_an_error(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    found = r"config\.mesh: expected devices of all 2 processes, found 1 x 1 devices of 1; set config\.mesh\.data"
    with pytest.raises(ValueError, match=found):
        make_mesh(Mesh())
