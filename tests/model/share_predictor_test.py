"""Choice probabilities on new queries: a regression of each user's own on the known queries, as in plain numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.data.query_features import make_query_features
from prouter_jax.model import share_predictor
from prouter_jax.model.query_kernel import Scales, kernel_to, make_query_kernel
from prouter_jax.model.share_predictor import SharePredictor

NUM_TASKS = 2


def _places(number, seed):
    rng = np.random.default_rng(seed)
    task = rng.integers(-1, NUM_TASKS, number)
    return make_query_features(rng.normal(size=(number, 6)) / 2, rng.normal(size=(number, 3)), task, NUM_TASKS)


def _make(landmarks):
    answers = jnp.asarray(np.random.default_rng(4).normal(size=(12, 3, 4)), jnp.float32)
    kernel = make_query_kernel(_places(12, 0), NUM_TASKS, Scales(1.5, 0.1, 0.2), 0.7, np.arange(landmarks))
    return SharePredictor(kernel, answers, 2.0)


@pytest.fixture(params=[12, 5], ids=["exact", "low rank"])
def predictor(request):
    return _make(request.param)


def _by_hand(predictor, theta, kernel):
    """With the features of the known queries over the landmarks; the kernel matrix itself where these are all."""
    logits = 2.0 * np.asarray(predictor.answers) @ theta
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    base = shares.mean(0)
    to_known = np.asarray(kernel_to(predictor.kernel, _places(12, 0)), np.float64)  # [known, landmarks]
    gram = 0.7 * to_known[: to_known.shape[1]] + to_known.T @ to_known
    return np.log(np.maximum(base + kernel @ np.linalg.solve(gram, to_known.T @ (shares - base)), 1e-4))


def _drawn(predictor):
    rng = np.random.default_rng(5)
    users = rng.normal(size=(5, 4)).astype(np.float32)
    return users, np.asarray(kernel_to(predictor.kernel, _places(6, 1))), rng.integers(0, 5, 20), rng.integers(0, 6, 20)


@pytest.mark.parametrize("at_once", [128, 2, 1])
def test_shares_are_predicted_from_those_near_by(monkeypatch, predictor, at_once):
    monkeypatch.setattr(share_predictor, "_USERS_AT_ONCE", at_once)
    users, kernel, user, place = _drawn(predictor)
    found = predictor.logits(users, kernel, user, place)
    expected = [_by_hand(predictor, users[u], kernel[p]) for u, p in zip(user, place, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert predictor.logits(users, kernel, user[:0], place[:0]).shape == (0, 3)


def test_a_query_unlike_any_other_gets_the_users_mean_share(predictor):
    users, kernel, *_ = _drawn(predictor)
    nowhere = np.zeros_like(kernel[:1])
    found = predictor.logits(users, nowhere, np.zeros(1, int), np.zeros(1, int))
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-4)
    np.testing.assert_allclose(found[0], _by_hand(predictor, users[0], nowhere[0]), atol=1e-4)


def _count_regressed(monkeypatch):
    """The number of users in each regression from now on, padding included."""
    counts, regress = [], share_predictor._regress_shares
    monkeypatch.setattr(
        share_predictor, "_regress_shares", lambda *args: (counts.append(len(args[3])), regress(*args))[1]
    )
    return counts


def test_a_user_is_regressed_once(monkeypatch, predictor):
    counts, (users, kernel, user, place) = _count_regressed(monkeypatch), _drawn(predictor)
    first = predictor.logits(users, kernel, user, place)
    np.testing.assert_array_equal(predictor.logits(users[::-1].copy(), kernel, 4 - user, place), first)
    assert counts == [128]


def test_a_request_of_one_user_is_not_computed_for_others(monkeypatch, predictor):
    counts, (users, kernel, _, place) = _count_regressed(monkeypatch), _drawn(predictor)
    one = predictor.logits(users, kernel, np.full(3, 2), place[:3])
    np.testing.assert_allclose(one, [_by_hand(predictor, users[2], kernel[p]) for p in place[:3]], atol=1e-3)
    assert counts == [1]


def test_the_least_recently_used_coefficients_are_dropped(monkeypatch):
    predictor = _make(5)
    monkeypatch.setattr(share_predictor, "_CACHED_BYTES", 3 * 4 * (4 + (5 + 1) * 3) + 1)  # three users
    counts, (users, kernel, *_) = _count_regressed(monkeypatch), _drawn(predictor)
    for user in (0, 1, 2, 0, 3, 0, 1):
        predictor.logits(users, kernel, np.array([user]), np.zeros(1, int))
    assert [np.frombuffer(key, np.float32).tolist() for key in predictor.cache] == [
        users[u].tolist() for u in (3, 0, 1)
    ]
    assert len(counts) == 5


def test_few_users_are_regressed_at_once_where_there_are_many_queries(monkeypatch, predictor):
    monkeypatch.setattr(share_predictor, "_SHARES_AT_ONCE", 80)  # 12 queries, 3 LLMs
    counts, (users, kernel, user, place) = _count_regressed(monkeypatch), _drawn(predictor)
    predictor.logits(users, kernel, user, place)
    assert counts == [2, 2, 1]
