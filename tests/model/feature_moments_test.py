"""Moments of answer features: each way to sum them gives what numpy gives."""

import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.model import feature_moments
from prouter_jax.model.feature_moments import centred_moment
from prouter_jax.model.llm_states import StateColumns

DECISIONS, LLMS, USERS = 7, 4, 3
STATES = np.random.default_rng(3).normal(size=(LLMS, 2))


def _case(states):
    """Answers with LLMs' states between others, and weights of users that sum to 1 except in a silent decision."""
    rng = np.random.default_rng(0)
    others = rng.normal(size=(DECISIONS, LLMS, 5))
    of_llms = np.broadcast_to(states, (DECISIONS, *states.shape))
    answers = np.concatenate([others[..., :2], of_llms, others[..., 2:]], -1)
    share = rng.random((DECISIONS, LLMS, USERS))
    share[:, 1, 0] = 0
    share /= share.sum(1, keepdims=True)
    share[3] = 0
    return answers, share


@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("states", [np.eye(LLMS), STATES], ids=["one-hot", "states"])
@pytest.mark.parametrize("rows", [1 << 15, 10, LLMS], ids=["a block", "blocks with padding", "a block each"])
def test_moments_of_users_are_those_of_numpy(monkeypatch, states, shortcut, rows):
    monkeypatch.setattr(feature_moments, "_ROWS_AT_ONCE", rows)
    answers, share = _case(states)
    weight = np.random.default_rng(1).random(share.shape)
    mean = np.einsum("kcu,kca->uka", share, answers)
    expected = np.einsum("kcu,kca,kcb->uab", weight, answers, answers) - np.einsum("uka,ukb->uab", mean, mean)
    answers, weight, share = (jnp.asarray(x, jnp.float32) for x in (answers, weight, share))
    columns = StateColumns(
        slice(2, 2 + states.shape[1]), None if states is not STATES else jnp.asarray(STATES, jnp.float32)
    )
    found = centred_moment(answers, weight, share, columns if shortcut else None)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = [centred_moment(answers, weight[..., user], share[..., user]) for user in range(USERS)]
    np.testing.assert_allclose(alone, expected, atol=1e-5)
