"""What the scores of the paper's network depend on, and above all what they do not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graph_network_cases import noisy, partly_hidden, scores, small, states_of

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import CHOICE
from prouter_jax.data.validation import validate
from prouter_jax.graph.build import build_graph, pad_features


@pytest.fixture(scope="module")
def graph(dataset):
    return dataset.world.build_graph()


@pytest.fixture(scope="module", params=["dot", "bilinear"])
def network(request, graph):
    return small(graph, head=request.param)


@pytest.fixture(scope="module")
def states(network, graph):
    return states_of(network, graph)


def _assert_close(found, expected, tolerance=1e-4):
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance)


def _with_edges(graph, **edges):
    return graph.replace(graph=graph.graph._replace(edges=graph.graph.edges | edges))


# ---- Whose history it is decides, and nothing else.


def test_swapping_two_histories_swaps_their_users(network, dataset, states):
    data = dataset.world.interactions
    decisions = dataclasses.replace(data.decisions, user=np.array([1, 0, 2, 3, 4, 5], np.int32)[data.decisions.user])
    swapped = dataclasses.replace(dataset.world, interactions=data.replace(decisions=decisions))
    found = states_of(network, swapped.build_graph())
    _assert_close(found.users[:6], states.users[[1, 0, 2, 3, 4, 5]], 1e-5)
    assert np.abs(scores(states)[0] - scores(states)[1]).max() > 1e-3


def test_what_others_decide_changes_no_user(network, graph, states):
    first = np.array(graph.graph.edges["first"])
    at = graph.layout.edge_range("history")
    of_user = np.repeat(np.arange(graph.layout.users), graph.layout.decisions * graph.layout.candidates)
    first[at] = np.where(of_user == 2, 1 - first[at], first[at])
    found = states_of(network, _with_edges(graph, first=first))
    changed = (found.users != states.users).any(1)
    np.testing.assert_array_equal(np.flatnonzero(changed), [2])
    np.testing.assert_array_equal(found.answers, states.answers)


def test_users_without_history_are_all_the_stranger(network, graph, states):
    found = states_of(network, graph.without_histories())
    _assert_close(found.users, np.broadcast_to(states.cold_start_user, found.users.shape), 1e-5)
    assert np.abs(states.users[:6] - states.cold_start_user).max(1).min() > 0.01


def test_order_and_names_change_nothing_but_the_order(network, dataset, states):
    world, rng = dataset.world, np.random.default_rng(0)
    data = world.interactions
    users, queries = (rng.permutation(len(table.ids)) for table in (data.users, data.queries))
    llms = np.array([2, 0, 3, 1])
    rows, feedback = rng.permutation(len(data.decisions.user)), rng.permutation(len(data.feedback.llm))
    places = [np.argsort(order).astype(np.int32) for order in (users, queries, llms, rows)]
    user_at, query_at, llm_at, row_at = places
    decisions, outcomes, feedback = (
        tables.take(data.decisions, rows),
        data.outcomes,
        tables.take(data.feedback, feedback),
    )
    shuffled = data.replace(
        users=dataclasses.replace(data.users, ids=tables.strings([f"somebody {row}" for row in range(len(users))])),
        queries=tables.take(data.queries, queries),
        llms=tables.take(data.llms, llms),
        outcomes=dataclasses.replace(outcomes, query=query_at[outcomes.query], llm=llm_at[outcomes.llm]),
        offers=data.offers[:, llms],
        decisions=dataclasses.replace(decisions, user=user_at[decisions.user], query=query_at[decisions.query]),
        feedback=dataclasses.replace(feedback, decision=row_at[feedback.decision], llm=llm_at[feedback.llm]),
    )
    vectors = dataclasses.replace(world.vectors.of_queries(queries), llm=world.vectors.llm[llms])
    other = dataclasses.replace(world, interactions=validate(shuffled), vectors=vectors)
    found = states_of(network, other.build_graph())
    _assert_close(found.users[:6], states.users[users])
    _assert_close(found.answers[: len(queries)], states.answers[: len(queries)][queries][:, llms])


# ---- What is hidden is not known.


def _hidden_edges(graph):
    """bool [edges]: those that say something hidden, and those that are visible and say something."""
    hidden = graph.visibility.outcomes[np.asarray(graph.graph.edges["query"])] == 0
    at = graph.layout.edge_range("history")
    hidden[at] = np.repeat(graph.visibility.decisions.reshape(-1) == 0, graph.layout.candidates)
    hidden[graph.layout.edge_range("family")] = False
    feedback = np.zeros(len(hidden), bool)
    feedback[graph.layout.edge_range("query_to_llm")] = feedback[at] = True
    return hidden, feedback & (graph.graph.edges["weight"] > 0) & ~hidden


def test_nothing_that_is_hidden_moves_anything(network, graph):
    seen, scored = partly_hidden(graph)
    assert 0.3 < scored.mean() < 0.7
    hidden, visible = _hidden_edges(seen)
    expected, rng = states_of(network, seen), np.random.default_rng(0)
    for where, moves in ((hidden, False), (visible, True)):
        edges = {
            name: np.where(where, rng.choice([-1e6, 1.0, 1e6], len(where)), seen.graph.edges[name]).astype(np.float32)
            for name in ("first", "second", "first_known", "second_known")
        }
        found = states_of(network, _with_edges(seen, **edges))
        for name in ("llms", "answers", "users"):
            assert (getattr(expected, name) == getattr(found, name)).all() != moves, (name, moves)


def test_gradients_of_scores_are_exactly_zero_in_what_is_hidden(network, graph):
    seen, _ = partly_hidden(graph)
    hidden, visible = _hidden_edges(seen)

    @jax.jit
    def gradient(values):
        def total(values):
            states = network.layers.bind(noisy(network))(_with_edges(seen, **values))
            return jnp.sin(jnp.einsum("ua,qla->uql", states.users, states.answers) * 7).sum()

        return jax.grad(total)(values)

    found = gradient({name: seen.graph.edges[name] for name in ("first", "second")})
    for name in ("first", "second"):
        assert not np.asarray(found[name])[hidden].any()
    assert (np.asarray(found["first"])[visible] != 0).mean() > 0.9


def test_the_text_of_a_hidden_query_reaches_no_user_and_no_llm(network, graph):
    seen, _ = partly_hidden(graph)
    queries = seen.visibility.outcomes == 0
    texts = np.array(seen.nodes("query"))
    texts[queries] *= -1
    before, after = (states_of(network, x) for x in (seen, seen.with_nodes("query", texts)))
    for name in ("users", "llms", "tasks"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    changed = (before.answers != after.answers).any((1, 2))
    assert not changed[~queries].any()
    assert changed[queries].mean() > 0.8


# ---- The same numbers by other ways.


def test_a_known_query_is_scored_as_one_that_is_not_in_the_graph(network, dataset, graph):
    seen, _ = partly_hidden(graph)
    world = dataset.world
    number = len(world.vectors.query)
    task = np.where(seen.visibility.tasks[:number] > 0, world.interactions.queries.task, 3)
    assert set(task) == {0, 1, 2, 3}
    states = states_of(network, seen)
    vectors = pad_features(world.vectors.query, number, graph.width)
    found = jax.jit(network.layers.bind(noisy(network)).predict_answers)(states.tasks, states.llms, vectors, task)
    _assert_close(found, states.answers[:number], 1e-5)


def test_padding_changes_no_score(network, dataset, states):
    graph = dataset.world.build_graph(shards=4)
    assert graph.layout.num("user") == 8
    found = states_of(network, graph)
    _assert_close(found.users[:6], states.users[:6], 1e-5)
    _assert_close(found.users[6:], np.broadcast_to(states.cold_start_user, (2, len(states.cold_start_user))), 1e-5)
    _assert_close(found.answers, states.answers, 1e-5)


def test_both_ways_to_run_over_histories_agree(shared_dataset, all_kinds):
    world = shared_dataset.world
    order = np.concatenate([np.flatnonzero(all_kinds.user == 0)[::-1], np.flatnonzero(all_kinds.user)])
    order = np.append(order, order[-1])  # somebody decided twice: queries are no longer shared
    other = dataclasses.replace(all_kinds, **{name: value[order] for name, value in vars(all_kinds).items()})
    shared, own = (build_graph(world.interactions, world.vectors, world.scale, x) for x in (all_kinds, other))
    assert shared.layout.shared_queries
    assert not own.layout.shared_queries
    expected, found = (states_of(small(shared), graph) for graph in (shared, own))
    assert np.abs(expected.users[:5] - expected.cold_start_user).max() > 0.05
    _assert_close(found.users[:5], expected.users[:5], 1e-5)


@pytest.mark.parametrize("tasks", [1, 0])
def test_odd_worlds_give_numbers(dataset, tasks):
    """One user, one task or none, a constant cost, an LLM without outcomes, choices that are ties."""
    data = dataset.world.interactions
    one_user = tables.select_decisions(data, data.decisions.user == 0)
    some = tables.take(data.outcomes, data.outcomes.llm != 2)
    outcomes = dataclasses.replace(
        some, cost=np.ones_like(some.cost), effect=np.where(some.llm == 1, np.nan, some.effect)
    )
    tie = np.repeat(np.arange(len(one_user.decisions.user), dtype=np.int32), 2)
    llm = np.argsort(~data.offers[one_user.decisions.offer], axis=1, kind="stable")[:, :2].reshape(-1).astype(np.int32)
    feedback = tables.Feedback(tie, np.full(len(tie), CHOICE, np.int8), llm, np.full(len(tie), 0.5, np.float32))
    odd = one_user.replace(
        users=tables.take(data.users, np.arange(1)),
        tasks=tables.take(data.tasks, np.arange(tasks)),
        queries=dataclasses.replace(data.queries, task=np.where(data.queries.task < tasks, data.queries.task, -1)),
        outcomes=outcomes,
        feedback=feedback,
    )
    vectors = dataclasses.replace(dataset.world.vectors, task=dataset.world.vectors.task[:tasks])
    world = dataclasses.replace(dataset.world, interactions=validate(odd), vectors=vectors)
    graph = world.build_graph()
    found = states_of(small(graph), graph)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
    assert np.abs(found.users[0] - found.cold_start_user).max() > 1e-3
