"""The loss against plain numpy on the decisions themselves, and what moves it."""

import functools

import jax
import numpy as np
import pytest
from finite_differences import check_gradients
from graph_network_cases import noisy, small, states_of

from prouter_jax.graph.build import build_graph
from prouter_jax.graph.schema import hide, see_all
from prouter_jax.training.masked_loss import routing_loss

HIDDEN = slice(0, 9)  # queries


@pytest.fixture(scope="module")
def world(shared_dataset, all_kinds):
    """A graph of which a third of the decisions is chosen, a third rated, a third has thumbs; and what a step hides."""
    world = shared_dataset.world
    graph = build_graph(world.interactions, world.vectors, world.scale, all_kinds)
    everything = see_all(graph.layout)
    outcomes, scored = everything.outcomes.copy(), np.zeros_like(everything.decisions)
    outcomes[HIDDEN] = 0
    query = graph.edges("history").query.reshape(graph.layout.decisions, -1)[:, 0]
    scored[:] = 1 - outcomes[query]
    return graph, everything.replace(outcomes=outcomes, decisions=1 - scored), scored


@functools.partial(jax.jit, static_argnums=0)
def _loss(network, params, graph, visibility, scored):
    """((loss, parts), gradient)."""
    return jax.value_and_grad(lambda x: routing_loss(network.bind(x), graph, visibility, scored), has_aux=True)(params)


def test_parts_are_the_misfits_of_what_was_hidden(world, all_kinds):
    graph, visibility, scored = world
    network = small(graph)
    (total, parts), _ = _loss(network, noisy(network), graph, visibility, scored)
    states = states_of(network, hide(graph, visibility))
    hidden = all_kinds.query < HIDDEN.stop
    user, query, offered, target, rating, thumb = (
        getattr(all_kinds, name)[hidden] for name in ("user", "query", "offered", "target", "rating", "thumb")
    )
    score = np.einsum("da,dla->dl", states.users[user], states.answers[query])
    logits = np.where(offered, np.exp(noisy(network)["head"]["log_sharpness"]) * score, -np.inf)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    chosen = target > 0
    assert chosen.sum() > 10
    np.testing.assert_allclose(parts["choice"], -logs[chosen].mean(), rtol=1e-4)
    assert (~np.isnan(rating)).sum() > 10
    np.testing.assert_allclose(parts["rating"], np.nanmean((rating - score) ** 2), rtol=1e-4)
    assert (thumb >= 0).sum() > 10
    np.testing.assert_allclose(parts["thumb"], ((thumb - score)[thumb >= 0] ** 2).mean(), rtol=1e-4)
    np.testing.assert_allclose(total, sum(parts.values()), rtol=1e-5)


def test_gradients_are_those_of_finite_differences(world):
    network = small(world[0], head="bilinear")  # all that the other has, and a gate
    check_gradients(lambda params: routing_loss(network.bind(params), *world)[0], noisy(network))


def test_every_parameter_is_learnt(world):
    network = small(world[0])
    gradient = jax.tree.map(np.asarray, _loss(network, noisy(network), *world)[1])
    for path, value in jax.tree_util.tree_leaves_with_path(gradient):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(value).all(), name
        assert value.any(), name


def test_only_what_is_scored_counts(world):
    graph, visibility, scored = world
    network = small(graph)
    some, rest = scored.copy(), scored.copy()
    some[::2], rest[1::2] = 0, 0
    users = [part.any(1).sum() for part in (some, rest)]
    assert users == [3, 3]
    losses = [float(_loss(network, noisy(network), graph, visibility, x)[0][0]) for x in (scored, some, rest)]
    assert abs(losses[1] - losses[2]) > 1e-3
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-4)
    assert _loss(network, noisy(network), graph, visibility, scored * 0)[0][0] == 0
