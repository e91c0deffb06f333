"""The loss of the trained numbers: its gradient, and what masks and folds must hide from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite_differences import check_gradients

from prouter_jax.data.episodes import Episodes
from prouter_jax.data.history_store import build_store
from prouter_jax.data.query_features import make_query_features
from prouter_jax.model.network import make_network
from prouter_jax.training.episode_loss import Fitted, episode_loss, predict


@pytest.fixture(params=[True, False], ids=["new queries", "known queries"])
def made(request, tiny_config, dataset, params):
    """(sizes, numbers, function from numbers and an episode to the loss, an episode)."""
    tiny_config.model.preset = "tuned"
    graph, world = dataset.world.build_graph(), dataset.world
    network = make_network(tiny_config, graph, 6)
    rounds, sizes = network.tuned()
    bound, count = rounds.bind(params), len(world.interactions.queries.ids)
    fitted = Fitted(bound.population(), bound.answers(graph)[:count], bound.users[...])
    num_tasks, vectors = graph.layout.num("task"), world.vectors
    queries = make_query_features(vectors.query, vectors.query_style, world.interactions.queries.task, num_tasks)
    queries = jax.tree.map(jnp.asarray, queries)
    episodes = Episodes(build_store(world.interactions), np.arange(count), count, request.param, 0, np.arange(6))
    numbers = sizes.init(jax.random.key(0))
    numbers = {name: value + 0.1 if value.size and name != "accepted" else value for name, value in numbers.items()}

    @jax.jit
    def loss(numbers, episode):
        return episode_loss(sizes.bind(numbers), fitted, queries, num_tasks, episode)[0]

    def logits(numbers, episode):
        return predict(sizes.bind(numbers), fitted, queries, num_tasks, episode)

    return numbers, loss, logits, episodes.rows(0, 0)


def test_gradients_are_those_of_finite_differences(made):
    numbers, loss, _, episode = made
    check_gradients(lambda numbers: loss(numbers, episode), numbers, modes=["rev"])


def test_predictions_do_not_know_what_they_predict(made):
    numbers, _, logits, episode = made
    before = logits(numbers, episode)
    predicted = episode["predicted"]
    other = {**episode, "predicted": {**predicted, "target": np.roll(predicted["target"], 1, -1)}}
    np.testing.assert_array_equal(logits(numbers, other), before)
    history = {**episode["history"], "target": np.roll(episode["history"]["target"], 1, -1)}
    assert (np.asarray(logits(numbers, {**episode, "history": history})) != np.asarray(before)).any()


def test_users_do_not_know_each_other(made):
    numbers, _, logits, episode = made
    before = np.asarray(logits(numbers, episode))
    history = {name: values.copy() for name, values in episode["history"].items()}
    history["target"][0] = np.roll(history["target"][0], 1, -1)
    after = np.asarray(logits(numbers, {**episode, "history": history}))
    np.testing.assert_allclose(after[1:], before[1:], rtol=1e-5, atol=1e-5)
