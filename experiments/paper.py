"""The paper's network (arXiv 2511.16883: two layers, hidden 32, dot product) on the embedded benchmark.

Expected: 0.63 of the choices matched (seeds 0 to 2), 0.40 by its user-blind twin; 20 seconds a seed.
Command:  prouter train --config=paper --workdir=runs/paper
          [--config.data.source=tables --config.data.path=FOLDER] [--config.model.without=history]
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="The paper's network")
    config.model.preset = "paper"
    config.train.num_train_steps = 300
    config.train.eval_every_steps = 25
    return config
