"""A verdict on disk."""

import dataclasses

WORD = "a verdict"


@dataclasses.dataclass(frozen=True)
class Stored:
    """One verdict.

    Attributes:
      key: see `dialogue.verdict_key`.
      user, query: names of the persona and the query, for people who read the file.
      choice: which of the answers on offer, counted from 0 in the order of the LLMs; None for a failure.
      failure: why there is no choice, or None.
      input_tokens, output_tokens: of all replies that it took.
      cost: of them in USD.
    """

    key: str
    user: str
    query: str
    choice: int | None
    failure: str | None
    input_tokens: int
    output_tokens: int
    cost: float

    def __post_init__(self):
        if (type(self.choice) is int) != (self.failure is None) or not self.cost >= 0:
            raise ValueError(f"expected {WORD}, a choice or a failure")
