"""MMLU-Pro answers of 29 LLMs, 100 multi-cost-efficiency users who rate what they see.

Command:  prouter train --config=mmlupro_route --workdir=runs/mmlupro --config.seeds=5
"""

from prouter_jax.config import ExperimentConfig

from . import mmlu_route


def get_config() -> ExperimentConfig:
    config = mmlu_route.get_config()
    config.name = "mmlupro_route: 100 multi-cost-efficiency users, ratings, cold queries"
    config.data.path = "../shared/data/mmlupro_route"
    config.model.query_kernel.landmarks = 2048  # of 8,415 training queries: users of few weights can afford it
    return config
