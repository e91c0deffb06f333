"""`QueryBatch`: queries prepared for scoring."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class QueryBatch:
    """Queries prepared for scoring.

    Attributes:
      answers: features of the answers, observed or expected, float32 [queries, llms, features].
      cost: scaled cost of the answers, observed or expected, float32 [queries, llms].
      kernel: kernel values with the landmarks, [queries, landmarks]; None unless choice probabilities are regressed.
      known: whether the query is in the world, so its answers were observed, bool [queries].
    """

    answers: np.ndarray
    cost: np.ndarray
    kernel: np.ndarray | None
    known: np.ndarray

    def take(self, rows) -> "QueryBatch":
        """The given rows."""
        kernel = None if self.kernel is None else self.kernel[rows]
        return QueryBatch(self.answers[rows], self.cost[rows], kernel, self.known[rows])


def join(first: QueryBatch, second: QueryBatch) -> QueryBatch:
    """Concatenates two batches of queries."""
    parts = [asked.kernel for asked in (first, second)]
    width = next((part.shape[1] for part in parts if part is not None), None)
    kernel = None
    if width is not None:
        sizes = (len(first.known), len(second.known))
        kernel = np.concatenate(
            [np.zeros((n, width), np.float32) if part is None else part for n, part in zip(sizes, parts, strict=True)]
        )
    columns = (np.concatenate([getattr(first, x), getattr(second, x)]) for x in ("answers", "cost", "known"))
    answers, cost, known = columns
    return QueryBatch(answers, cost, kernel, known)
