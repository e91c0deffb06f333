"""The loss, term by term, against plain numpy on the decisions and outcomes themselves."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.decisions import outcome_matrices
from prouter_jax.graph import hide, see_all
from prouter_jax.graph_build import build_graph
from prouter_jax.losses import Noise, routing_loss, split_labels
from prouter_jax.model import with_tastes

HIDDEN = slice(0, 9)  # queries


@pytest.fixture(scope="module")
def world(shared_prepared, both_kinds):
    """A graph, its decisions (two thirds rated, one third chosen) and outcomes, and what a step hides of them."""
    world = shared_prepared.world
    both = both_kinds
    graph = build_graph(world.interactions, world.vectors, world.scale, both)
    everything = see_all(graph.layout)
    outcomes, scored = everything.outcomes.copy(), np.zeros_like(everything.decisions)
    outcomes[HIDDEN] = 0
    query = graph.edges("history").query.reshape(graph.layout.decisions, -1)[:, 0]
    scored[:] = 1 - outcomes[query]
    visibility = everything.replace(outcomes=outcomes, decisions=1 - scored)
    effect_cost = np.stack(outcome_matrices(world.interactions, world.scale), -1)
    return graph, both, effect_cost, visibility, scored


@pytest.fixture(scope="module")
def found(network, params, world):
    """Loss, its parts, their gradients, and the states behind it."""
    graph, _, _, visibility, scored = world

    @jax.jit
    def everything(params):
        def loss(params):
            learner = network.bind(params)
            total, parts = routing_loss(learner.model, learner.noise, *split_labels(graph, visibility, scored))
            return parts, total

        gradients, total = jax.jacrev(loss, has_aux=True)(params)
        return total, loss(params)[0], gradients, network.bind(params).model(hide(graph, visibility))

    return jax.tree.map(np.asarray, everything(params))


def test_parts_are_the_likelihoods_of_what_was_hidden(params, world, found):
    _, decisions, effect_cost, _, _ = world
    total, parts, _, states = found
    model, reader = params["model"], params["model"]["reader"]
    tastes = states.shared.tastes[-1]
    hidden = np.isin(decisions.query, np.arange(len(effect_cost))[HIDDEN])
    some = dataclasses.replace(decisions, **{name: value[hidden] for name, value in vars(decisions).items()})
    predicted = states.predicted[: len(effect_cost)].copy()
    seen = predicted.copy()
    seen[..., :2] = np.where(np.isnan(effect_cost), predicted[..., :2], effect_cost)
    theta = states.users[some.user]

    def likelihood(answers, log_sharpness):
        utility = np.einsum("da,dla->dl", theta, np.asarray(with_tastes(answers[some.query], tastes)))
        logits = np.where(some.offered, np.exp(log_sharpness) * utility, -np.inf)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        chosen = some.target > 0
        return utility, -(some.target[chosen] * logs[chosen]).sum() / some.target.sum()

    utility, choice = likelihood(seen, reader["log_sharpness"])
    rated = ~np.isnan(some.rating)
    noise = np.exp(reader["log_noise"])
    rating = (((some.rating - utility)[rated] / noise) ** 2 / 2 + np.log(noise)).mean()
    assert rated.any()
    assert some.target.any()
    np.testing.assert_allclose(parts["feedback"], choice + rating, rtol=1e-4)
    np.testing.assert_allclose(parts["calibration"], likelihood(predicted, model["log_score_sharpness"])[1], rtol=1e-4)
    scale = np.exp(params["noise"]["log_scale"])
    outcome = ((predicted[..., :2] - effect_cost)[HIDDEN] / scale) ** 2 / 2 + np.log(scale)
    np.testing.assert_allclose(parts["outcome"], outcome[~np.isnan(outcome)].mean(), rtol=1e-4)
    np.testing.assert_allclose(total, sum(parts.values()), rtol=1e-5)


def test_every_parameter_is_learnt_and_no_gradient_is_lost(found):
    gradient = jax.tree.map(lambda *x: np.abs(x).sum(0), *found[2].values())
    for path, value in jax.tree_util.tree_leaves_with_path(gradient):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(value).all(), name
        # what stands in front of the last reading is only read: taste_precision is a setting, not a parameter
        assert value.any() or "log_taste_precision" in name, name


def test_calibration_moves_only_the_served_sharpness(found):
    gradient = found[2]["calibration"]
    moved = {jax.tree_util.keystr(path) for path, x in jax.tree_util.tree_leaves_with_path(gradient) if x.any()}
    assert moved == {"['model']['log_score_sharpness']"}


def test_what_is_split_off_is_what_is_hidden(world):
    graph, _, effect_cost, visibility, scored = world
    seen, labels = split_labels(graph, visibility, scored)
    number = len(effect_cost)
    np.testing.assert_array_equal(labels.known[:number], ~np.isnan(effect_cost))
    np.testing.assert_allclose(labels.outcomes[:number], np.nan_to_num(effect_cost), rtol=1e-6)
    expected = ~np.isnan(effect_cost)
    expected[HIDDEN.stop :] = False
    np.testing.assert_array_equal(labels.hidden[:number], expected)
    assert not np.asarray(labels.hidden)[number:].any()
    assert seen.visibility is visibility


def test_perfect_foresight_does_not_drive_the_loss_to_minus_infinity(network, params, world):
    graph, _, _, visibility, scored = world
    sure = jax.tree.map(jnp.asarray, params)
    sure["noise"] = {"log_scale": jnp.full(2, -50.0)}
    assert Noise().log_scale.shape == (2,)
    sure["model"]["reader"] = sure["model"]["reader"] | {"log_noise": jnp.float32(-3.0)}
    learner = network.bind(sure)
    total, _ = jax.jit(lambda: routing_loss(learner.model, learner.noise, *split_labels(graph, visibility, scored)))()
    assert np.isfinite(total)
