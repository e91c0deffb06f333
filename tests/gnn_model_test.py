"""What the scores of a router depend on, and above all what they do not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax import interactions as tables
from prouter_jax import scoring
from prouter_jax.decisions import outcome_matrices
from prouter_jax.graph import hide, see_all
from prouter_jax.graph_build import build_graph
from prouter_jax.hiding import Hiding, choose_hidden
from prouter_jax.interactions import CHOICE
from prouter_jax.model import with_tastes
from prouter_jax.reader import NUM_FIXED
from prouter_jax.scoring import make_scorer
from prouter_jax.validation import validate

HIDING = Hiding(folds=2, whole_queries=True, full_history_share=1.0, no_task_share=0.3, text_noise=0.0)


@pytest.fixture(scope="module")
def graph(prepared):
    return prepared.world.build_graph()


@pytest.fixture(scope="module")
def states(network, params, graph):
    return make_scorer(network, params, graph).states


@pytest.fixture(scope="module")
def partly_hidden(graph):
    """The graph as a training step sees it, and what it hides: bool [queries], bool [users, decisions]."""
    visibility, scored = choose_hidden(graph, HIDING, jnp.int32(0), jax.random.key(0))
    visibility = jax.tree.map(np.asarray, visibility)
    assert 0.3 < scored.mean() < 0.7
    return hide(graph, visibility), visibility.outcomes == 0, visibility.decisions == 0


def _with_feedback(world, feedback):
    return dataclasses.replace(world, interactions=world.interactions.replace(feedback=feedback))


def _with_user(world, user):
    decisions = dataclasses.replace(world.interactions.decisions, user=user)
    return dataclasses.replace(world, interactions=world.interactions.replace(decisions=decisions))


def _assert_close(found, expected, tolerance=1e-4):
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance)


def _utility(states):
    """Utility [users, queries, llms] of predicted answers."""
    return np.einsum("ua,qla->uql", states.users, with_tastes(states.predicted, states.shared.tastes[-1]))


# ---- Whose history it is decides, and nothing else.


def test_swapping_two_histories_swaps_their_users(network, params, prepared, states):
    user = prepared.world.interactions.decisions.user
    swapped = _with_user(prepared.world, np.array([1, 0, 2, 3, 4, 5], np.int32)[user])
    found = make_scorer(network, params, swapped.build_graph()).states
    _assert_close(found.users, np.asarray(states.users)[[1, 0, 2, 3, 4, 5]], 1e-5)
    assert np.abs(_utility(states)[0] - _utility(states)[1]).max() > 0.05


def test_users_who_like_the_best_and_the_cheapest_get_different_llms(trained):
    world = trained.prepared.world
    decisions, feedback = world.interactions.decisions, world.interactions.feedback
    offered = world.interactions.offers[decisions.offer]
    effect, cost = (x[decisions.query] for x in outcome_matrices(world.interactions, world.scale))
    favourite = feedback.llm.copy()
    for user, wish in ((0, effect), (1, -cost)):
        told = decisions.user[feedback.decision] == user
        best = np.where(offered & ~np.isnan(wish), wish, -np.inf).argmax(1)
        favourite[told] = best[feedback.decision[told]]
    opposite = _with_feedback(world, dataclasses.replace(feedback, llm=favourite.astype(np.int32)))
    states = make_scorer(trained.scorer.network, trained.params, opposite.build_graph()).states
    of_quality, of_thrift = _utility(states)[:2].argmax(-1)
    assert (of_quality != of_thrift).mean() > 0.5
    price = world.interactions.llms.output_price
    assert price[of_quality].mean() > price[of_thrift].mean()


def test_order_and_names_change_nothing_but_the_order(network, params, prepared, states):
    world, rng = prepared.world, np.random.default_rng(0)
    data = world.interactions
    users, queries = (rng.permutation(len(table.ids)) for table in (data.users, data.queries))
    llms = np.array([2, 0, 3, 1])
    rows, said = rng.permutation(len(data.decisions.user)), rng.permutation(len(data.feedback.llm))
    places = [np.argsort(order).astype(np.int32) for order in (users, queries, llms, rows)]
    user_at, query_at, llm_at, row_at = places
    decisions, outcomes, feedback = tables.take(data.decisions, rows), data.outcomes, tables.take(data.feedback, said)
    shuffled = tables.Interactions(
        users=dataclasses.replace(data.users, ids=tables.strings([f"somebody {row}" for row in range(len(users))])),
        tasks=data.tasks,
        queries=tables.take(data.queries, queries),
        llms=tables.take(data.llms, llms),
        outcomes=dataclasses.replace(outcomes, query=query_at[outcomes.query], llm=llm_at[outcomes.llm]),
        offers=data.offers[:, llms],
        decisions=dataclasses.replace(decisions, user=user_at[decisions.user], query=query_at[decisions.query]),
        feedback=dataclasses.replace(feedback, decision=row_at[feedback.decision], llm=llm_at[feedback.llm]),
    )
    vectors = dataclasses.replace(world.vectors, query=world.vectors.query[queries], llm=world.vectors.llm[llms])
    other = dataclasses.replace(world, interactions=validate(shuffled), vectors=vectors)
    found = make_scorer(network, params, other.build_graph()).states
    _assert_close(found.users, np.asarray(states.users)[users])
    for name in ("answers", "predicted"):
        number = len(queries)
        expected = np.asarray(getattr(states, name))[:number][queries][:, llms]
        _assert_close(np.asarray(getattr(found, name))[:number], expected)
    _assert_close(found.shared.tastes, np.asarray(states.shared.tastes)[:, llms])


# ---- What is hidden is not known.


def _edge_masks(graph, queries, decisions):
    """bool [edges]: those that say something hidden, and those that are visible and say something."""
    hidden = queries[np.asarray(graph.graph.edges["query"])]
    at = graph.layout.edge_range("history")
    hidden[at] = np.repeat(decisions.reshape(-1), graph.layout.candidates)
    hidden[graph.layout.edge_range("family")] = False
    said = np.zeros(len(hidden), bool)
    said[graph.layout.edge_range("query_to_llm")] = said[at] = True
    said &= graph.graph.edges["weight"] > 0
    return hidden, said & ~hidden


def test_nothing_that_is_hidden_moves_anything_that_is_predicted(network, params, partly_hidden):
    graph, queries, decisions = partly_hidden
    hidden, visible = _edge_masks(graph, queries, decisions)
    expected = make_scorer(network, params, graph).states
    rng = np.random.default_rng(0)
    for where, moves in ((hidden, False), (visible, True)):
        edges = dict(graph.graph.edges)
        for field in ("first", "second", "first_known", "second_known"):
            edges[field] = np.where(where, rng.choice([-1e6, 1.0, 1e6], len(where)), edges[field]).astype(np.float32)
        found = make_scorer(network, params, graph.replace(graph=graph.graph._replace(edges=edges))).states
        for name, value in vars(expected).items():
            same = jax.tree.map(lambda x, y: bool((np.asarray(x) == np.asarray(y)).all()), value, getattr(found, name))
            assert all(jax.tree.leaves(same)) != moves, (name, same)


def test_the_text_of_a_hidden_query_reaches_no_user_and_no_llm(network, params, partly_hidden):
    graph, queries, _ = partly_hidden
    nodes = np.array(graph.graph.nodes)
    nodes[graph.layout.node_range("query")][queries] *= -100
    before, after = (
        make_scorer(network, params, g).states for g in (graph, graph.replace(graph=graph.graph._replace(nodes=nodes)))
    )
    np.testing.assert_array_equal(before.users, after.users)
    for name, value in vars(before.shared).items():
        np.testing.assert_array_equal(value, getattr(after.shared, name))
    changed = (np.asarray(before.predicted) != np.asarray(after.predicted)).any((1, 2))
    assert not changed[~queries].any()
    assert changed[queries].mean() > 0.8


def test_gradients_of_predictions_are_exactly_zero_in_what_is_hidden(network, params, partly_hidden):
    graph, queries, decisions = partly_hidden
    hidden, visible = _edge_masks(graph, queries, decisions)

    @jax.jit
    def gradient(params, graph):
        def total(values):
            edges = graph.graph.edges | values
            states = network.bind(params).model(graph.replace(graph=graph.graph._replace(edges=edges)))
            predicted = with_tastes(states.predicted, states.shared.tastes[-1])
            return jnp.sin(jnp.einsum("ua,qla->uql", states.users, predicted) * 7).sum()

        return jax.grad(total)({name: graph.graph.edges[name] for name in ("first", "second")})

    found = gradient(params, graph)
    for name in ("first", "second"):
        assert not np.asarray(found[name])[hidden].any()
    assert (np.asarray(found["first"])[visible] != 0).mean() > 0.9


# ---- Padding and layout.


def test_padding_changes_no_score(network, params, prepared, states):
    world = prepared.world
    data, extra = world.interactions, 7
    nobody = tables.Users(tables.strings([f"nobody {row}" for row in range(extra)]), np.full(extra, np.nan))
    users = tables.Users(*(np.concatenate(both) for both in zip(vars(data.users).values(), vars(nobody).values())))  # noqa: B905
    queries = tables.Queries(
        np.append(data.queries.ids, [f"unasked {row}" for row in range(extra)]),
        np.append(data.queries.texts, [""] * extra),
        np.append(data.queries.task, np.full(extra, -1)),
    )
    vectors = dataclasses.replace(
        world.vectors, query=np.concatenate([world.vectors.query, np.ones((extra, world.vectors.query.shape[1]))])
    )
    padded = dataclasses.replace(world, interactions=data.replace(users=users, queries=queries), vectors=vectors)
    graph = padded.build_graph(shards=4)
    assert graph.layout.num("user") == 16
    assert graph.layout.num("query") > len(queries.ids) - 1 > 27
    found = make_scorer(network, params, graph).states
    number = len(data.queries.ids)
    _assert_close(found.users[:6], states.users[:6])
    np.testing.assert_array_equal(found.users[6:], np.broadcast_to(params["model"]["reader"]["mean"], (10, 5)))
    for name in ("answers", "predicted"):
        _assert_close(getattr(found, name)[:number], getattr(states, name)[:number])
    _assert_close(found.shared.tastes, states.shared.tastes)


def test_one_compilation_serves_all_graphs_of_a_bucket(network, params, prepared, graph, states):
    data = prepared.world.interactions
    compiled = scoring._encode._cache_size()
    few = np.bincount(data.decisions.user).argmin()
    fewer = tables.select_decisions(data, (data.decisions.user != few) | (np.arange(len(data.decisions.user)) % 2 > 0))
    fewer = fewer.replace(outcomes=tables.take(data.outcomes, np.arange(len(data.outcomes.llm)) > 1))
    world = dataclasses.replace(prepared.world, interactions=fewer)
    for other in (world.build_graph(), graph.without_histories()):
        assert other.layout == graph.layout
        make_scorer(network, params, other)
    assert scoring._encode._cache_size() == compiled


def test_both_ways_to_run_over_histories_agree(network, params, shared_prepared, both_kinds):
    world = shared_prepared.world
    both = both_kinds
    order = np.concatenate([np.flatnonzero(both.user == 0)[::-1], np.flatnonzero(both.user)])
    shuffled = dataclasses.replace(both, **{name: value[order] for name, value in vars(both).items()})
    shared, own = (
        build_graph(world.interactions, world.vectors, world.scale, histories) for histories in (both, shuffled)
    )
    assert shared.layout.shared_queries
    assert not own.layout.shared_queries
    expected, found = (make_scorer(network, params, graph).states for graph in (shared, own))
    assert np.abs(expected.users - params["model"]["reader"]["mean"]).max() > 0.1
    _assert_close(found.users, expected.users)
    _assert_close(found.shared.tastes, expected.shared.tastes)


# ---- The same numbers by other ways.


def test_a_hidden_query_is_scored_as_a_query_that_is_not_in_the_graph(network, params, prepared, partly_hidden):
    graph, queries, _ = partly_hidden
    scorer = make_scorer(network, params, graph)
    number = len(prepared.world.vectors.query)
    task = np.where(graph.visibility.tasks[:number] > 0, prepared.world.interactions.queries.task, -1)
    assert len(set(task[queries[:number]])) == 4
    found = scorer.answers(prepared.world.vectors.query, task, with_tastes=False)
    for name in ("predicted", "answers"):
        _assert_close(
            found[queries[:number]], np.asarray(getattr(scorer.states, name))[:number][queries[:number]], 1e-5
        )


def test_observed_answers_take_the_place_of_predicted_ones(network, params, prepared, partly_hidden):
    graph, queries, _ = partly_hidden
    states = make_scorer(network, params, graph).states
    effect_cost = np.stack(outcome_matrices(prepared.world.interactions, prepared.world.scale), -1)
    answers, predicted = (np.asarray(x)[: len(effect_cost)] for x in (states.answers, states.predicted))
    hidden = queries[: len(effect_cost), None, None]
    np.testing.assert_allclose(answers[..., :2], np.where(hidden, predicted[..., :2], effect_cost), rtol=1e-6)
    np.testing.assert_array_equal(answers[..., 2:], predicted[..., 2:])
    assert (answers[..., 2] == 1).all()


def test_users_read_one_by_one_are_those_of_the_graph(network, params, graph, states):
    read = jax.jit(lambda params: network.bind(params).model.read_users(graph, states.shared, states.answers))
    _assert_close(read(params), states.users, 1e-5)


def test_means_are_shrunk_towards_broader_means(network, params, prepared, graph, states):
    everything = see_all(graph.layout)
    outcomes, tasks = everything.outcomes.copy(), everything.tasks.copy()
    outcomes[0], tasks[1] = 0, 0
    seen = hide(graph, everything.replace(outcomes=outcomes, tasks=tasks))
    head = network.bind(params).model.answer
    found = np.asarray(head.shrunken_means(seen, states.shared.llms))
    values = np.stack(outcome_matrices(prepared.world.interactions, prepared.world.scale), -1)
    task = prepared.world.interactions.queries.task.copy()
    values[0], task[1] = np.nan, -1
    weight = np.exp(np.asarray(head.log_weight[...]))
    prior = np.asarray(head.prior(states.shared.llms))

    def shrunk(values, broader, weight):
        return (np.nansum(values, 0) + weight * broader) / ((~np.isnan(values)).sum(0) + weight)

    overall = shrunk(values, prior, weight[0])
    expected = [*(shrunk(values[task == row], overall, weight[1]) for row in range(3)), overall]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("tasks", [1, 0])
def test_odd_worlds_give_numbers(network, params, prepared, tasks):
    """One user, one task or none, a constant cost, an LLM without outcomes, choices that are ties."""
    data = prepared.world.interactions
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
    vectors = dataclasses.replace(prepared.world.vectors, task=prepared.world.vectors.task[:tasks])
    world = dataclasses.replace(prepared.world, interactions=validate(odd), vectors=vectors)
    found = make_scorer(network, params, world.build_graph()).states
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
    assert np.abs(found.users[0] - params["model"]["reader"]["mean"])[: NUM_FIXED - 1].max() > 1e-3
