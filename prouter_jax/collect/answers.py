"""Answers and failures on disk, in files of their own: an answer is for good, a failure is asked again."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

from prouter_jax.asking.ledger import Ledger

ANSWERS = "answers.jsonl"
FAILURES = "failures.jsonl"


@dataclasses.dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
      key: see `PoolLlm.keys`.
      llm, query_id: of the run that asked, for people who read the file.
      text: of the answer, "" where the LLM said nothing.
      finish_reason: as the server said; "length" where the text was cut off.
      input_tokens, output_tokens: of this answer; `counted` says whether by the server, else they are guessed.
      cost: in USD, of this answer and of attempts that were lost but may have been paid for.
    """

    key: str
    llm: str
    query_id: str
    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    counted: bool
    cost: float

    def __post_init__(self):
        tokens = self.input_tokens, self.output_tokens
        texts = self.key, self.llm, self.query_id, self.text, self.finish_reason
        if not all(type(text) is str for text in texts) or not all(type(n) is int and n >= 0 for n in tokens):
            raise ValueError("expected texts and numbers of tokens")
        if not self.cost >= 0:
            raise ValueError("expected a cost")


@dataclasses.dataclass(frozen=True)
class Failure:
    """An answer that could not be had.

    Attributes:
      key, llm, query_id: as of an `Answer`.
      reason: in words.
      cost: in USD, of attempts that may have been paid for.
    """

    key: str
    llm: str
    query_id: str
    reason: str
    cost: float

    def __post_init__(self):
        if not all(type(text) is str for text in (self.key, self.reason)) or not self.cost >= 0:
            raise ValueError("expected a reason and a cost")


@dataclasses.dataclass(frozen=True)
class Store:
    """The answers and failures of a folder, which one process at a time adds to."""

    answers: Ledger[Answer]
    failures: Ledger[Failure]

    @property
    def spent(self) -> float:
        """USD that everything in the folder cost."""
        return self.answers.spent + self.failures.spent


@contextlib.contextmanager
def open_store(folder: pathlib.Path) -> Iterator[Store]:
    """Opens a folder, which is made where it is missing.

    Raises:
      ValueError: see `Ledger`.
    """
    with (
        Ledger(folder / ANSWERS, Answer, "an answer") as answers,
        Ledger(folder / FAILURES, Failure, "a failure") as failures,
    ):
        yield Store(answers, failures)
