"""Counts the rows of a scored file whose users or queries the router does not know: ids are easily of another form."""

from collections.abc import Callable, Collection

import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.serving.batch.write import Scored

_SHOWN = 3


class UnknownCounter:
    """A scoring function that counts, for `score_file`.

    Attributes:
      rows: rows that were scored.
      users: rows whose user has no history.
      queries: rows whose query is neither a known id nor a known text.
    """

    def __init__(
        self,
        score: Callable[[dict[str, pa.Array]], Scored],
        users: Collection[str],
        query_ids: Collection[str],
        query_texts: Collection[str],
    ):
        """
        Args:
          score: the function that picks.
          users, query_ids, query_texts: those that the router knows.
        """
        self._score, self._names = score, list(users)
        self._ids, self._texts = (pa.array(list(known), pa.large_string()) for known in (query_ids, query_texts))
        self.rows = self.users = self.queries = 0
        self._example = ""

    def __call__(self, columns: dict[str, pa.Array]) -> Scored:
        scored = self._score(columns)
        cold = pc.equal(scored.basis, "cold_start").fill_null(False)  # pyright: ignore[reportAttributeAccessIssue]
        picked = scored.basis.is_valid()
        self.rows += _count(picked)
        self.users += _count(cold)
        if not self._example and _count(cold):
            self._example = columns["user_id"].filter(cold)[0].as_py()
        asked = [
            _is_in(columns[name].cast(pa.large_string()), ids)
            for name, ids in (("query_id", self._ids), ("query", self._texts))
            if name in columns
        ]
        found = asked[0] if len(asked) == 1 else pc.or_(*asked)  # pyright: ignore[reportAttributeAccessIssue]
        self.queries += _count(picked) - _count(pc.and_(found, picked))  # pyright: ignore[reportAttributeAccessIssue]
        return scored

    def lines(self) -> list[str]:
        """What the rows say of users and queries, as lines for people; a warning where no user is known."""
        if not self.rows:
            return []
        said = f"{self.users:,} of {self.rows:,} rows have users without history, {self.queries:,} have new queries"
        if self.users < self.rows or not self._names:
            return [said]
        near = [name for name in self._names if name.lower() == self._example.lower()]
        names = ", ".join(near or self._names[:_SHOWN])
        known = f"{'is it' if near else 'the router knows'} {names}{'?' if near else ', ...'}"
        return [said, f"warning: no user of the file has a history; the first is {self._example!r}, {known}"]


def _is_in(column: pa.Array, known: pa.Array) -> pa.Array:
    return pc.is_in(column, value_set=known)  # pyright: ignore[reportAttributeAccessIssue]


def _count(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0  # pyright: ignore[reportAttributeAccessIssue]
