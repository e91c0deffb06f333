"""AlpacaEval answers, core pool, 9 multi-cost-efficiency users who tell which LLM they would choose.

Claim:    at least -0.001 against the best single LLM per user (0.203), the user-blind twin 0.02 lower.
Command:  python -m launch.train --config=experiments/alpaca_route.py --workdir=runs/alpaca --config.seeds=10
          (data elsewhere: --config.data.path=FOLDER)
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="alpaca_route: 9 multi-cost-efficiency users, cold queries")
    config.data.source = "tables"
    config.data.path = "../shared/data/alpaca_route"
    config.data.pool = "core"
    config.data.users = "multi_cost_efficiency"
    return config
