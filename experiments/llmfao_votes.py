"""Votes of 80 real people between two of 50 LLMs; decisions are held out, the 13 prompts are known to all.

Expected: accuracy on votes held out; a tie counts as right whichever is picked.
Command:  python -m launch.train --config=experiments/llmfao_votes.py --workdir=runs/llmfao
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="llmfao_votes: real people, warm queries")
    config.data.source = "tables"
    config.data.path = "../shared/data/llmfao_votes"
    config.data.split = "warm_query"
    return config
