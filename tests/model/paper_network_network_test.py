"""What is learnt, and what the network is without each of its parts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graph_network_cases import small, states_of

from prouter_jax.config import PARTS, Embedded, Mesh, Optimizer
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.graph.schema import EDGE_SETS
from prouter_jax.model.inference import score_decisions
from prouter_jax.model.message_passing import edges_without
from prouter_jax.training.run import initial_state, make_run, make_train_step
from prouter_jax.training.step import make_adamw
from prouter_jax.training.validation import run_scorer

EDGES = {
    "history": ["history"],
    "tasks": ["query_to_task", "task_to_query"],
    "outcomes": ["query_to_llm", "llm_to_query"],
    "families": ["family"],
    "backward": ["query_to_task", "llm_to_query"],
}


@pytest.fixture(scope="module")
def graph(dataset):
    return dataset.world.build_graph()


def _silenced(graph, names):
    """The graph without what the edges of these sets say."""
    edges = {name: np.array(graph.graph.edges[name]) for name in ("weight", "first", "second")}
    for values in edges.values():
        for name in names:
            values[graph.layout.edge_range(name)] = 0
    return graph.replace(graph=graph.graph._replace(edges=graph.graph.edges | edges))


def _heard(network, graph, names):
    """Whether scores change where these edge sets fall silent."""
    before, after = (states_of(network, x) for x in (graph, _silenced(graph, names)))
    same = [np.allclose(getattr(before, x), getattr(after, x), atol=1e-6) for x in ("users", "answers")]
    return not all(same)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_is_not_heard_and_no_other_is(graph, part):
    assert _heard(small(graph), graph, EDGES[part])
    without = small(graph, without=part)
    assert not _heard(without, graph, EDGES[part])
    others = [name for name in EDGE_SETS if name not in EDGES[part]]
    assert all(_heard(without, graph, [name]) for name in others), others


def test_parts_are_left_out_together_in_any_order(graph):
    assert small(graph, without="tasks,history") == small(graph, without="history,tasks")
    assert edges_without("") == EDGE_SETS
    alone = small(graph, without=",".join(PARTS))
    assert not alone.layers.edge_sets
    assert not _heard(alone, graph, EDGE_SETS)


def test_the_optimizer_warms_up_decays_and_clips():
    params, settings = {"a": jnp.zeros(3)}, Optimizer(learning_rate=0.1, weight_decay=0.0, warmup_steps=5)
    optimizer = make_adamw(settings, 40)
    state, moves = optimizer.init(params), []
    for _ in range(40):
        updates, state = optimizer.update({"a": jnp.full(3, 100.0)}, state, params)
        moves.append(float(-updates["a"][0]))
    assert moves[0] == 0
    assert np.argmax(moves) == 5
    assert max(moves) == pytest.approx(0.1, rel=1e-3)
    assert moves[-1] == pytest.approx(0.01, rel=0.1)


@pytest.mark.slow
def test_a_step_is_the_same_on_any_mesh(tiny_config, dataset):
    config, ends = tiny_config, []
    config.model = dataclasses.replace(config.model, preset="paper", hidden_dim=8)
    for config.mesh in (Mesh(1, 1), Mesh(2, 2)):
        run = make_run(config, dataset)
        assert run.world.layout.users == 6
        step = make_train_step(run)
        state, first = step(initial_state(run, 0), run.world, {}, jax.random.key(0))
        ends.append((first["loss"], step(state, run.world, {}, jax.random.key(0))[1]["loss"]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)


def _shares(config):
    """Share of the choices in the test that router, blind twin and best LLM of a task match."""
    dataset = prepare_dataset(read_source(config.data), config.data, 0)
    run = make_run(config, dataset)
    state, step = initial_state(run, 0), make_train_step(run)
    for _ in range(config.train.num_train_steps):
        state, metrics = step(state, run.world, {}, jax.random.key(0))
    assert set(metrics) == {"loss", "choice"}
    test, past = (dataset.labelled(part).decisions for part in ("test", "train"))
    scorer = run_scorer(run, state.params, dataset)
    logits = [score_decisions(scorer, dataset, test, blind) for blind in (False, True)]
    task = dataset.data.queries.task
    liked = np.stack([past.target[task[past.query] == row].mean(0) for row in range(task.max() + 1)])
    picks = [np.where(test.offered, x, -np.inf).argmax(1) for x in (*logits, liked[task[test.query]])]
    return [test.target[np.arange(len(pick)), pick].mean() for pick in picks]


@pytest.mark.parametrize("preferences", [True, False])
def test_planted_preferences_are_found_and_none_where_there_are_none(tiny_config, preferences):
    config = tiny_config
    config.model = dataclasses.replace(config.model, preset="paper", hidden_dim=16)
    config.data.embedded = Embedded(num_queries=200, num_users=24, preferences=preferences)
    config.train.num_train_steps = 100
    router, blind, by_task = _shares(config)
    if preferences:
        assert router > max(blind, by_task) + 0.08
    else:
        assert abs(router - blind) < 0.04
        assert router > by_task - 0.04
