"""MMLU and GSM8K answers of two LLMs, 100 multi-cost-efficiency users who rate what they see.

Claim:    at least 0.425 (best LLM per user and task: 0.426).
Command:  python -m launch.train --config=experiments/mmlu_route.py --workdir=runs/mmlu --config.seeds=5

Ratings, because choices cannot tell these users apart: between two LLMs of which the better always
wins where only it is right, 62 of the 100 users make exactly the same choices.
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="mmlu_route: 100 multi-cost-efficiency users, ratings, cold queries")
    config.data.source = "tables"
    config.data.path = "../shared/data/mmlu_route"
    config.data.users = "multi_cost_efficiency"
    config.data.num_users = 100
    config.data.feedback = "rating"
    config.train.num_train_steps = 60
    return config
