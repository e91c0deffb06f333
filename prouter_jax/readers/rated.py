"""Answers that a user rated side by side: one decision whose candidates they are."""

import dataclasses
from collections.abc import Iterable

from prouter_jax.interactions import RATING
from prouter_jax.readers.collected import Collected
from prouter_jax.readers.file_set import FileSet, Read


@dataclasses.dataclass(frozen=True)
class Rated:
    """A user's ratings of the answers to a query, and the answers, by LLM."""

    user: str
    query_id: str
    text: str
    task: str
    ratings: dict[str, float] = dataclasses.field(default_factory=dict)
    responses: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, files: FileSet, llm: str, rating: float, response: str) -> None:
        """One more answer; the second of an LLM is dropped."""
        if llm in self.ratings:
            files.drop("second answers of an LLM in a decision")
            return
        self.ratings[llm], self.responses[llm] = rating, response


def read_rated(files: FileSet, decisions: Iterable[Rated]) -> Read:
    """The decisions as data; where fewer than two answers were rated there was none.

    Raises:
      ValueError: if nothing is left.
    """
    collected = Collected()
    for rated in decisions:
        if len(rated.ratings) < 2:
            files.drop("rated answers without another beside them", len(rated.ratings))
            continue
        query = collected.query(rated.query_id, rated.text, rated.task)
        if query < 0:
            files.drop("rated answers to another text than the query's first", len(rated.ratings))
            continue
        ratings = {collected.llms[name]: rating for name, rating in rated.ratings.items()}
        for name, response in rated.responses.items():
            collected.outcome(query, collected.llms[name], response)
        collected.decide(rated.user, query, ratings, RATING, ratings)
    if not collected.llms:
        raise files.nothing_left("two rated answers to a query")
    return files.result(collected.build())
