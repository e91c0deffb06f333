"""What known queries say of a new one: kernel ridge regression, as in plain numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.config import QueryKernel
from prouter_jax.data.query_features import make_query_features
from prouter_jax.model import query_kernel as query_kernel_module
from prouter_jax.model.query_kernel import SharePredictor, coefficients, kernel_to, make_query_kernel

CONFIG = QueryKernel(text=1.5, style=0.1, task=0.2, noise=0.7)
NUM_TASKS = 2


def _places(number, seed):
    rng = np.random.default_rng(seed)
    task = rng.integers(-1, NUM_TASKS, number)
    return make_query_features(rng.normal(size=(number, 6)) / 2, rng.normal(size=(number, 3)), task, NUM_TASKS)


def _kernel(first, second):
    squares = [
        ((a[:, None] - b[None]) ** 2).sum(-1) for a, b in ((first.vectors, second.vectors), (first.style, second.style))
    ]
    same = (first.task[:, None] == second.task) & (first.task < NUM_TASKS)[:, None]
    return np.exp(-1.5 * squares[0] - 0.1 * squares[1]) * (1 + same) + 0.2 * same


def test_nearness_is_the_kernel_of_texts_style_and_tasks():
    known, new = _places(12, 0), _places(5, 1)
    kernel = make_query_kernel(known, NUM_TASKS, CONFIG)
    assert (known.task == NUM_TASKS).any()
    np.testing.assert_allclose(kernel_to(kernel, new), _kernel(new, known), atol=1e-5)


@pytest.mark.parametrize("shape", [(12,), (12, 3), (12, 2, 4)])
def test_a_message_is_that_of_kernel_ridge_regression(shape):
    known, new = _places(12, 0), _places(5, 1)
    kernel, told = make_query_kernel(known, NUM_TASKS, CONFIG), np.random.default_rng(2).normal(size=shape)
    solved = np.linalg.solve(_kernel(known, known) + 0.7 * np.eye(12), told.reshape(12, -1))
    expected = (_kernel(new, known) @ solved).reshape(5, *shape[1:])
    found = np.tensordot(kernel_to(kernel, new), coefficients(kernel, jnp.asarray(told)), 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_order_of_known_queries_does_not_matter():
    known, new = _places(12, 0), _places(5, 1)
    told, order = np.random.default_rng(2).normal(size=12), np.random.default_rng(3).permutation(12)
    first, second = (make_query_kernel(some, NUM_TASKS, CONFIG) for some in (known, known.take(order)))
    messages = [
        np.asarray(kernel_to(kernel, new) @ coefficients(kernel, jnp.asarray(x)))
        for kernel, x in ((first, told), (second, told[order]))
    ]
    np.testing.assert_allclose(messages[0], messages[1], atol=1e-5)


def test_where_there_are_too_many_some_of_them_speak():
    known = _places(30, 0)
    kernel = make_query_kernel(known, NUM_TASKS, QueryKernel(most_queries=10))
    assert len(set(kernel.rows)) == 10
    assert (np.diff(kernel.rows) > 0).all()
    np.testing.assert_array_equal(kernel.queries.vectors, known.vectors[kernel.rows])
    np.testing.assert_array_equal(kernel.rows, make_query_kernel(known, NUM_TASKS, QueryKernel(most_queries=10)).rows)
    assert make_query_kernel(known, NUM_TASKS, QueryKernel(most_queries=30)).rows.tolist() == list(range(30))


# ---- Foresight: the message is a user's probabilities of choosing.


@pytest.fixture(scope="module")
def unseen_queries():
    answers = jnp.asarray(np.random.default_rng(4).normal(size=(12, 3, 4)), jnp.float32)
    return SharePredictor(make_query_kernel(_places(12, 0), NUM_TASKS, CONFIG), answers, 2.0)


def _by_hand(unseen_queries, theta, kernel):
    logits = 2.0 * np.asarray(unseen_queries.answers) @ theta
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    base = shares.mean(0)
    known = unseen_queries.kernel.queries
    gram = _kernel(*[places_like(known)] * 2) + 0.7 * np.eye(12)
    return np.log(np.maximum(base + kernel @ np.linalg.solve(gram, shares - base), 1e-4))


def places_like(places):
    return type(places)(*(np.asarray(x) for x in (places.vectors, places.style, places.task)))


@pytest.mark.parametrize("at_once", [128, 2])
def test_shares_near_by_are_foreseen(monkeypatch, unseen_queries, at_once):
    monkeypatch.setattr(query_kernel_module, "_USERS_AT_ONCE", at_once)
    rng = np.random.default_rng(5)
    users, kernel = (
        rng.normal(size=(5, 4)).astype(np.float32),
        np.asarray(kernel_to(unseen_queries.kernel, _places(6, 1))),
    )
    user, place = rng.integers(0, 5, 20), rng.integers(0, 6, 20)
    found = unseen_queries.logits(users, kernel, user, place)
    expected = [_by_hand(unseen_queries, users[u], kernel[p]) for u, p in zip(user, place, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert unseen_queries.logits(users, kernel, user[:0], place[:0]).shape == (0, 3)


def test_a_query_unlike_any_other_gets_the_users_mean_share(unseen_queries):
    users = np.random.default_rng(5).normal(size=(1, 4)).astype(np.float32)
    found = unseen_queries.logits(users, np.zeros((1, 12), np.float32), np.zeros(1, int), np.zeros(1, int))
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-4)
    np.testing.assert_allclose(found[0], _by_hand(unseen_queries, users[0], np.zeros(12)), atol=1e-4)
