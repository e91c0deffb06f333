"""The one configuration: what an experiment file returns, what flags override, what a workdir keeps.

Defaults live here and nowhere else. The dataclasses stay open so that `--config.model.hidden_dim=64`
works; `validate` is the first line of every entry, because overrides do not pass through a constructor.
"""

import dataclasses
import json
import math
import typing
from typing import Any

from prouter_jax.config_limits import CHOICES, NEW_LLMS, NEW_USERS, PARTS, RANGES, TIME, USERS_AT_ONCE


@dataclasses.dataclass
class Embedded:
    """The size of the embedded benchmark; `preferences=False` gives every user the same taste.

    `more_users` only train, in minibatches: their histories are kept on disk, and no memory depends on their number.
    """

    num_tasks: int = 5
    num_queries: int = 400
    num_llms: int = 8
    num_users: int = 40
    decisions_per_user: int = 60
    preferences: bool = True
    more_users: int = 0
    seed: int = 0


@dataclasses.dataclass
class Judge:
    """Who picks the answers that llm_as_judge users like best.

    Attributes:
      name: "style", embedded rules on the answers' texts, or "llm", an LLM at an OpenAI-compatible server.
      noise: scale of the Gumbel noise on the style judge's utilities. On real answers of ten LLMs, 0.1 makes a
        person who is asked again choose the same in three cases of four.
      seed: of that noise, and of the order in which the llm judge is shown the answers.
      model: what the server calls the LLM.
      verdicts: file that keeps the llm judge's verdicts, so that nothing is paid twice.
      concurrency: requests under way at a time.
      attempts: requests for one reply, at most; `backoff` seconds after the first failure, twice as many each time.
      timeout: seconds for one reply.
      max_output_tokens: for one reply, thinking included; `output_limit` is what the server calls this limit.
      input_price, output_price: USD per million tokens.
      max_cost: USD that the verdicts in the file may cost in all; 0 for no limit.
    """

    name: str = "style"
    noise: float = 0.1
    seed: int = 0
    model: str = ""
    verdicts: str = ""
    concurrency: int = 8
    attempts: int = 6
    backoff: float = 1.0
    timeout: float = 120.0
    max_output_tokens: int = 1000
    output_limit: str = "max_completion_tokens"
    input_price: float = 0.0
    output_price: float = 0.0
    max_cost: float = 0.0


@dataclasses.dataclass
class Data:
    """Where interactions come from and how they are split.

    Attributes:
      source: the embedded benchmark, a folder of tables, a TFDS data set, or a public format, see `readers.public`.
      path: the folder or file, as it is published; empty for the embedded benchmark.
      llms_path: PersonaRoute-Bench's JSON file of LLMs, if there is one.
      pool: keep only the LLMs of this pool; empty keeps all.
      users: those in the data, or simulated: multi-cost-efficiency users, or people whom `judge` plays.
      most_users: of the users in the data keep only the first so many; 0 for all.
      feedback: what simulated users tell: their choice of the best LLM, or a rating of every LLM.
      split: what is new in the test: queries; nothing but the pair of user and query; users, on known queries
        (warm_user) or on new ones; LLMs; or both. Or, by time, whatever came last.
      decisions_per_user: at most so many training decisions of each user, drawn at random; 0 for all.
      new_llms: names of the LLMs that are new in the test, with commas between.
      given: how many decisions of each new user, or with new LLMs on offer, may be seen when scoring;
        0 is what training sees. See `splits.divide`.
      ignore_effects: leave out the outcomes' effects, as where they are made of the very decisions to be foreseen.
      encoder: name of the text encoder, or "given" for vectors that come with the data.
    """

    source: str = "embedded"
    path: str = ""
    llms_path: str = ""
    pool: str = ""
    users: str = "recorded"
    most_users: int = 0
    num_users: int = 9
    preference_min: float = 0.2
    preference_max: float = 1.0
    feedback: str = "choice"
    split: str = "cold_query"
    train_share: float = 0.7
    validation_share: float = 0.1
    decisions_per_user: int = 0
    new_llms: str = ""
    given: int = 0
    ignore_effects: bool = False
    encoder: str = "wordllama"
    embedded: Embedded = dataclasses.field(default_factory=Embedded)
    judge: Judge = dataclasses.field(default_factory=Judge)


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
    _check_types(config, "config")
    for path, allowed in CHOICES.items():
        _require(_get(config, path) in allowed, path, f"one of {', '.join(allowed)}", _get(config, path))
    for path, (low, high) in RANGES.items():
        value: float = _get(config, path)
        _require(low <= value <= high and math.isfinite(value), path, f"a value in [{low}, {high}]", value)
    data = config.data
    _require(data.source == "embedded" or bool(data.path), "data.path", f"a path for source {data.source!r}", data.path)
    _require(
        data.preference_min <= data.preference_max,
        "data.preference_max",
        "at least data.preference_min",
        data.preference_max,
    )
    unknown = sorted(set(filter(None, config.model.without.split(","))) - set(PARTS))
    _require(not unknown, "model.without", f"parts among {', '.join(PARTS)}", ", ".join(unknown))
    shares = data.train_share + data.validation_share
    _require(shares < 1, "data.validation_share", "train and validation shares that leave a test set", shares)
    _check_split(data)
    if data.users == "llm_as_judge":
        _check_judge(data)
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
    return validate(_build(ExperimentConfig, json.loads(text), "config"))


def _check_split(data: Data) -> None:
    split, news = data.split, data.split in NEW_LLMS
    expected = f"names of LLMs for split {split!r}" if news else f"nothing for split {split!r}"
    _require(bool(data.new_llms) == news, "data.new_llms", expected, data.new_llms)
    timed = split != TIME or data.users == "recorded"  # the others decide at no time
    _require(timed, "data.users", f"'recorded' for split {TIME!r}", data.users)
    _require(not data.given or split in NEW_USERS + NEW_LLMS, "data.given", f"0 for split {split!r}", data.given)


def _check_batches(config: ExperimentConfig) -> None:
    train, more, devices = config.train, config.data.embedded.more_users, config.mesh.data
    each = train.users_per_step // devices
    fits = train.users_per_step % devices == 0 and (each <= USERS_AT_ONCE or each % USERS_AT_ONCE == 0)
    share = f"for each of {devices} devices at most {USERS_AT_ONCE} users, or a multiple of that"
    _require(fits, "train.users_per_step", share, train.users_per_step)
    if more:
        plain = config.data.source == "embedded" and config.data.users == "recorded"
        _require(plain, "data.embedded.more_users", "0 but for the embedded benchmark's own users", more)
        _require(config.data.split == "cold_query", "data.split", "'cold_query' with more_users", config.data.split)
        _require(train.users_per_step > 0, "train.users_per_step", "some users with more_users", 0)


def _check_judge(data: Data) -> None:
    judge = data.judge
    _require(data.feedback == "choice", "data.feedback", "'choice' of users that are judges", data.feedback)
    if judge.name == "llm":
        _require(bool(judge.model), "data.judge.model", "a model for judge 'llm'", judge.model)
        priced = judge.input_price + judge.output_price > 0
        _require(priced or not judge.max_cost, "data.judge.max_cost", "0 without prices", judge.max_cost)


def _get(config, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def _require(good: bool, path: str, expected: str, found) -> None:
    if not good:
        raise ValueError(f"config.{path}: expected {expected}, found {found!r}")


def _check_types(section, path: str) -> None:
    for name, kind in typing.get_type_hints(type(section)).items():
        value = getattr(section, name)
        if dataclasses.is_dataclass(kind):
            _check_types(value, f"{path}.{name}")
        elif type(value) is not kind:
            raise ValueError(f"{path}.{name}: expected {kind.__name__}, found {value!r}")


def _build(kind, values: dict, path: str):
    """Builds dataclass `kind` from a dictionary with exactly its fields."""
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict) or set(values) != set(hints):
        odd = sorted(set(hints) ^ set(values)) if isinstance(values, dict) else values
        raise ValueError(f"{path}: expected the keys {', '.join(hints)}, found a difference in {odd}")
    built = {}
    for name, hint in hints.items():
        nested = dataclasses.is_dataclass(hint)
        built[name] = _build(hint, values[name], f"{path}.{name}") if nested else values[name]
    return kind(**built)
