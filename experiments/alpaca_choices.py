"""AlpacaEval answers, 1,000 users with style of their own who chose among the core pool; cold queries.

Expected: accuracy beside a user's own favourite (0.410 to 0.437).
Command:  python -m launch.train --config=experiments/alpaca_choices.py --workdir=runs/choices
"""

from experiments import alpaca_route
from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = alpaca_route.get_config()
    config.name = "alpaca_route: choices of 1,000 users, cold queries"
    config.data.users = "recorded"
    return config
