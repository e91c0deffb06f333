"""The programs of a run have the shapes and places of the run itself, for any number of users."""

import jax
import pytest

from prouter_jax.aot.compiled import shape_bytes
from prouter_jax.aot.lower import make_programs
from prouter_jax.config import USERS_AT_ONCE
from prouter_jax.data.batches import Input
from prouter_jax.sharding import make_mesh, to_host
from prouter_jax.training.run import initial_state, make_run
from prouter_jax.training.tuning import make_episodes, make_tuning_world


@pytest.mark.parametrize("preset", ["em", "paper"])
def test_shapes_are_those_of_the_run(tiny_config, dataset, preset):
    tiny_config.model.preset, tiny_config.mesh.data = preset, 2
    step, score = make_programs(tiny_config, make_mesh(tiny_config.mesh))
    run = make_run(tiny_config, dataset)
    state, graph, batch, key = step.arguments
    assert batch == {}
    assert (step.users, step.calls) == (run.world.layout.users, 1 if preset == "em" else 2)
    assert (score.users, score.calls) == (step.users, 0)
    for wanted, found in ((run.world, graph), (initial_state(run, 0), state), (jax.random.key(0), key)):
        for one, other in zip(jax.tree.leaves(wanted), jax.tree.leaves(found), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert graph.layout == run.world.layout
    assert graph.visibility.decisions.sharding == run.world.visibility.decisions.sharding
    jax.eval_shape(score.function, *score.arguments)


@pytest.mark.parametrize("preset", ["em", "paper"])
def test_shapes_of_minibatches_are_those_of_the_run(tiny_config, dataset, preset):
    tiny_config.model.preset, tiny_config.mesh.data, tiny_config.train.users_per_step = preset, 2, 4
    step, _ = make_programs(tiny_config, make_mesh(tiny_config.mesh), users=1000)
    assert (step.users, step.calls) == (4, 250)
    run = make_run(tiny_config, dataset)
    batch = next(Input(run.batches, run.mesh, 0, 1))
    for wanted, found in ((run.world, step.arguments[1]), (initial_state(run, 0), step.arguments[0])):
        for one, other in zip(jax.tree.leaves(wanted), jax.tree.leaves(found), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert {name: (x.shape, x.dtype, x.sharding) for name, x in batch.items()} == {
        name: (x.shape, x.dtype, x.sharding) for name, x in step.arguments[2].items()
    }
    new, _ = jax.eval_shape(step.function, *step.arguments)
    assert jax.tree.map(lambda x: x.shape, new) == jax.tree.map(lambda x: x.shape, step.arguments[0])


def test_shapes_of_a_gradient_step_are_those_of_the_run(tiny_config, dataset):
    tiny_config.model.preset, tiny_config.mesh.data = "tuned", 2
    step, gradient, _ = make_programs(tiny_config, make_mesh(tiny_config.mesh))
    assert (step.name, gradient.name, gradient.calls) == ("train step", "gradient step", 0)
    run = make_run(tiny_config, dataset)
    state = initial_state(run, 0)
    episodes = make_episodes(tiny_config, dataset)
    world = make_tuning_world(run.network, to_host(state.params), to_host(state.opt_state.folds), run.here, dataset)
    for wanted, found in zip((state, world, episodes.rows(1, 0)), gradient.arguments, strict=False):
        for one, other in zip(jax.tree.leaves(wanted), jax.tree.leaves(found), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert gradient.users == len(gradient.arguments[2]["user"])
    new, _ = jax.eval_shape(gradient.function, *gradient.arguments)
    assert jax.tree.map(lambda x: x.shape, new) == jax.tree.map(lambda x: x.shape, state)


@pytest.mark.parametrize(("users", "steps"), [(6, []), (128, ["gradient step"])])
def test_minibatches_of_enough_users_have_a_gradient_step(tiny_config, users, steps):
    tiny_config.model.preset, tiny_config.train.users_per_step = "tuned", 4
    tiny_config.data.embedded.num_users = users
    programs = make_programs(tiny_config, make_mesh(tiny_config.mesh))
    assert [program.name for program in programs] == ["train step", *steps, "score step"]
    jax.eval_shape(programs[-2].function, *programs[-2].arguments)


def test_more_queries_of_the_embedded_benchmark_are_a_larger_world(tiny_config, monkeypatch):
    monkeypatch.setattr("prouter_jax.aot.lower._ENOUGH_QUERIES", 50)
    tiny_config.train.users_per_step = 4
    grown = make_programs(tiny_config, make_mesh(tiny_config.mesh))[0]
    monkeypatch.setattr("prouter_jax.aot.lower._ENOUGH_QUERIES", 500)
    whole = make_programs(tiny_config, make_mesh(tiny_config.mesh))[0]
    for found, expected in zip(*(program.arguments[1].values.shape for program in (grown, whole)), strict=True):
        assert found == pytest.approx(expected, rel=0.1)
    jax.eval_shape(grown.function, *grown.arguments)


def test_more_queries_are_more_to_draw_episodes_from(tiny_config, monkeypatch):
    tiny_config.model.preset = "tuned"
    few, whole = [], []
    for most, programs in ((50, few), (500, whole)):
        monkeypatch.setattr("prouter_jax.aot.lower._ENOUGH_QUERIES", most)
        programs += make_programs(tiny_config, make_mesh(tiny_config.mesh))
    sizes = [jax.tree.leaves(jax.tree.map(lambda x: x.shape, one[1].arguments[1:3])) for one in (few, whole)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
    jax.eval_shape(few[1].function, *few[1].arguments)


def test_more_users_are_more_of_the_same_in_whole_chunks(tiny_config):
    tiny_config.mesh.data = 2
    mesh = make_mesh(tiny_config.mesh)
    few, many = (make_programs(tiny_config, mesh, users)[0] for users in (None, 1000))
    assert many.users == 2 * 4 * USERS_AT_ONCE
    kinds = shape_bytes(many)
    assert kinds["world"] > 20 * shape_bytes(few)["world"]
    new, _ = jax.eval_shape(many.function, *many.arguments)
    assert new.params["users"].shape[0] == many.users
    graph = many.arguments[1]
    layout = graph.layout
    assert layout.num("user") == many.users
    assert len(graph.graph.nodes.shape) == 2
    assert graph.graph.nodes.shape[0] == sum(layout.nodes)
    assert graph.graph.senders.shape == (sum(layout.edges),)
    assert layout.edges[-1] == many.users * layout.decisions * layout.candidates
