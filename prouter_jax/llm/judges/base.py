"""Data types of the judges: personas, questions with the LLMs' answers, verdicts, and the protocol `Judge`.

A judge simulates users: a persona describes a user, a question is a query with at least two answers, and a verdict is
the answer that a persona chooses in a question. Verdicts are written as choices of users.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int, Int32, Shaped

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.rewards import outcome_matrix
from prouter_jax.data.tables.parquet import write_parquet
from prouter_jax.llm.budget import Estimate

TOO_FEW_ANSWERS = "fewer than two answers with text"
# By style: the end of a sentence of the prompt, "You want to ...". The nine styles are those of arXiv 2511.16883.
WISHES = {
    "warmth": "be spoken to as a good friend would: kindly, with understanding, close to everyday life",
    "play": "smile while you read: a light tone, jokes, playful turns, pictures nobody expects",
    "steps": "be led by the hand: ordered steps, one after the other, each saying what to do",
    "brevity": "have the bottom line at once: few words, hard facts, figures wherever there are any",
    "explanation": "understand: reasons, background and examples, however long that takes",
    "relevance": "get exactly what you asked for, in exact words, and nothing beside it",
    "completeness": "find every part of your question answered, and no sentence that could be left out",
    "eloquence": "enjoy the language: a rich vocabulary, well-built sentences, rhythm and images",
    "simplicity": "follow as easily as a child could: short plain words and vivid comparisons",
}
STYLES = tuple(WISHES)
_SINGLE_STYLE_QUALITY = 0.4  # quality weight of a persona with one style
_DIRICHLET = 0.5  # below 1: few styles have most of the weight
_MAX_NAMED_STYLES = 3
_MIN_NAMED_WEIGHT = 0.1
_LEVELS = ("hardly at all", "a little", "a good deal", "very much")


@dataclasses.dataclass(frozen=True)
class Persona:
    """A simulated person with preferences.

    Attributes:
      name: the user id; all randomness in the persona's verdicts is seeded with it.
      styles: weight of each of `STYLES`, not negative, with sum 1.
      quality_weight: in [0, 1], weight of an answer's quality ("effect" in [0, 1]), whatever its style.
      cost_weight: in [0, 1], weight of a low price.
    """

    name: str
    styles: tuple[float, ...]
    quality_weight: float
    cost_weight: float

    def prompt(self) -> str:
        """Description for an LLM: the strongest styles (at most three), then the weights of quality and cost."""
        return " ".join([self._describe_styles(), *self._describe_weights()])

    def _describe_styles(self) -> str:
        order = sorted(range(len(STYLES)), key=lambda style: -self.styles[style])
        strong = [style for style in order if self.styles[style] >= _MIN_NAMED_WEIGHT][:_MAX_NAMED_STYLES]
        strong = order[:2] if len(strong) < 2 and self.styles[order[0]] < 1 else strong
        if len(strong) == 1:
            return f"Above all you want to {WISHES[STYLES[strong[0]]]}."
        total = sum(self.styles[style] for style in strong)
        wishes = [f"({self.styles[style] / total:.0%}) to {WISHES[STYLES[style]]}" for style in strong]
        return f"You want, by how much each matters to you: {'; '.join(wishes)}."

    def _describe_weights(self) -> list[str]:
        sentences = [f"That an answer is right and helpful matters to you {_level(self.quality_weight)}."]
        if self.cost_weight:
            level = _level(self.cost_weight)
            sentences.append(f"Each answer comes with its price; that it is cheap matters to you {level}.")
        return sentences


def make_personas(num_users: int, seed: int) -> list[Persona]:
    """Personas with the user ids judge0000, judge0001 ...: the first nine have one style each, the others mixtures.

    Mixtures have styles from a symmetric Dirichlet distribution with parameter 0.5, a uniform quality weight q and a
    cost weight c^2 with uniform c, so that most mind the cost little. The first nine have quality 0.4 and cost 0.
    A persona depends on its number and the seed, not on `num_users`.
    """
    return [_make_persona(row, np.random.default_rng([seed, row])) for row in range(num_users)]


@dataclasses.dataclass(frozen=True)
class Questions:
    """Queries with at least two answers to choose from.

    Attributes:
      ids, texts: ids and texts of the queries.
      llms: ids of the LLMs.
      answers: texts; an empty one means that the LLM has no answer and cannot be chosen.
      effect: quality of the answers in [0, 1], NaN if unknown.
      cost: USD for each answer, NaN if unknown.
      query: index of each question's query in the `Interactions` that it is from.
    """

    ids: Shaped[np.ndarray, " questions"]
    texts: Shaped[np.ndarray, " questions"]
    llms: Shaped[np.ndarray, " llms"]
    answers: Shaped[np.ndarray, "questions llms"]
    effect: Float[np.ndarray, "questions llms"]
    cost: Float[np.ndarray, "questions llms"]
    query: Int32[np.ndarray, " questions"]

    @property
    def offered(self) -> Bool[np.ndarray, "questions llms"]:
        """Whether there is an answer with text."""
        return np.array([[bool(text.strip()) for text in row] for row in self.answers], bool).reshape(
            self.answers.shape
        )

    def take(self, rows: Int[np.ndarray, " rows"]) -> "Questions":
        """The questions at `rows`, with all LLMs."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "llms"]
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})


def build_questions(data: Interactions) -> Questions:
    """The queries of `data` that have at least two answers with text.

    Raises:
      ValueError: if the outcomes have no texts, or no query has two answers.
    """
    outcomes = data.outcomes
    if outcomes.response is None:
        raise ValueError("table outcomes, column response: expected the answers' texts to judge, found no such column")
    answers = np.full((len(data.queries.ids), len(data.llms.ids)), "", object)
    answers[outcomes.query, outcomes.llm] = outcomes.response
    effect, cost = (outcome_matrix(data, values) for values in (outcomes.effect, outcomes.cost))
    rows = np.arange(len(answers), dtype=np.int32)
    texts = tables.strings(data.queries.texts)
    questions = Questions(data.queries.ids, texts, data.llms.ids, answers, effect, cost, rows)
    usable = np.flatnonzero(questions.offered.sum(1) >= 2)
    if not len(usable):
        raise ValueError("table outcomes, column response: expected a query with two answers, found none")
    return questions.take(usable)


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """The answer that each persona chooses in each question.

    Attributes:
      choice: the LLM, a column of `Questions.answers`; -1 if the judge failed.
      failures: reason by (persona, question). A failure is never counted as a vote.
    """

    choice: Int32[np.ndarray, "personas questions"]
    failures: dict[tuple[int, int], str]


@runtime_checkable
class Judge(Protocol):
    """Chooses answers on behalf of personas."""

    def choose(self, personas: Sequence[Persona], questions: Questions) -> Verdicts:
        """The answer that each persona likes best, among those offered in each question.

        A verdict depends on its persona and question only, not on the other personas and questions.
        """
        ...

    def estimate_cost(self, personas: Sequence[Persona], questions: Questions) -> Estimate:
        """The cost of `choose`; sends no request."""
        ...


def write_choices(
    path: str | os.PathLike, personas: Sequence[Persona], questions: Questions, verdicts: Verdicts
) -> int:
    """Writes the verdicts as the table `choices` (user_id, query_id, llm, candidates). Failures have no row.

    Args:
      path: Parquet file, replaced atomically.

    Returns:
      The number of rows.
    """
    persona, question = np.nonzero(verdicts.choice >= 0)
    candidates = [questions.llms[offered].tolist() for offered in questions.offered]
    names = pa.array([persona.name for persona in personas], pa.string())
    table = pa.table(
        {
            "user_id": names.take(pa.array(persona)),
            "query_id": pa.array(questions.ids[question], pa.string()),
            "llm": pa.array(questions.llms[verdicts.choice[persona, question]], pa.string()),
            "candidates": pa.array(candidates, pa.list_(pa.string())).take(pa.array(question)),
        }
    )
    write_parquet(path, table)
    return table.num_rows


def _make_persona(row: int, rng: np.random.Generator) -> Persona:
    name = f"judge{row:04d}"
    if row < len(STYLES):
        return Persona(name, tuple(float(style == row) for style in range(len(STYLES))), _SINGLE_STYLE_QUALITY, 0.0)
    styles = tuple(rng.dirichlet(np.full(len(STYLES), _DIRICHLET)).tolist())
    quality_weight, cost_weight = rng.random(), rng.random() ** 2
    return Persona(name, styles, quality_weight, cost_weight)


def _level(weight: float) -> str:
    return _LEVELS[min(int(weight * len(_LEVELS)), len(_LEVELS) - 1)]
