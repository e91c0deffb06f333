"""MMLU and GSM8K answers of two LLMs, 100 multi-cost-efficiency users who rate what they see.

Command:  prouter train --config=mmlu_route --workdir=runs/mmlu --config.seeds=5

Ratings, because choices cannot tell these users apart: between two LLMs of which the better always
wins where only it is right, 62 of the 100 users make exactly the same choices.
"""

from prouter_jax.config import ExperimentConfig

from . import alpaca_route


def get_config() -> ExperimentConfig:
    config = alpaca_route.get_config()
    config.name = "mmlu_route: 100 multi-cost-efficiency users, ratings, cold queries"
    config.data.path = "../shared/data/mmlu_route"
    config.data.pool = ""
    config.data.num_users = 100
    config.data.feedback = "rating"
    config.train.num_train_steps = 6
    return config
