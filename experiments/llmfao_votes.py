"""Votes of 80 real people between two of 50 LLMs; decisions are held out, the 13 prompts are known to all.

Command:  prouter train --config=llmfao_votes --workdir=runs/llmfao

The effect of an outcome is here the share of votes won, those to be foreseen among them: it is left out.
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="llmfao_votes: real people, warm queries")
    config.data.source = "tables"
    config.data.path = "../shared/data/llmfao_votes"
    config.data.split = "warm_query"
    config.data.ignore_effects = True
    # 13 prompts say little of style, and tastes of so few answers are soon learnt by heart
    config.model.style = False
    config.train.num_train_steps = 12
    return config
