"""From parameters and a world to scores of decisions: the same lines for validation, test and serving."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.places import Places, places_of
from prouter_jax.prepare import Prepared

_DECISIONS_AT_ONCE = 1 << 16


@dataclasses.dataclass(frozen=True)
class Asked:
    """Queries in the form that scoring needs.

    Attributes:
      answers: properties of the answers, observed or expected, float32 [queries, llms, properties].
      cost: scaled cost of the answers, observed or expected, float32 [queries, llms].
      kernel: nearness to known queries, [queries, known queries], where that is how they are judged; else None.
      known: bool [queries], whether the answers were observed.
    """

    answers: np.ndarray
    cost: np.ndarray
    kernel: np.ndarray | None
    known: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scorer:
    """A trained network applied to a world.

    Attributes:
      users: float32 [users, properties]; `stranger` [properties] is a user without history.
      answers, cost: of the answers to known queries, as in `Asked`.
      predict: what the answers to new queries are expected to be, Places -> (answers, cost).
      nearness: Places -> [queries, known queries], and
      foresight: how an unasked query is judged by known ones, (users, kernel, user, place) -> logits as in
        `logits`; both None where it is by its expected answers.
      side: the column of the answer that is shown first, None where nobody knows.
      sharpness: what utilities are multiplied with before the softmax.
      named: where in a user's state its weight on each property of answers stands, by the property's name; empty
        where states have no such meaning.
    """

    users: np.ndarray
    stranger: np.ndarray
    answers: np.ndarray
    cost: np.ndarray
    predict: Callable[[Places], tuple[np.ndarray, np.ndarray]]
    nearness: Callable[[Places], np.ndarray] | None
    foresight: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None
    side: int | None
    sharpness: float
    named: Mapping[str, slice] = dataclasses.field(default_factory=dict)

    def ask(self, places: Places) -> Asked:
        """New queries."""
        kernel = None if self.nearness is None else self.nearness(places)
        return Asked(*self.predict(places), kernel, np.zeros(len(places.task), bool))

    def recall(self, rows: np.ndarray) -> Asked:
        """Known queries."""
        return Asked(self.answers[rows], self.cost[rows], None, np.ones(len(rows), bool))

    def logits(self, users: np.ndarray, asked: Asked, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Logits of the choice among all LLMs, float32 [decisions, llms].

        Args:
          users: [users, properties].
          user, place: rows of `users` and of `asked`, [decisions].
        """
        direct = np.ones(len(user), bool) if self.foresight is None else asked.known[place]
        if direct.all():
            return self._products(users, asked.answers, user, place)
        found = np.empty((len(user), self.answers.shape[1]), np.float32)
        found[direct] = self._products(users, asked.answers, user[direct], place[direct])
        if self.foresight is not None and asked.kernel is not None:
            found[~direct] = self.foresight(users, asked.kernel, user[~direct], place[~direct])
        return found

    def _products(self, users: np.ndarray, answers: np.ndarray, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Logits by the answers themselves, some decisions at a time: each brings its answers along."""
        found = np.empty((len(user), answers.shape[1]), np.float32)
        for start in range(0, len(user), _DECISIONS_AT_ONCE):
            some = slice(start, start + _DECISIONS_AT_ONCE)
            found[some] = np.einsum("da,dla->dl", users[user[some]], answers[place[some]], optimize=True)
        found *= self.sharpness
        return found


def join(first: Asked, second: Asked) -> Asked:
    """The queries of both, one after the other."""
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
    return Asked(answers, cost, kernel, known)


def ask_prepared(scorer: Scorer, prepared: Prepared, queries: np.ndarray) -> tuple[Asked, np.ndarray]:
    """Queries of `prepared.data` [queries], and where each of them stands in what is returned.

    A query of the world is asked with what was observed of it, any other by its text and task.
    """
    row = prepared.world_query[queries]
    new, known = queries[row < 0], row[row >= 0]
    order = np.argsort(np.argsort(row < 0, kind="stable"), kind="stable")
    if not len(new):
        return scorer.recall(known), order
    vectors, tasks = prepared.vectors, prepared.data.queries.task[new]
    places = places_of(vectors.query[new], vectors.query_style[new], tasks, len(prepared.data.tasks.ids))
    return join(scorer.recall(known), scorer.ask(places)), order


def score_decisions(scorer: Scorer, prepared: Prepared, decisions: DecisionArrays, blind: bool = False) -> np.ndarray:
    """Logits of every LLM for decisions over the users and queries of `prepared.data`, [decisions, llms].

    Args:
      blind: whether all users are taken for strangers.
    """
    distinct, place = np.unique(decisions.query, return_inverse=True)
    asked, order = ask_prepared(scorer, prepared, distinct)
    users = scorer.stranger[None] if blind else scorer.users
    user = np.zeros(len(place), np.int64) if blind else decisions.user
    logits = scorer.logits(users, asked, user, order[place])
    if scorer.side is not None:
        rows = np.flatnonzero(decisions.first >= 0)
        logits[rows, decisions.first[rows]] += scorer.sharpness * users[user[rows], scorer.side]
    return logits
