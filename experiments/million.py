"""A million users of the embedded benchmark, 30 decisions each over 100,000 queries and 10 LLMs, in minibatches.

Claim: memory and time for a user do not depend on how many there are: prouter bench --only=epochs

Command:  prouter train --config=million --workdir=runs/million
"""

from prouter_jax.config import Embedded, ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig(name="a million users")
    config.data.embedded = Embedded(
        num_tasks=5, num_queries=100_000, num_llms=10, num_users=1000, decisions_per_user=30, more_users=1_000_000
    )
    config.train.users_per_step = 20_480
    config.train.steps_per_round = 12  # a quarter of the users: four rounds an epoch
    config.train.num_train_steps = 196
    config.train.eval_every_steps = 49
    config.train.refit = False  # it shows what an epoch costs; a second training would cost as much
    return config
