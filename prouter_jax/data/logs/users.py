"""The users of a log: marks of no user, two columns of users that differ, and one user with most of the rows."""

import collections

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data import cells
from prouter_jax.data.logs.queries import SeenIds

_NO_NAME = ("none", "null", "nil", "nan", "n/a", "na", "undefined", "unknown", "-", "\\n", "<null>", "(null)", "[null]")
_NO_USER = (*_NO_NAME, "anonymous", "anon", "guest", "00000000-0000-0000-0000-000000000000")
_MOST_COUNTED = 64
LARGE = 200
"""Rows from which on one user with more than half of them is an error."""


def names(column: pa.Array, marks: tuple[str, ...] = _NO_NAME) -> tuple[pa.Array, np.ndarray]:
    """Names of users or LLMs as `cells.texts`; blank ones, marks of none and texts of JSON objects are missing."""
    found, bad = cells.texts(column)
    encoded = found.dictionary_encode()
    distinct = encoded.dictionary
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(distinct))  # pyright: ignore[reportAttributeAccessIssue]
    empty = pc.is_in(plain, value_set=pa.array(["", *marks, "[]", "{}", '""'], plain.type))  # pyright: ignore[reportAttributeAccessIssue]
    is_json = pc.match_substring_regex(plain, r"^[\[{]\s*[\x22\x27\[{]")  # pyright: ignore[reportAttributeAccessIssue]
    none = pc.or_(empty, is_json)  # pyright: ignore[reportAttributeAccessIssue]
    if not pc.any(none).as_py():  # pyright: ignore[reportAttributeAccessIssue]
        return found, bad
    return pc.if_else(none, None, distinct).take(encoded.indices), bad  # pyright: ignore[reportAttributeAccessIssue]


def user_names(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """`names` of users; anonymous ones are missing too."""
    return names(column, _NO_USER)


def check_same(columns: dict[str, pa.Array], place) -> None:
    """Checks that columns of users agree in each row in which several have one.

    Args:
      columns: users by the name of the column.
      place: a function from a row to its place, for the message.

    Raises:
      ValueError: naming the first row with two users, and the flag that chooses.
    """
    if len(columns) < 2:
        return
    (first, one), *others = columns.items()
    for other, users in others:
        differ = pc.not_equal(one, users).fill_null(False).to_numpy(zero_copy_only=False)  # pyright: ignore[reportAttributeAccessIssue]
        if differ.any():
            raise ValueError(
                f"log {place(int(differ.argmax()))}: expected one user, found one in column {first} and another "
                f"in column {other}; set --columns=user={first} or --columns=user={other}"
            )
        one = pc.coalesce(one, users)  # pyright: ignore[reportAttributeAccessIssue]


class UserCounts:
    """The number of users, and the users with the most rows; memory grows by 8 bytes a user."""

    def __init__(self):
        self.rows, self.users = 0, 0
        self._seen, self._most = SeenIds(), collections.Counter()

    def add(self, users: pa.Array) -> None:
        """Adds the users of rows."""
        encoded = users.dictionary_encode()
        distinct, numbers = encoded.dictionary.to_pylist(), np.bincount(encoded.indices.to_numpy(zero_copy_only=False))
        self.rows += len(users)
        self.users += len(self._seen.first(np.fromiter(map(hash, distinct), np.int64, len(distinct))))
        most = (
            np.argpartition(-numbers, _MOST_COUNTED)[:_MOST_COUNTED]
            if len(numbers) > _MOST_COUNTED
            else range(len(numbers))
        )
        self._most.update({distinct[user]: int(numbers[user]) for user in most})
        self._most = collections.Counter(dict(self._most.most_common(_MOST_COUNTED)))

    def first(self) -> tuple[str, int]:
        """The user with the most rows and their number, which is a lower bound."""
        return self._most.most_common(1)[0] if self._most else ("", 0)

    def check(self, columns: tuple[str, ...]) -> None:
        """Checks that no user has more than half of a large log, unless the column was named by flag.

        Args:
          columns: the columns of users that were found.

        Raises:
          ValueError: naming the user and the flag.
        """
        user, rows = self.first()
        if self.rows >= LARGE and 2 * rows > self.rows:
            column = columns[0] if columns else "user"
            raise ValueError(
                f"log, column {column}: expected many users, found {user[:40]!r} in {rows:,} of {self.rows:,} rows; "
                f"set --columns=user=COLUMN to the column of those who ask, or --columns=user={column} if this is it"
            )
