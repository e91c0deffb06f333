"""AlpacaEval answers, 1,000 users with style of their own who chose among the core pool; cold queries.

Command:  prouter train --config=alpaca_choices --workdir=runs/choices
          (known queries: --config.data.split=warm_query)
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="alpaca_route: choices of 1,000 users, cold queries")
    config.data.source = "tables"
    config.data.path = "../shared/data/alpaca_route"
    config.data.pool = "core"
    return config
