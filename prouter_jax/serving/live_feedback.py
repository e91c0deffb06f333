"""`LiveFeedback`: what a user says of one answer or choice while the router is in use; the query of chat messages."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from prouter_jax.data.validation import MOST_RATING

KINDS = ("choice", "vote", "rating", "thumb")


@dataclasses.dataclass(frozen=True)
class LiveFeedback:
    """One piece of feedback. Its query is given by text, by the id of a query of the router, or by features.

    Attributes:
      user: id of the user.
      query: the text.
      query_id: id of a query of the router.
      features: those of `live_query.PreparedQuery.columns`, where texts are not kept.
      task_id: id of the task of a text, None for none.
      kind: one of `KINDS`.
      llm: the LLM that was chosen, rated or given a thumb; of a vote the winner, "" for a tie.
      value: the rating; 1 for a thumb up, 0 for down; None of choices and votes.
      candidates: the LLMs on offer; of a vote the two. None for all, of a rating for the rated LLM alone.
      first: the LLM whose answer was shown first, None if unknown.

    Example:
      >>> from prouter_jax.serving.live_feedback import LiveFeedback
      >>> LiveFeedback("ann", "What is 2 + 2?", kind="thumb", llm="gpt-4", value=1.0).to_row()["kind"]
      'thumb'
    """

    user: str
    query: str | None = None
    query_id: str | None = None
    features: bytes | None = None
    task_id: str | None = None
    kind: str = "choice"
    llm: str = ""
    value: float | None = None
    candidates: tuple[str, ...] | None = None
    first: str | None = None

    def to_row(self) -> dict[str, Any]:
        """Returns the fields that are given, as values that JSON has; `features` as hexadecimal digits."""
        row = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        if self.features is not None:
            row["features"] = self.features.hex()
        return row | ({} if self.candidates is None else {"candidates": list(self.candidates)})

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "LiveFeedback":
        """The inverse of `to_row`.

        Raises:
          ValueError: on an unknown field or a value of another type.
        """
        unknown = sorted(set(row) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"feedback: expected the fields of LiveFeedback, found {', '.join(unknown)}")
        values = dict(row)
        if "features" in values:
            values["features"] = bytes.fromhex(values["features"])
        if "candidates" in values:
            values["candidates"] = tuple(values["candidates"])
        return cls(**values)

    def table_rows(self) -> list[dict[str, Any]]:
        """Returns the rows of a history for `Router.with_history`, one for each LLM of a tie."""
        about = {"user_id": self.user, "query": self.query, "query_id": self.query_id, "task_id": self.task_id}
        about |= {"first": self.first, self.kind: self.value} if self.value is not None else {"first": self.first}
        about |= {"candidates": None if self.candidates is None else list(self.candidates)}
        given = {name: value for name, value in about.items() if value is not None}
        return [given | {"llm": name} for name in ([self.llm] if self.llm else self.candidates or ())]

    def check(self, llms: Mapping[str, int]) -> None:
        """Checks the feedback.

        Args:
          llms: row of each LLM of the router.

        Raises:
          ValueError: one line that names the field, what was expected and what was found.
        """
        _expect(bool(self.user), "user", "an id", "none")
        _expect(self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}", repr(self.kind))
        named = {"llm": [self.llm] if self.llm or self.kind != "vote" else [], "candidates": self.candidates or ()}
        named["first"] = [self.first] if self.first is not None else []
        for field, names in named.items():
            wrong = [name for name in names if name not in llms]
            _expect(not wrong, field, f"LLMs among {', '.join(llms)}", ", ".join(map(repr, wrong)))
        offered = llms if self.candidates is None else self.candidates
        _expect(not self.llm or self.llm in offered, "llm", "one of the candidates", repr(self.llm))
        _expect(self.first is None or self.first in offered, "first", "one of the candidates", repr(self.first))
        if self.kind == "vote":
            number = len(set(self.candidates or ()))
            _expect(number == 2, "candidates", "the two LLMs of the vote", f"{number} LLMs")
        self._check_value()

    def said(self, llms: Mapping[str, int]) -> dict[str, Shaped[np.ndarray, " llms"]]:
        """Returns the feedback as columns of `model.one_user.OneHistory.append`."""
        offered = np.zeros(len(llms), np.int8)
        told = self.candidates or (None if self.kind != "rating" else (self.llm,))
        offered[[llms[name] for name in told] if told else slice(None)] = 1
        columns = {"offered": offered}
        if self.kind in ("choice", "vote"):
            columns["target"] = _one(llms, self.llm) if self.llm else offered / offered.sum()
        else:
            mask = {"rating": "rated", "thumb": "thumbed"}[self.kind]
            columns |= {self.kind: _one(llms, self.llm) * self.value, mask: _one(llms, self.llm)}
        if self.first is not None:
            columns["shown_first"] = _one(llms, self.first)
        return columns

    def _check_value(self) -> None:
        if self.kind in ("choice", "vote"):
            _expect(self.value is None, "value", f"none with a {self.kind}", repr(self.value))
        elif self.kind == "thumb":
            _expect(self.value in (0, 1), "value", "1 (up) or 0 (down)", repr(self.value))
        else:
            number = isinstance(self.value, int | float) and abs(self.value) <= MOST_RATING  # false for NaN
            limit = f"a finite number in [{-MOST_RATING:,}, {MOST_RATING:,}]"  # as in tables
            _expect(number, "value", limit, repr(self.value))


def query_text(messages: str | Sequence[Mapping[str, Any]]) -> str:
    """Returns the text that chat messages are routed by: that of the last message of the user.

    Content may be a text or a list of parts, of which the texts are joined by line breaks; images, files, tool calls
    and tool results have no text.

    Raises:
      ValueError: if there is no message of the user with a text, or the messages have another form.
    """
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, Sequence) or not all(isinstance(message, Mapping) for message in messages):
        raise ValueError("messages: expected a list of objects with role and content, found something else")
    for message in reversed(messages):
        text = _content_text(message.get("content")) if message.get("role") == "user" else ""
        if text:
            return text
    raise ValueError("messages: expected a message of the user with a text, found none")


def _content_text(content: Any) -> str:
    if isinstance(content, str):
        return content.strip()
    parts = content if isinstance(content, Sequence) else ()
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") in _TEXTS]
    return "\n".join(text.strip() for text in texts if isinstance(text, str) and text.strip())


_TEXTS = ("text", "input_text")


def _one(llms: Mapping[str, int], name: str) -> np.ndarray:
    found = np.zeros(len(llms), np.float32)
    found[llms[name]] = 1
    return found


def _expect(condition: bool, field: str, expected: str, found: str) -> None:
    if not condition:
        raise ValueError(f"{field}: expected {expected}, found {found}")
