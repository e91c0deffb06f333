"""Your own folder of tables: what its users chose, voted or rated.

Command:  prouter train --config=tables --workdir=runs/mine --config.data.path=FOLDER
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="Recorded decisions")
    config.data.source = "tables"
    return config
