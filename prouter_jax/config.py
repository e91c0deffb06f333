"""The configuration of an experiment: its fields, their defaults and limits, validation, and its JSON form.

An experiment file returns an `ExperimentConfig`, command-line flags override its fields, and a workdir stores it.
The dataclasses are mutable so that `--config.model.hidden_dim=64` works. An override does not pass through a
constructor, so every command calls `validate` first.
"""

import copy
import dataclasses
import json
import math
import typing
from collections.abc import Iterator
from typing import Any

PUBLIC = (
    *("personaroute", "prism", "arena", "routerbench", "llmrouterbench", "embedllm", "alpacaeval", "gmtrouter"),
    *("llmrouter", "routeprofile", "chosen_rejected"),
)
"""Public data formats, see `data.public.registry`."""
QUERY_SETS = ("alpaca", "gsm8k", "squad", "multi_news", "llmrouter", "columns")
"""Public formats of query texts alone, see `data.public`."""
SOURCES = ("embedded", "tables", "tfds", *PUBLIC)
NEW_USERS = ("cold_user", "warm_user", "cold_user_llm")
"""Splits whose test users have no training decisions."""
NEW_LLMS = ("cold_llm", "cold_user_llm")
"""Splits that test LLMs without training outcomes; training sees only their descriptions."""
WARM = ("warm_query", "warm_user")
"""Splits whose test queries also have training decisions."""
TIME = "time"
"""The split by the time of the decisions."""
SPLITS = ("cold_query", *WARM, "cold_user", *NEW_LLMS, TIME)
PRESETS = ("tuned", "em", "paper")
PARTS = ("history", "tasks", "outcomes", "families", "backward")
"""Edge sets of the paper's graph that `Model.without` may name."""
USERS_AT_ONCE = 128
"""Users whose histories are processed together; their arrays fit into a processor's cache."""


def _in_range(default, low: float, high: float) -> Any:
    """A number field whose value must be in [low, high]."""
    return dataclasses.field(default=default, metadata={"range": (low, high)})


def _one_of(default: str, *choices: str) -> Any:
    """A text field with a fixed set of values."""
    return dataclasses.field(default=default, metadata={"choices": choices})


@dataclasses.dataclass
class Embedded:
    """The size of the embedded synthetic benchmark.

    Attributes:
      num_tasks, num_queries, num_llms, num_users: numbers of rows.
      decisions_per_user: decisions of each user.
      preferences: False gives every user the same preferences.
      more_users: additional training users, for minibatches. Their histories are on disk, so memory does not depend
        on their number.
      seed: of all random draws.
    """

    num_tasks: int = _in_range(5, 1, 50)
    num_queries: int = _in_range(400, 1, 10**9)
    num_llms: int = _in_range(8, 2, 1000)
    num_users: int = _in_range(40, 1, 10**9)
    decisions_per_user: int = _in_range(60, 1, 10**9)
    preferences: bool = True
    more_users: int = _in_range(0, 0, 10**9)
    seed: int = _in_range(0, 0, 2**31 - 1)


@dataclasses.dataclass
class Judge:
    """The judge that chooses the best answers in place of llm_as_judge users.

    Attributes:
      name: "style", embedded rules on the style of answers, or "llm", an LLM at an OpenAI-compatible server.
      noise: scale of the Gumbel noise on the style judge's utilities. On real answers of ten LLMs, a second choice
        with noise 0.1 equals the first in three cases of four.
      seed: of the noise, and of the order of answers in a request to the LLM judge.
      model: the server's name of the LLM.
      verdicts: file that stores the LLM judge's verdicts, so that none is paid twice.
      concurrency: simultaneous requests.
      attempts: requests for one reply, at most.
      backoff: seconds before the second attempt; doubled after each further failure.
      timeout: seconds for one reply.
      max_output_tokens: tokens of one reply, reasoning included.
      output_limit: name of the request parameter that carries `max_output_tokens`.
      input_price, output_price: USD per million tokens.
      max_cost: USD that all verdicts in the file may cost; 0 for no limit.
    """

    name: str = _one_of("style", "style", "llm")
    noise: float = _in_range(0.1, 0.0, 1000.0)
    seed: int = _in_range(0, 0, 2**31 - 1)
    model: str = ""
    verdicts: str = ""
    concurrency: int = _in_range(8, 1, 1000)
    attempts: int = _in_range(6, 1, 100)
    backoff: float = _in_range(1.0, 0.0, 3600.0)
    timeout: float = _in_range(120.0, 0.01, 86400.0)
    max_output_tokens: int = _in_range(1000, 1, 10**6)
    output_limit: str = _one_of("max_completion_tokens", "max_completion_tokens", "max_tokens")
    input_price: float = _in_range(0.0, 0.0, 1e6)
    output_price: float = _in_range(0.0, 0.0, 1e6)
    max_cost: float = _in_range(0.0, 0.0, 1e9)


@dataclasses.dataclass
class Data:
    """The source of interactions and their split.

    Attributes:
      source: the embedded benchmark, a folder of tables, a TFDS data set, or a public format (`PUBLIC`).
      path: the folder or file; empty for the embedded benchmark.
      llms_path: file of LLMs with their prices, JSON or a table, for public formats, see `data.public.llm_file`.
      pool: only LLMs of this pool are read; empty reads all.
      users: "recorded" users of the data, or simulated ones: "multi_cost_efficiency" users weigh effect against
        cost, "llm_as_judge" users choose by `judge`.
      most_users: number of recorded users that are read, in the order of the data; 0 for all.
      num_users: number of simulated users.
      preference_min, preference_max: range of the weight of effect of multi_cost_efficiency users.
      feedback: of simulated users: "choice" of the best LLM, or a "rating" of every LLM.
      split: which rows are new in the test set: queries (cold_query); pairs of user and query (warm_query); users
        (warm_user); users and queries (cold_user); LLMs (cold_llm); users and LLMs (cold_user_llm); or the latest
        decisions (time).
      train_share, validation_share: shares of the split rows; the rest is the test set.
      decisions_per_user: training decisions of each user, at most, drawn at random; 0 for all.
      new_llms: names of the LLMs that are new in the test set, separated by commas.
      given: decisions of each new user, or decisions that offer a new LLM, that are visible when scoring. See
        `data.splits.divide`.
      history: whether the given decisions of new users are on "known" training queries, or on "unseen" ones: a quarter
        of the training queries is held out of training for them, and of these only the text is known.
      ignore_effects: drops the effects of outcomes, for effects computed from the decisions to predict where
        `data.leaks` does not find that.
      encoder: name of the text encoder, or "given" for vectors that come with the data.
      embedded: size of the embedded benchmark.
      judge: of llm_as_judge users.
    """

    source: str = _one_of("embedded", *SOURCES)
    path: str = ""
    llms_path: str = ""
    pool: str = ""
    users: str = _one_of("recorded", "recorded", "multi_cost_efficiency", "llm_as_judge")
    most_users: int = _in_range(0, 0, 10**9)
    num_users: int = _in_range(9, 1, 10**9)
    preference_min: float = _in_range(0.2, 0.0, 1.0)
    preference_max: float = _in_range(1.0, 0.0, 1.0)
    feedback: str = _one_of("choice", "choice", "rating")
    split: str = _one_of("cold_query", *SPLITS)
    train_share: float = _in_range(0.7, 0.01, 0.99)
    validation_share: float = _in_range(0.1, 0.01, 0.99)
    decisions_per_user: int = _in_range(0, 0, 10**9)
    new_llms: str = ""
    given: int = _in_range(0, 0, 10**9)
    history: str = _one_of("known", "known", "unseen")
    ignore_effects: bool = False
    encoder: str = "wordllama"
    embedded: Embedded = dataclasses.field(default_factory=Embedded)
    judge: Judge = dataclasses.field(default_factory=Judge)


@dataclasses.dataclass
class QueryKernel:
    """The kernel that predicts answers to an unseen query from training queries, see `model.query_kernel`.

    Attributes:
      text, style: inverse squared length scales, for text vectors and for the style of texts.
      task: covariance of queries of the same task.
      noise: observation noise variance (ridge); more noise shrinks predictions to the mean.
      landmarks: training queries that a new query is compared with, at most; with more training queries than these
        the regression is a low-rank one over all of them.
    """

    text: float = _in_range(2.0, 0.0, 1e6)
    style: float = _in_range(0.02, 0.0, 1e6)
    task: float = _in_range(0.1, 0.0, 1e6)
    noise: float = _in_range(5.0, 1e-6, 1e9)
    landmarks: int = _in_range(512, 1, 10**6)


@dataclasses.dataclass
class Model:
    """The network and its sizes. The fields up to `query_kernel` are those of "tuned" and "em", the others of "paper".

    Attributes:
      preset: "tuned" (default), Bayesian user weights by expectation maximisation (EM), then gradient steps on numbers
        that transfer between users, kept if they predict users left out better; "em", EM alone; or "paper"
        (arXiv 2511.16883): layers of message passing, dot product, gradients. "tuned" is "em" without choices, with
        too few users, and where `unseen_queries` is "utility".
      factor_dim: latent factors of an answer, estimated from the feedback on it.
      factor_precision: prior precision of the latent factors.
      style, llm_weights, population_mean: whether users have weights for an answer's style, for its LLM, and for its
        mean utility over all users.
      prior_strength: number of users that the hyperprior of the population counts for.
      warmup_rounds: rounds before latent factors are estimated.
      unseen_queries: what the query kernel predicts for an unseen query: the "share" of choices of each LLM's
        answers, or their features, from which the "utility" follows.
      query_kernel: its hyperparameters.
      hidden_dim, message_passing_steps: width and number of layers of the paper's network.
      head: "dot" product of user, task and query with the LLM, or "bilinear".
      without: edge sets that the paper's network leaves out, separated by commas, among `PARTS`.
    """

    preset: str = _one_of("tuned", *PRESETS)
    factor_dim: int = _in_range(9, 0, 256)
    factor_precision: float = _in_range(6.0, 1e-6, 1e9)
    style: bool = True
    llm_weights: bool = True
    population_mean: bool = True
    prior_strength: float = _in_range(5.0, 1e-3, 1e6)
    warmup_rounds: int = _in_range(4, 0, 10**6)
    unseen_queries: str = _one_of("share", "share", "utility")
    query_kernel: QueryKernel = dataclasses.field(default_factory=QueryKernel)
    hidden_dim: int = _in_range(32, 1, 4096)
    message_passing_steps: int = _in_range(2, 1, 16)
    head: str = _one_of("dot", "dot", "bilinear")
    without: str = ""


@dataclasses.dataclass
class Optimizer:
    """AdamW of the paper's network, with linear warm-up, cosine decay and clipping by global norm.

    Attributes:
      learning_rate: after the warm-up.
      weight_decay: decoupled.
      warmup_steps: steps of the linear warm-up.
      clip_norm: largest global norm of a gradient.
    """

    learning_rate: float = _in_range(3e-3, 1e-9, 10.0)
    weight_decay: float = _in_range(1e-4, 0.0, 10.0)
    warmup_steps: int = _in_range(20, 0, 10**9)
    clip_norm: float = _in_range(1.0, 1e-9, 1e9)


@dataclasses.dataclass
class Train:
    """The training loop: rounds of EM, then gradient steps for preset "tuned"; gradient steps for preset "paper".

    `folds` to `text_noise` are of preset "paper" alone. A pass masks every training decision once, in `folds` steps.

    Attributes:
      num_train_steps: rounds or steps, at most.
      users_per_step: users in a minibatch; 0 for all users with their whole histories.
      history_length: decisions of a user in a minibatch, at most; drawn anew in each step.
      steps_per_round: minibatches between two M-steps of EM; 0 for a pass over all users.
      tuning_steps: gradient steps after the rounds, with preset "tuned".
      refit: trains the router that is served on all decisions, with what the validation of the split chose; see
        `training.refit`. The report is of the split's router.
      folds: parts of the training decisions; each step masks one part and predicts it.
      full_history_share: share of users whose whole visible history is an input. The others' histories are cut to
        lengths that are spread evenly over orders of magnitude.
      no_task_share: share of masked queries that are scored without their task.
      text_noise: norm of the noise on text vectors (of norm 1) in training, against overfitting to texts.
      eval_every_steps: steps between two validations; each saves a checkpoint.
      patience: validations without a better reward before training stops.
      tensorboard: also writes metrics for TensorBoard (pip install 'prouter-jax[tensorboard]').
    """

    num_train_steps: int = _in_range(16, 1, 10**9)
    users_per_step: int = _in_range(0, 0, 10**9)
    history_length: int = _in_range(32, 1, 10**6)
    steps_per_round: int = _in_range(0, 0, 10**9)
    tuning_steps: int = _in_range(150, 1, 10**6)
    refit: bool = True
    folds: int = _in_range(2, 2, 100)
    full_history_share: float = _in_range(0.5, 0.0, 1.0)
    no_task_share: float = _in_range(0.1, 0.0, 1.0)
    text_noise: float = _in_range(5.0, 0.0, 100.0)
    eval_every_steps: int = _in_range(4, 1, 10**9)
    patience: int = _in_range(5, 1, 10**9)
    tensorboard: bool = False


@dataclasses.dataclass
class Mesh:
    """Numbers of devices along the two mesh axes.

    Attributes:
      data: devices over which users are sharded, and with `model` large tables of queries and LLMs.
      model: devices over which wide parameters of preset "paper" are sharded, and with `data` the large tables and the
        users in minibatches of EM.
    """

    data: int = _in_range(1, 1, 2**20)
    model: int = _in_range(1, 1, 2**20)


@dataclasses.dataclass
class ExperimentConfig:
    """All settings of a run.

    Attributes:
      name: title in reports.
      seed: of the split and of training.
      seeds: n trains seeds 0 .. n-1, each in WORKDIR/seed_N; 0 trains `seed` alone.
      data, model, optimizer, train, mesh: the sections.

    Example:
      >>> from prouter_jax import ExperimentConfig
      >>> config = ExperimentConfig(name="My users", seeds=3)
      >>> config.data.source, config.data.path = "tables", "data/mine"
      >>> config.data.path
      'data/mine'
    """

    name: str = "experiment"
    seed: int = _in_range(0, 0, 2**31 - 1)
    seeds: int = _in_range(0, 0, 1000)
    data: Data = dataclasses.field(default_factory=Data)
    model: Model = dataclasses.field(default_factory=Model)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    train: Train = dataclasses.field(default_factory=Train)
    mesh: Mesh = dataclasses.field(default_factory=Mesh)


# names of fields and presets in version 0.1 and today
_RENAMED = (
    "taste_dim -> factor_dim",
    "taste_precision -> factor_precision",
    "population_strength -> prior_strength",
    "crowd -> population_mean",
    "near -> query_kernel",
    "query_kernel.most_queries -> query_kernel.landmarks",
    "foresight -> unseen_queries",
)
_NO_FIELD = "no such field"
# fields that configurations stored by an earlier version lack, with the value that was in force
_ADDED: dict[str, dict[str, Any]] = {"data": {"history": "known"}, "train": {"tuning_steps": 150, "refit": False}}
_RENAMED_PRESET = "bayes -> em"
ALIASES = {f"model.{old}": f"model.{new}" for old, new in (pair.split(" -> ") for pair in _RENAMED)}
"""Old paths of fields and their current ones; flags, experiment files and stored configurations may use the old."""


def validate(config: ExperimentConfig) -> ExperimentConfig:
    """Checks types, limits and combinations of all values; renames fields that were set under a name of `ALIASES`.

    Returns:
      `config` itself.

    Raises:
      ValueError: "config.PATH: expected ..., found ...".
    """
    check_sections(config)
    _apply_aliases(config)
    _check_fields(config, "")
    wrong = sorted(set(filter(None, config.model.without.split(","))) - set(PARTS))
    _require(not wrong, "model.without", f"parts among {', '.join(PARTS)}", ", ".join(wrong))
    _check_data(config.data)
    _check_batches(config)
    return config


def check_sections(config: Any) -> None:
    """Raises ValueError unless a configuration, as an experiment file returns it, has every section."""
    _require(isinstance(config, ExperimentConfig), "", "an ExperimentConfig", config)
    _check_sections(config, "")


def to_json(config: ExperimentConfig) -> str:
    """The configuration as JSON text, keys in the order of the dataclasses."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_json(text: str) -> ExperimentConfig:
    """The inverse of `to_json`, validated. Keys may be names of `ALIASES`; a stored one may lack `_ADDED`.

    Raises:
      ValueError: if the text is not JSON, keys are missing or superfluous, or a value is wrong.
    """
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError("expected JSON, found it nested too deeply") from None
    if isinstance(values, dict) and isinstance(values.get("model"), dict):
        values["model"] = _renamed(values["model"], "model")
    for section, added in _ADDED.items():
        if isinstance(values, dict) and isinstance(values.get(section), dict):
            values[section] = {**added, **values[section]}
    return validate(from_dict(ExperimentConfig, values, "config"))


def differences(before: str, now: ExperimentConfig) -> list[str]:
    """The fields in which a stored configuration differs from another one.

    Args:
      before: text of `to_json`, also of another version; one that is not JSON differs in no field.
      now: the other configuration.

    Returns:
      "config.PATH: was X, now Y" of each field, in the order of the dataclasses.
    """
    try:
        old = _flat(json.loads(before), "config")
    except (ValueError, RecursionError):
        return []
    new = _flat(dataclasses.asdict(now), "config")
    changed = [path for path in {**new, **old} if old.get(path, _NO_FIELD) != new.get(path, _NO_FIELD)]
    return [f"{path}: was {old.get(path, _NO_FIELD)}, now {new.get(path, _NO_FIELD)}" for path in changed]


def from_dict(kind, values: dict, path: str) -> Any:
    """Builds a dataclass, with the dataclasses nested in it, from a dictionary.

    Args:
      values: by field name; a nested dataclass is a dictionary.
      path: name of `values` in error messages, such as "config".

    Raises:
      ValueError: if the keys are not exactly the fields.
    """
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict) or set(values) != set(hints):
        odd = sorted(set(hints) ^ set(values)) if isinstance(values, dict) else values
        raise ValueError(f"{path}: expected the keys {', '.join(hints)}, found a difference in {odd}")
    nested = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    return kind(**values | {name: from_dict(hint, values[name], f"{path}.{name}") for name, hint in nested.items()})


def with_values(config: ExperimentConfig, values: typing.Mapping[str, Any]) -> ExperimentConfig:
    """A copy of a configuration with some fields replaced; not validated.

    Args:
      config: the original; stays as it is.
      values: by path of the field, such as "model.hidden_dim".

    Raises:
      ValueError: if a path is not one of a field.
    """
    config = copy.deepcopy(config)
    for path, value in values.items():
        *sections, name = path.split(".")
        section = config
        for part in sections:
            section = getattr(section, part, None)
        if not hasattr(section, name):
            raise ValueError(f"config.{path}: expected a field of the configuration, found none")
        setattr(section, name, value)
    return config


def field_type(path: str) -> type:
    """The type of a field or section, such as "model.hidden_dim".

    Raises:
      ValueError: naming the fields that there are, if it is none of them.
    """
    kind, names = ExperimentConfig, path.split(".")
    for depth, name in enumerate(names):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if name not in hints:
            where = ".".join(["config", *names[:depth]])
            raise ValueError(f"expected a field of {where}: {', '.join(hints) or 'it has none'}; found {name!r}")
        kind = hints[name]
    return kind


def current_path(path: str) -> str:
    """The path of a field under its current name.

    Args:
      path: such as "model.head", or a path of `ALIASES` or below one.
    """
    for old, new in ALIASES.items():
        if path == old or path.startswith(f"{old}."):
            path = new + path.removeprefix(old)
    return path


def _flat(values: Any, path: str) -> dict[str, str]:
    """The values of nested dictionaries as JSON, by their path."""
    if not isinstance(values, dict):
        return {path: json.dumps(values)}
    return {name: text for key, value in values.items() for name, text in _flat(value, f"{path}.{key}").items()}


def _renamed(values: Any, path: str) -> Any:
    """The values of a section or field under the current names of its fields; `path` is its own current path."""
    if not isinstance(values, dict):
        return values
    named = {current_path(f"{path}.{name}"): value for name, value in values.items()}
    return {new.rpartition(".")[2]: _renamed(value, new) for new, value in named.items()}


def _require(good: bool, path: str, expected: str, found) -> None:
    if not good:
        raise ValueError(f"{f'config.{path}'.rstrip('.')}: expected {expected}, found {found!r}")


def _sections(section) -> Iterator[tuple[str, Any]]:
    """Names and values of the dataclasses directly below a dataclass."""
    for name, value in vars(section).items():
        if dataclasses.is_dataclass(value):
            yield name, value


def _apply_aliases(section, prefix: str = "") -> None:
    """Moves attributes set under an old name to the current one; any other attribute that is no field is an error."""
    names = {field.name for field in dataclasses.fields(section)}
    for name in [name for name in vars(section) if name not in names]:
        old = f"{prefix}{name}"
        new = current_path(old)
        _require(new != old, old, f"a field ({', '.join(sorted(names))})", getattr(section, name))
        setattr(section, new.rpartition(".")[2], getattr(section, name))
        delattr(section, name)
    if isinstance(section, Model):
        old, new = _RENAMED_PRESET.split(" -> ")
        section.preset = new if section.preset == old else section.preset
    for name, nested in _sections(section):
        _apply_aliases(nested, f"{prefix}{name}.")


def _check_sections(section, prefix: str) -> None:
    for name, kind in typing.get_type_hints(type(section)).items():
        expected, value = f"a section {kind.__name__}", getattr(section, name)
        if dataclasses.is_dataclass(kind):
            _require(type(value) is kind, f"{prefix}{name}", expected, value)
            _check_sections(value, f"{prefix}{name}.")


def _check_fields(section, prefix: str) -> None:
    """Checks each field alone: its exact type, then its choices or range."""
    hints = typing.get_type_hints(type(section))
    for field in dataclasses.fields(section):
        path, kind, value = f"{prefix}{field.name}", hints[field.name], getattr(section, field.name)
        if dataclasses.is_dataclass(kind):
            _check_fields(value, f"{path}.")
            continue
        _require(type(value) is kind, path, kind.__name__, value)
        if choices := field.metadata.get("choices"):
            _require(value in choices, path, f"one of {', '.join(choices)}", value)
        if limits := field.metadata.get("range"):
            low, high = limits
            _require(low <= value <= high and math.isfinite(value), path, f"a value in [{low}, {high}]", value)


def _check_data(data: Data) -> None:
    """Checks combinations of the fields of `Data`."""
    _require(data.source == "embedded" or bool(data.path), "data.path", f"a path for source {data.source!r}", data.path)
    ordered = data.preference_min <= data.preference_max
    _require(ordered, "data.preference_max", "at least data.preference_min", data.preference_max)
    shares = data.train_share + data.validation_share
    _require(shares < 1, "data.validation_share", "train and validation shares that leave a test set", shares)
    split, has_new_llms = data.split, data.split in NEW_LLMS
    expected = f"names of LLMs for split {split!r}" if has_new_llms else f"nothing for split {split!r}"
    _require(bool(data.new_llms) == has_new_llms, "data.new_llms", expected, data.new_llms)
    timed = split != TIME or data.users == "recorded"  # decisions of simulated users have no time
    _require(timed, "data.users", f"'recorded' for split {TIME!r}", data.users)
    _require(not data.given or split in NEW_USERS + NEW_LLMS, "data.given", f"0 for split {split!r}", data.given)
    new_queries = data.history == "known" or split == "cold_user"
    _require(new_queries, "data.history", f"'known' for split {split!r}", data.history)
    if data.users == "llm_as_judge":
        _check_judge(data)


def _check_judge(data: Data) -> None:
    judge = data.judge
    _require(data.feedback == "choice", "data.feedback", "'choice' of users that are judges", data.feedback)
    if judge.name == "llm":
        _require(bool(judge.model), "data.judge.model", "a model for judge 'llm'", judge.model)
        priced = judge.input_price + judge.output_price > 0
        _require(priced or not judge.max_cost, "data.judge.max_cost", "0 without prices", judge.max_cost)


def _check_batches(config: ExperimentConfig) -> None:
    """Checks that minibatches divide evenly over devices and that `more_users` has what it needs."""
    train, more, devices = config.train, config.data.embedded.more_users, config.mesh.data * config.mesh.model
    each = train.users_per_step // devices
    fits = train.users_per_step % devices == 0 and (each <= USERS_AT_ONCE or each % USERS_AT_ONCE == 0)
    share = f"for each of {devices} devices at most {USERS_AT_ONCE} users, or a multiple of that"
    _require(fits, "train.users_per_step", share, train.users_per_step)
    if more:
        plain = config.data.source == "embedded" and config.data.users == "recorded"
        _require(plain, "data.embedded.more_users", "0 but for the embedded benchmark's own users", more)
        _require(config.data.split == "cold_query", "data.split", "'cold_query' with more_users", config.data.split)
        _require(train.users_per_step > 0, "train.users_per_step", "some users with more_users", 0)
