"""Bradley-Terry strengths of LLMs, against a general optimiser and planted choices."""

import numpy as np
from policy_cases import labelled, small_world
from scipy import optimize

from prouter_jax.evaluation.baselines.bradley_terry import BradleyTerry, BradleyTerryTask, fit_strengths

NAN = np.nan
VOTES = labelled(
    [0] * 6,
    [0] * 6,
    [[1, 0, NAN], [1, 0, NAN], [0, 1, NAN], [NAN, 0.5, 0.5], [NAN, 0, 1], [0.9, 0.2, 0.3]],
)


def _loss(strength, penalty):
    shares = np.nan_to_num(VOTES.rewards) == np.nan_to_num(VOTES.rewards).max(1, keepdims=True)
    shares = shares / shares.sum(1, keepdims=True)
    logits = np.where(VOTES.decisions.offered, strength, -np.inf)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return -(shares * np.where(VOTES.decisions.offered, logs, 0)).sum() + penalty / 2 * (strength**2).sum()


def test_strengths_are_the_most_likely_ones():
    found = fit_strengths(VOTES, np.zeros(6, int), np.zeros((1, 3)), 0.3)[0]
    expected = optimize.minimize(_loss, np.zeros(3), args=(0.3,)).x
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_llm_is_as_strong_as_those_it_beats():
    """c beats b, b beats a; a beats a weak d always never against c."""
    rewards = [[NAN, 0, 1, NAN]] * 8 + [[0, 1, NAN, NAN]] * 8 + [[1, NAN, NAN, 0]] * 20
    votes = labelled([0] * 36, [0] * 36, rewards)
    found = fit_strengths(votes, np.zeros(36, int), np.zeros((1, 4)), 0.1)[0]
    assert np.argsort(-found).tolist() == [2, 1, 0, 3]


def test_tasks_are_pulled_to_the_overall_strengths():
    dataset = small_world()
    task = dataset.data.queries.task
    a, b = (int(np.flatnonzero(task == row)[0]) for row in (0, 1))
    eye = np.eye(5)
    votes = labelled([0] * 23, [a] * 20 + [b] * 3, [eye[0]] * 20 + [eye[1]] * 3)
    for task_penalty, expected in ((0.1, [0, 1, 0]), (1e4, [0, 0, 0])):
        policy = BradleyTerryTask(dataset, penalty=0.1, task_penalty=task_penalty)
        policy.fit(votes, votes)
        other = int(np.flatnonzero(task == 2)[0])
        asked = labelled([1, 1, 1], [a, b, other], np.zeros((3, 5))).decisions
        assert policy.score(votes, asked).argmax(1).tolist() == expected
    blind = BradleyTerry(dataset)
    blind.fit(votes, votes)
    assert len(np.unique(blind.score(votes, asked), axis=0)) == 1
