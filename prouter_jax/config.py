"""The one configuration: what an experiment file returns, what flags override, what a workdir keeps.

Defaults live in these dataclasses and in the data's, in config_data.py, and nowhere else. They stay open so that
`--config.model.hidden_dim=64` works; `validate` is the first line of every entry, because overrides do not pass
through a constructor.
"""

import dataclasses
import json
import math

from prouter_jax.config_data import Data, check_data
from prouter_jax.config_fields import build, check_types, get_field, require
from prouter_jax.config_limits import CHOICES, PARTS, RANGES, USERS_AT_ONCE


@dataclasses.dataclass
class Near:
    """How known queries speak for a new one, see `bayes.near`.

    Attributes:
      text, style: how fast nearness falls with the squared distance of text vectors, and of the texts' style.
      task: nearness of all queries of a task.
      noise: how much is taken for chance; the more, the closer the answer is to the mean.
      most_queries: known queries that send messages; where there are more, so many of them by chance.
    """

    text: float = 2.0
    style: float = 0.02
    task: float = 0.1
    noise: float = 5.0
    most_queries: int = 10_000


@dataclasses.dataclass
class Model:
    """Which network, and its sizes. The first part is the default's, the second the paper's.

    Attributes:
      preset: "bayes" (default) or "paper" (arXiv 2511.16883: layers of message passing, dot product, gradients).
      taste_dim: tastes of an answer that no text shows, learnt from what is said of it.
      taste_precision: of these tastes before anything is said.
      style, llm_weights, crowd: whether users weigh an answer's style, its LLM, and what the crowd thinks of it.
      population_strength: how many users the prior of the population counts for.
      warmup_rounds: rounds before tastes are learnt.
      foresight: how an unasked query is judged: "share", how often each LLM's answers to near queries would be
        chosen; or "utility", what its answer is expected to be like.
      hidden_dim, message_passing_steps: width and number of layers of the paper's network.
      head: "dot" product of user, task and query with the LLM, or "bilinear".
      without: parts left out of the paper's network, comma-separated, among `config_limits.PARTS`.
    """

    preset: str = "bayes"
    taste_dim: int = 9
    taste_precision: float = 6.0
    style: bool = True
    llm_weights: bool = True
    crowd: bool = True
    population_strength: float = 5.0
    warmup_rounds: int = 4
    foresight: str = "share"
    near: Near = dataclasses.field(default_factory=Near)
    hidden_dim: int = 32
    message_passing_steps: int = 2
    head: str = "dot"
    without: str = ""


@dataclasses.dataclass
class Optimizer:
    """Of the paper's network: AdamW with linear warm-up, cosine decay and clipping by global norm."""

    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 20
    clip_norm: float = 1.0


@dataclasses.dataclass
class Train:
    """The loop: rounds of messages for the default network, gradient steps for the paper's.

    What follows hidden decisions is the paper's network's: a pass hides every training decision once, in `folds` steps.

    Attributes:
      users_per_step: users that a step reads; 0 for all of them and their whole histories.
      history_length: the most decisions that are read of a user, drawn anew each time, where a step reads some users.
      steps_per_round: how many such steps of the default network are a round; 0 for a pass over all users.
      full_history_share: share of users who show all that is visible; the others a part of it,
        their lengths spread evenly over orders of magnitude.
      no_task_share: share of hidden queries scored as if their task were unknown.
      text_noise: norm of the noise on text vectors (of norm 1) in training, against learning texts by heart.
      eval_every_steps: how often the validation reward is measured and a checkpoint saved.
      patience: evaluations without a better validation reward before stopping.
      tensorboard: also write metrics for TensorBoard (pip install 'prouter-jax[tensorboard]').
    """

    num_train_steps: int = 16
    users_per_step: int = 0
    history_length: int = 32
    steps_per_round: int = 0
    folds: int = 2
    full_history_share: float = 0.5
    no_task_share: float = 0.1
    text_noise: float = 5.0
    eval_every_steps: int = 4
    patience: int = 5
    tensorboard: bool = False


@dataclasses.dataclass
class Mesh:
    """Devices along the two axes: users are spread over `data`, parameters over `model`."""

    data: int = 1
    model: int = 1


@dataclasses.dataclass
class ExperimentConfig:
    """Everything that decides a run. `seeds=n` trains seeds 0 .. n-1 under WORKDIR/seed_N; 0 trains `seed` alone."""

    name: str = "experiment"
    seed: int = 0
    seeds: int = 0
    data: Data = dataclasses.field(default_factory=Data)
    model: Model = dataclasses.field(default_factory=Model)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    train: Train = dataclasses.field(default_factory=Train)
    mesh: Mesh = dataclasses.field(default_factory=Mesh)


def validate(config: ExperimentConfig) -> ExperimentConfig:
    """Returns `config` if every value has its type and is possible.

    Raises:
      ValueError: naming the field, what was expected and what was found.
    """
    check_types(config, "config")
    for path, allowed in CHOICES.items():
        require(get_field(config, path) in allowed, path, f"one of {', '.join(allowed)}", get_field(config, path))
    for path, (low, high) in RANGES.items():
        value: float = get_field(config, path)
        require(low <= value <= high and math.isfinite(value), path, f"a value in [{low}, {high}]", value)
    unknown = sorted(set(filter(None, config.model.without.split(","))) - set(PARTS))
    require(not unknown, "model.without", f"parts among {', '.join(PARTS)}", ", ".join(unknown))
    check_data(config.data)
    _check_batches(config)
    return config


def to_json(config: ExperimentConfig) -> str:
    """The configuration as JSON text, keys in the order of the dataclasses."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_json(text: str) -> ExperimentConfig:
    """The inverse of `to_json`, validated.

    Raises:
      ValueError: on an unknown or missing key, a wrong type or an impossible value.
    """
    return validate(build(ExperimentConfig, json.loads(text), "config"))


def _check_batches(config: ExperimentConfig) -> None:
    train, more, devices = config.train, config.data.embedded.more_users, config.mesh.data
    each = train.users_per_step // devices
    fits = train.users_per_step % devices == 0 and (each <= USERS_AT_ONCE or each % USERS_AT_ONCE == 0)
    share = f"for each of {devices} devices at most {USERS_AT_ONCE} users, or a multiple of that"
    require(fits, "train.users_per_step", share, train.users_per_step)
    if more:
        plain = config.data.source == "embedded" and config.data.users == "recorded"
        require(plain, "data.embedded.more_users", "0 but for the embedded benchmark's own users", more)
        require(config.data.split == "cold_query", "data.split", "'cold_query' with more_users", config.data.split)
        require(train.users_per_step > 0, "train.users_per_step", "some users with more_users", 0)
