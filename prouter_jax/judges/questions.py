"""What judges judge: queries with the answers that LLMs gave to them."""

import dataclasses

import numpy as np

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.rewards import outcome_matrix


@dataclasses.dataclass(frozen=True)
class Questions:
    """Queries and the answers to choose from.

    Attributes:
      ids, texts: [questions], of the queries.
      llms: [llms], their ids.
      answers: object [questions, llms] of str; an LLM without text is not on offer.
      effect: float32 [questions, llms], NaN where unknown.
      cost: float32 [questions, llms] in USD, NaN where unknown.
      query: int32 [questions], rows of the queries in the `Interactions` that they come from.
    """

    ids: np.ndarray
    texts: np.ndarray
    llms: np.ndarray
    answers: np.ndarray
    effect: np.ndarray
    cost: np.ndarray
    query: np.ndarray

    @property
    def offered(self) -> np.ndarray:
        """bool [questions, llms], where there is an answer with text."""
        return np.array([[bool(text.strip()) for text in row] for row in self.answers], bool).reshape(
            self.answers.shape
        )

    def take(self, rows: np.ndarray) -> "Questions":
        """The questions at `rows`, all LLMs."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "llms"]
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})


def build_questions(data: Interactions) -> Questions:
    """The queries of `data` that have at least two answers with text.

    Raises:
      ValueError: if the outcomes have no texts, or no query has two.
    """
    outcomes = data.outcomes
    if outcomes.response is None:
        raise ValueError("table outcomes, column response: expected the answers' texts to judge, found no such column")
    answers = np.full((len(data.queries.ids), len(data.llms.ids)), "", object)
    answers[outcomes.query, outcomes.llm] = outcomes.response
    effect, cost = (outcome_matrix(data, values) for values in (outcomes.effect, outcomes.cost))
    rows = np.arange(len(answers), dtype=np.int32)
    texts = tables.strings(data.queries.texts)
    every = Questions(data.queries.ids, texts, data.llms.ids, answers, effect, cost, rows)
    asked = np.flatnonzero(every.offered.sum(1) >= 2)
    if not len(asked):
        raise ValueError("table outcomes, column response: expected two answers to some query, found none")
    return every.take(asked)
