"""The data's part of the configuration: where interactions come from, who is simulated, and how they are split."""

import dataclasses

from prouter_jax.config_fields import require
from prouter_jax.config_limits import NEW_LLMS, NEW_USERS, TIME


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
