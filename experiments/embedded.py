"""The embedded benchmark: no data needed, planted preferences that a router must find.

Command:  prouter train --config=embedded --workdir=runs/embedded
"""

from prouter_jax.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="Embedded benchmark: 40 users, 8 LLMs")
    config.model.preset = "em"  # seconds; the default preset, "tuned", takes a minute more, most of it compilation
    return config
