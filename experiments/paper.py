"""The paper's network (two layers, hidden 32, dot product) on the embedded benchmark.

Command:  python -m launch.train --config=experiments/paper.py --workdir=runs/paper
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="The paper's network: 40 users, 8 LLMs")
    config.model.preset = "paper"
    config.train.num_train_steps = 300
    config.train.eval_every_steps = 25
    return config
