"""Replies in a form: one JSON object with one whole number; what is not in form is shown back once."""

import dataclasses
import json

from prouter_jax.asking.caller import Caller
from prouter_jax.asking.client import Messages
from prouter_jax.asking.spending import Usage

REPLY_TOKENS = 10  # {"best": n}; an LLM that thinks aloud takes more
_LONGEST_REPLY_SHOWN = 2000


class NonsenseError(Exception):
    """The LLM did not keep to the form, even when told how."""


@dataclasses.dataclass(frozen=True)
class Form:
    """The object {field: n}, n from `low` to `high`.

    Attributes:
      request: what the LLM is told of it.
    """

    field: str
    low: int
    high: int
    request: str

    def parse(self, text: str) -> int:
        """The number.

        Raises:
          ValueError: in words fit to be shown to the LLM, if `text` is not exactly one such object.
        """
        try:
            found = json.loads(text, object_pairs_hook=tuple)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, tuple) or len(found) != 1 or found[0][0] != self.field:
            expected = f'one JSON object {{"{self.field}": n}} and nothing else'
            raise ValueError(f"expected {expected}, found {_short(text)!r}")
        number = found[0][1]
        if type(number) is not int or not self.low <= number <= self.high:
            expected = f"a whole number from {self.low} to {self.high}"
            raise ValueError(f"{self.field}: expected {expected}, found {_short(str(number))}")
        return number

    def repair(self, text: str, wrong: str) -> Messages:
        """What is added to the messages after a reply that cannot be used: the reply and what was wrong with it."""
        shown = text[:_LONGEST_REPLY_SHOWN] or "(nothing)"
        asked = f"That reply cannot be used: {wrong}. {self.request}"
        return [{"role": "assistant", "content": shown}, {"role": "user", "content": asked}]


async def ask_number(caller: Caller, messages: Messages, form: Form, usage: Usage) -> int:
    """The number that the LLM says.

    Raises:
      NonsenseError: if it does not keep to the form twice.
      Exception: see `Caller.complete`.
    """
    reply = await caller.complete(messages, usage)
    try:
        return form.parse(reply.text)
    except ValueError as wrong:
        messages = messages + form.repair(reply.text, str(wrong))
    reply = await caller.complete(messages, usage)
    try:
        return form.parse(reply.text)
    except ValueError as still_wrong:
        raise NonsenseError(f"after one repair: {still_wrong}") from None


def _short(text: str) -> str:
    return " ".join(text.split())[:80]
