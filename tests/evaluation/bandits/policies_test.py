"""Bandits: priors from known users, then each user's own thumbs; LinUCB against a regression solved at once."""

import numpy as np
import pytest

from prouter_jax.evaluation.bandits.policies import BetaCells, EpsilonGreedy, LinUcb, Warm

LIKES = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], bool)
VECTORS = np.random.default_rng(0).normal(size=(4, 2))
WARM = Warm(LIKES, VECTORS)
NOBODY = np.zeros(2, int)


def _rng():
    return np.random.default_rng(1)


def test_without_thumbs_the_known_users_favourite_is_picked_and_own_thumbs_overrule_it():
    greedy = EpsilonGreedy(WARM, users=2, strength=4.0, epsilon=0.0, rng=_rng())
    assert greedy.pick(NOBODY).tolist() == [0, 0]
    for _ in range(9):  # (3 + 0) / (4 + 9) is below 1 / 4
        greedy.learn(1, 0, 0, up=False)
    assert greedy.pick(NOBODY).tolist() == [0, 1]


def test_epsilon_is_the_share_of_picks_at_random():
    greedy = EpsilonGreedy(WARM, users=3000, strength=4.0, epsilon=0.3, rng=_rng())
    share = np.bincount(greedy.pick(np.zeros(3000, int)), minlength=3) / 3000
    np.testing.assert_allclose(share, [0.8, 0.1, 0.1], atol=0.02)


@pytest.mark.parametrize("thumbs", [0, 5])
def test_beta_cells_pick_as_often_as_a_beta_distribution_is_the_largest(thumbs):
    cells = BetaCells(WARM, users=4000, strength=4.0, rng=_rng())
    for user in range(4000):
        for _ in range(thumbs):
            cells.learn(user, 0, 1, up=True)
    share = np.bincount(cells.pick(np.zeros(4000, int)), minlength=3) / 4000
    rng = np.random.default_rng(2)
    drawn = np.stack([rng.beta(3, 1, 10_000), rng.beta(1 + thumbs, 3, 10_000), rng.beta(0.001, 4, 10_000)])
    np.testing.assert_allclose(share, np.bincount(drawn.argmax(0), minlength=3) / 10_000, atol=0.03)


def test_linucb_is_ridge_regression_on_all_that_was_told_plus_its_bound():
    vectors = np.random.default_rng(3).normal(size=(5, 2))
    bandit = LinUcb(WARM, vectors, users=2, alpha=0.7, user_precision=10.0)
    told = [(0, 2, True), (0, 1, False), (3, 2, True)]
    for query, llm, up in told:
        bandit.learn(1, query, llm, up)
    known = np.concatenate([np.ones((4, 1)), VECTORS, np.zeros((4, 1))], 1)
    features = np.concatenate([np.ones((5, 1)), vectors, np.ones((5, 1))], 1)
    query, scores = 4, []
    for llm in range(3):
        own = [(features[q], up) for q, named, up in told if named == llm]
        x = np.stack([*known, *(row for row, _ in own)])
        y = np.array([*LIKES[:, llm], *(up for _, up in own)], float)
        precision = np.diag([1, 1, 1, 10.0]) + x.T @ x
        at = features[query]
        bound = np.sqrt(at @ np.linalg.solve(precision, at))
        scores.append(at @ np.linalg.solve(precision, x.T @ y) + 0.7 * bound)
    ax = np.einsum("lij,j->li", bandit.inverse[1], features[query])
    found = (ax * bandit.moment[1]).sum(1) + 0.7 * np.sqrt(ax @ features[query])
    np.testing.assert_allclose(found, scores, rtol=1e-6)
    assert bandit.pick(np.array([query, query]))[1] == np.argmax(scores)
