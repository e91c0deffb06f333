"""ZeroEval answers of 30 LLMs, 100 multi-cost-efficiency users who rate what they see.

Command:  prouter train --config=zeroeval_route --workdir=runs/zeroeval --config.seeds=5
"""

from prouter_jax.config import ExperimentConfig

from . import mmlu_route


def get_config() -> ExperimentConfig:
    config = mmlu_route.get_config()
    config.name = "zeroeval_route: 100 multi-cost-efficiency users, ratings, cold queries"
    config.data.path = "../shared/data/zeroeval_route"
    return config
