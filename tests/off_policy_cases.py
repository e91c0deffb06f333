"""Small logs as arrays, for the tests of off-policy estimates."""

import numpy as np

from prouter_jax.evaluation.off_policy.log import Log


def make_log(number=600, seed=0, llms=3, users=60, logged=True):
    """LLM k has the mean reward k / llms; longer queries go more often to LLMs of higher numbers."""
    rng = np.random.default_rng(seed)
    length = rng.uniform(10, 1000, number)
    offered = np.ones((number, llms), bool)
    offered[rng.random(number) < 0.3, 0] = False
    task = rng.integers(0, 2, number)
    logits = np.where(offered, np.arange(llms) * (0.6 * np.log1p(length)[:, None] - 3.4) + task[:, None], -np.inf)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    served = np.array([rng.choice(llms, p=row) for row in chances])
    reward = (rng.random(number) < served / llms).astype(float)
    propensity = chances[np.arange(number), served] if logged else np.full(number, np.nan)
    rows = np.arange(number)
    return Log(offered, served, reward, propensity, rng.integers(0, users, number), task, rows, length), chances
