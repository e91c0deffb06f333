"""AlpacaEval answers, core pool, 9 multi-cost-efficiency users who tell which LLM they would choose.

Command:  prouter train --config=alpaca_route --workdir=runs/alpaca --config.seeds=10
          (data elsewhere: --config.data.path=FOLDER)

These users weigh effect and cost and nothing else, so the network is told to look at nothing else.
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="alpaca_route: 9 multi-cost-efficiency users, cold queries")
    config.data.source = "tables"
    config.data.path = "../shared/data/alpaca_route"
    config.data.pool = "core"
    config.data.users = "multi_cost_efficiency"
    config.model.unseen_queries = "utility"
    config.model.style = config.model.llm_weights = config.model.population_mean = False
    config.model.factor_dim = 0
    return config
