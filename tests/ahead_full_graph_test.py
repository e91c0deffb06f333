"""The programs of a run that reads the whole graph have the shapes and places of the run itself, for any users."""

import jax
import pytest

from prouter_jax.ahead.full_graph import make_programs
from prouter_jax.ahead.memory import shape_bytes
from prouter_jax.graph_build import USERS_AT_ONCE
from prouter_jax.sharding import make_mesh
from prouter_jax.train import initial_state, make_run


@pytest.mark.parametrize("preset", ["bayes", "paper"])
def test_shapes_are_those_of_the_run(tiny_config, prepared, preset):
    tiny_config.model.preset, tiny_config.mesh.data = preset, 2
    step, score = make_programs(tiny_config, make_mesh(tiny_config.mesh))
    run = make_run(tiny_config, prepared)
    state, graph, key = step.arguments
    assert (step.users, step.calls) == (run.graph.layout.users, 1 if preset == "bayes" else 2)
    assert (score.users, score.calls) == (step.users, 0)
    for wanted, found in ((run.graph, graph), (initial_state(run, 0), state), (jax.random.key(0), key)):
        for one, other in zip(jax.tree.leaves(wanted), jax.tree.leaves(found), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert graph.layout == run.graph.layout
    assert graph.visibility.decisions.sharding == run.graph.visibility.decisions.sharding
    jax.eval_shape(score.function, *score.arguments)


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
