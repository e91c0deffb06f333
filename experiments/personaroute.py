"""The paper's PersonaRoute-Bench CSV, either variant; a folder of train, validation and test files, or one file.

Command:  prouter train --config=personaroute --workdir=runs/personaroute
          --config.data.path=FOLDER --config.data.llms_path=LLMS.json

The CSV is not ours to ship: the reader is tested on small made-up files of the same columns.
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="PersonaRoute-Bench")
    config.data.source = "personaroute"
    config.data.path = "PersonaRoute-Bench"
    config.data.encoder = "given"
    return config
