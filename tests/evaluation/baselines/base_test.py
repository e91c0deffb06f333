"""Selection of decisions."""

import numpy as np
from policy_cases import choices

from prouter_jax.evaluation.baselines.base import first_decisions, select, select_decisions

HISTORY = choices([1, 0, 1, 1, 0], [10, 11, 12, 13, 14], [0, 1, 0, 1, 0], 2)


def test_each_user_keeps_its_first_decisions():
    assert first_decisions(HISTORY, 2).decisions.query.tolist() == [10, 11, 12, 14]
    assert first_decisions(HISTORY, np.array([0, 1])).decisions.query.tolist() == [10]
    backwards = first_decisions(HISTORY, 1, order=-np.arange(5))
    assert backwards.decisions.query.tolist() == [13, 14]


def test_rewards_go_with_their_decisions():
    some = select(HISTORY, np.array([3, 0]))
    assert some.decisions.query.tolist() == [13, 10]
    assert some.rewards.tolist() == [[0, 1], [1, 0]]
    assert select_decisions(HISTORY.decisions, slice(1, 3)).query.tolist() == [11, 12]
