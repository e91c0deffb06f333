"""The one configuration: what an experiment file returns, what flags override, what a workdir keeps.

Defaults live in these dataclasses and in the data's, in config_data.py, and nowhere else. They stay open so that
`--config.model.hidden_dim=64` works; `validate` is the first line of every entry, because overrides do not pass
through a constructor.
"""

import copy
import dataclasses
import json
import math
import typing
from typing import Any

# Names of version 0.1: still accepted in flags, experiment files and stored configurations.
ALIASES = {
    "model.factor_dim": "model.factor_dim",
    "model.factor_precision": "model.factor_precision",
    "model.prior_strength": "model.prior_strength",
    "model.population_mean": "model.population_mean",
    "model.query_kernel": "model.query_kernel",
    "model.unseen_queries": "model.unseen_queries",
}
_PRESET_ALIASES = {"em": "em"}


def current_path(path: str) -> str:
    """The path of a field under its current name; `path` may use a name of `ALIASES`."""
    for old, new in ALIASES.items():
        if path == old or path.startswith(f"{old}."):
            return new + path.removeprefix(old)
    return path


def get_field(config, path: str) -> Any:
    """The value at a path such as "data.judge.seed"."""
    for name in path.split("."):
        config = getattr(config, name)
    return config


def with_values(config: "ExperimentConfig", values: typing.Mapping[str, Any]) -> "ExperimentConfig":
    """A copy of a configuration with fields replaced, not validated.

    Args:
      values: by path of the field, such as "model.hidden_dim".

    Raises:
      ValueError: if there is no such field.
    """
    config = copy.deepcopy(config)
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        try:
            get_field(config, path)
        except AttributeError:
            raise ValueError(f"config.{path}: expected a field of the configuration, found none") from None
        setattr(get_field(config, section) if section else config, name, value)
    return config


def require(good: bool, path: str, expected: str, found) -> None:
    """Raises a ValueError that names the field of a value that is not good."""
    if not good:
        raise ValueError(f"config.{path}: expected {expected}, found {found!r}")


def check_types(section, path: str) -> None:
    """Raises a ValueError for the first value that is not of its field's very type."""
    for name, kind in typing.get_type_hints(type(section)).items():
        value = getattr(section, name)
        if dataclasses.is_dataclass(kind):
            check_types(value, f"{path}.{name}")
        elif type(value) is not kind:
            raise ValueError(f"{path}.{name}: expected {kind.__name__}, found {value!r}")


def build(kind, values: dict, path: str):
    """Builds dataclass `kind` from a dictionary with exactly its fields, else raises a ValueError."""
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict) or set(values) != set(hints):
        odd = sorted(set(hints) ^ set(values)) if isinstance(values, dict) else values
        raise ValueError(f"{path}: expected the keys {', '.join(hints)}, found a difference in {odd}")
    built = {}
    for name, hint in hints.items():
        nested = dataclasses.is_dataclass(hint)
        built[name] = build(hint, values[name], f"{path}.{name}") if nested else values[name]
    return kind(**built)


PUBLIC = ("personaroute", "prism", "arena", "routerbench", "llmrouterbench", "embedllm", "alpacaeval", "gmtrouter")
QUERY_SETS = ("alpaca", "gsm8k", "squad", "multi_news", "columns")
SOURCES = ("embedded", "tables", "tfds", *PUBLIC)
USERS = ("recorded", "multi_cost_efficiency", "llm_as_judge")
JUDGES = ("style", "llm")
OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")
FEEDBACK = ("choice", "rating")
NEW_USERS = ("cold_user", "warm_user", "cold_user_llm")  # splits whose test users are new
NEW_LLMS = ("cold_llm", "cold_user_llm")  # splits that test LLMs which training knows by their description alone
PRESETS = ("em", "paper")
UNSEEN_QUERIES = ("share", "utility")
HEADS = ("dot", "bilinear")
PARTS = ("history", "tasks", "outcomes", "families", "backward")  # edges that `Model.without` may name
WARM = ("warm_query", "warm_user")  # splits whose test queries are known
TIME = "time"  # the split by when decisions were made
SPLITS = ("cold_query", *WARM, "cold_user", *NEW_LLMS, TIME)
USERS_AT_ONCE = 128  # histories of so many users stay in a processor's cache while they are read

_POSITIVE = (1, 10**9)
_SHARE = (0.0, 1.0)
CHOICES = {
    "data.source": SOURCES,
    "data.users": USERS,
    "data.feedback": FEEDBACK,
    "data.split": SPLITS,
    "model.preset": PRESETS,
    "model.unseen_queries": UNSEEN_QUERIES,
    "model.head": HEADS,
    "data.judge.name": JUDGES,
    "data.judge.output_limit": OUTPUT_LIMITS,
}
RANGES = {
    "seed": (0, 2**31 - 1),
    "seeds": (0, 1000),
    "data.most_users": (0, 10**9),
    "data.num_users": _POSITIVE,
    "data.preference_min": _SHARE,
    "data.preference_max": _SHARE,
    "data.train_share": (0.01, 0.99),
    "data.validation_share": (0.01, 0.99),
    "data.decisions_per_user": (0, 10**9),
    "data.given": (0, 10**9),
    "data.embedded.num_tasks": (1, 50),
    "data.embedded.num_queries": _POSITIVE,
    "data.embedded.num_llms": (2, 1000),
    "data.embedded.num_users": _POSITIVE,
    "data.embedded.decisions_per_user": _POSITIVE,
    "data.embedded.more_users": (0, 10**9),
    "data.embedded.seed": (0, 2**31 - 1),
    "data.judge.noise": (0.0, 1000.0),
    "data.judge.seed": (0, 2**31 - 1),
    "data.judge.concurrency": (1, 1000),
    "data.judge.attempts": (1, 100),
    "data.judge.backoff": (0.0, 3600.0),
    "data.judge.timeout": (0.01, 86400.0),
    "data.judge.max_output_tokens": (1, 10**6),
    "data.judge.input_price": (0.0, 1e6),
    "data.judge.output_price": (0.0, 1e6),
    "data.judge.max_cost": (0.0, 1e9),
    "model.factor_dim": (0, 256),
    "model.factor_precision": (1e-6, 1e9),
    "model.prior_strength": (1e-3, 1e6),
    "model.warmup_rounds": (0, 10**6),
    "model.query_kernel.text": (0.0, 1e6),
    "model.query_kernel.style": (0.0, 1e6),
    "model.query_kernel.task": (0.0, 1e6),
    "model.query_kernel.noise": (1e-6, 1e9),
    "model.query_kernel.most_queries": (1, 10**6),
    "model.hidden_dim": (1, 4096),
    "model.message_passing_steps": (1, 16),
    "optimizer.learning_rate": (1e-9, 10.0),
    "optimizer.weight_decay": (0.0, 10.0),
    "optimizer.warmup_steps": (0, 10**9),
    "optimizer.clip_norm": (1e-9, 1e9),
    "train.num_train_steps": _POSITIVE,
    "train.users_per_step": (0, 10**9),
    "train.history_length": (1, 10**6),
    "train.steps_per_round": (0, 10**9),
    "train.folds": (2, 100),
    "train.full_history_share": _SHARE,
    "train.no_task_share": _SHARE,
    "train.text_noise": (0.0, 100.0),
    "train.eval_every_steps": _POSITIVE,
    "train.patience": _POSITIVE,
    "mesh.data": (1, 2**20),
    "mesh.model": (1, 2**20),
}


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
      source: the embedded benchmark, a folder of tables, a TFDS data set, or a public format; see
        `data.public.registry`.
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
        0 is what training sees. See `data.splits.divide`.
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


def check_data(data: Data) -> None:
    """Refuses values that are possible, but not together.

    Raises:
      ValueError: as `config.validate`.
    """
    require(data.source == "embedded" or bool(data.path), "data.path", f"a path for source {data.source!r}", data.path)
    ordered = data.preference_min <= data.preference_max
    require(ordered, "data.preference_max", "at least data.preference_min", data.preference_max)
    shares = data.train_share + data.validation_share
    require(shares < 1, "data.validation_share", "train and validation shares that leave a test set", shares)
    _check_split(data)
    if data.users == "llm_as_judge":
        _check_judge(data)


def _check_split(data: Data) -> None:
    split, news = data.split, data.split in NEW_LLMS
    expected = f"names of LLMs for split {split!r}" if news else f"nothing for split {split!r}"
    require(bool(data.new_llms) == news, "data.new_llms", expected, data.new_llms)
    timed = split != TIME or data.users == "recorded"  # the others decide at no time
    require(timed, "data.users", f"'recorded' for split {TIME!r}", data.users)
    require(not data.given or split in NEW_USERS + NEW_LLMS, "data.given", f"0 for split {split!r}", data.given)


def _check_judge(data: Data) -> None:
    judge = data.judge
    require(data.feedback == "choice", "data.feedback", "'choice' of users that are judges", data.feedback)
    if judge.name == "llm":
        require(bool(judge.model), "data.judge.model", "a model for judge 'llm'", judge.model)
        priced = judge.input_price + judge.output_price > 0
        require(priced or not judge.max_cost, "data.judge.max_cost", "0 without prices", judge.max_cost)


@dataclasses.dataclass
class QueryKernel:
    """How known queries speak for a new one, see `model.query_kernel`.

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
      preset: "em" (default) or "paper" (arXiv 2511.16883: layers of message passing, dot product, gradients).
      taste_dim: tastes of an answer that no text shows, learnt from what is said of it.
      taste_precision: of these tastes before anything is said.
      style, llm_weights, crowd: whether users weigh an answer's style, its LLM, and what the crowd thinks of it.
      population_strength: how many users the prior of the population counts for.
      warmup_rounds: rounds before tastes are learnt.
      foresight: how an unasked query is judged: "share", how often each LLM's answers to near queries would be
        chosen; or "utility", what its answer is expected to be like.
      hidden_dim, message_passing_steps: width and number of layers of the paper's network.
      head: "dot" product of user, task and query with the LLM, or "bilinear".
      without: parts left out of the paper's network, comma-separated, among `config.PARTS`.
    """

    preset: str = "em"
    factor_dim: int = 9
    factor_precision: float = 6.0
    style: bool = True
    llm_weights: bool = True
    population_mean: bool = True
    prior_strength: float = 5.0
    warmup_rounds: int = 4
    unseen_queries: str = "share"
    query_kernel: QueryKernel = dataclasses.field(default_factory=QueryKernel)
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
    """Everything that decides a run. `seeds=n` trains seeds 0 .. n-1 under WORKDIR/seed_N; 0 trains `seed` alone.

    Example:
      >>> from prouter_jax import ExperimentConfig
      >>> config = ExperimentConfig(name="My users", seeds=3)
      >>> config.data.source, config.data.path = "tables", "data/mine"
      >>> config.data.path
      'data/mine'
    """

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
    _apply_aliases(config)
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
    values = json.loads(text)
    if isinstance(values, dict) and isinstance(values.get("model"), dict):
        values["model"] = {
            current_path(f"model.{name}").split(".")[1]: value for name, value in values["model"].items()
        }
    return validate(build(ExperimentConfig, values, "config"))


def _apply_aliases(section, path: str = "") -> None:
    """Moves attributes that an experiment file set under an old name; any other unknown attribute is an error."""
    names = {field.name for field in dataclasses.fields(section)}
    for name in [name for name in vars(section) if name not in names]:
        old = f"{path}.{name}".lstrip(".")
        new = current_path(old)
        require(new != old, old, f"a field ({', '.join(sorted(names))})", getattr(section, name))
        setattr(section, new.rpartition(".")[2], getattr(section, name))
        delattr(section, name)
    if isinstance(section, Model):
        section.preset = _PRESET_ALIASES.get(str(section.preset), section.preset)
    for name in names:
        if dataclasses.is_dataclass(getattr(section, name)):
            _apply_aliases(getattr(section, name), f"{path}.{name}".lstrip("."))


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
