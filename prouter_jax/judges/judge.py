"""What every judge is: it is given personas and questions and returns verdicts, or the reasons why there are none."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from prouter_jax.asking.spending import Estimate
from prouter_jax.judges.personas import Persona
from prouter_jax.judges.questions import Questions

NOTHING_TO_CHOOSE = "fewer than two answers with text"


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """What each persona likes best in each question.

    Attributes:
      choice: int32 [personas, questions], the LLM (a column of `Questions.answers`), -1 where the judge failed.
      failures: why, by (persona, question). A failure is never a vote.
    """

    choice: np.ndarray
    failures: dict[tuple[int, int], str]


class Judge(Protocol):
    """Picks answers in the place of people."""

    def choose(self, personas: Sequence[Persona], questions: Questions) -> Verdicts:
        """The answer that each persona likes best, of those on offer in each question.

        A verdict depends on the persona and the question alone, not on which others are asked.
        """
        ...

    def estimate(self, personas: Sequence[Persona], questions: Questions) -> Estimate:
        """What `choose` would cost; asks nobody."""
        ...
