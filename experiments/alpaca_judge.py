"""AlpacaEval answers, core pool; people whom a judge plays pick the answer they like best.

Command:  prouter train --config=alpaca_judge --workdir=runs/alpaca_judge
          (asking an LLM: first prouter judge with --config.data.judge.name=llm --config.data.judge.model=MODEL)

The embedded judge measures nine styles of each answer beside its quality and cost, see llm/judges/style_judge.py.
"""

from prouter_jax.config import ExperimentConfig

from . import alpaca_choices


def get_config() -> ExperimentConfig:
    config = alpaca_choices.get_config()
    config.name = "alpaca_route: 1,000 people played by a judge, cold queries"
    config.data.users = "llm_as_judge"
    config.data.num_users = 1000
    return config
