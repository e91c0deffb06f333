"""Asks LLMs for integers: a reply is one JSON object with one integer field.

After an invalid reply the LLM is asked once more, with the problem. Results go to a journal, a file of paid replies. A
second file beside it holds the requests under way: after a kill the next run counts them as spent.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from prouter_jax.data.thoughts import strip_thoughts
from prouter_jax.io.paths import make_path
from prouter_jax.llm.budget import BudgetError, Progress, Usage, tell_killed
from prouter_jax.llm.completions import RefusedError
from prouter_jax.llm.journal import Journal, Record
from prouter_jax.llm.pool import Messages
from prouter_jax.llm.requests import Before, Requester, process_all, stop_on_signals

KILLED = "under way when the run was killed"
"""Reason of a failure whose request may have been paid; the next run repeats it."""
REPLY_TOKENS = 10  # expected length of a reply such as {"best": 3}; only for cost estimates
_MAX_REPLY_SHOWN = 2000


class IntegerRecord(Record, Protocol):
    """Record of a reply, or of a failure with its reason."""

    @property
    def failure(self) -> str | None: ...


T = TypeVar("T", bound=IntegerRecord)


@dataclasses.dataclass(frozen=True)
class ReplyStore(Generic[T]):
    """The journals of one kind of replies.

    Attributes:
      journal: of replies and failures.
      sent: before a request is sent, the failure that it is if the run is killed; one without cost has ended.
    """

    journal: Journal[T]
    sent: Journal[T]

    async def settle_killed(self) -> list[T]:
        """Stores the requests under way at a kill as failures that cost the most they can, and returns them."""
        found = [one for one in self.sent.records.values() if one.cost and not self._answered(one.key)]
        for one in found:
            await self.journal.add(one)
        self.sent.clear()
        return found

    def _answered(self, key: str) -> bool:
        return key in self.journal.records and self.journal.records[key].failure is None


@contextlib.contextmanager
def open_replies(path: str | os.PathLike, record_type: Callable[..., T], noun: str) -> Iterator[ReplyStore[T]]:
    """Opens a journal of replies, and FILE.sent.jsonl beside FILE.jsonl; counts what was under way at a kill.

    Args:
      path, record_type, noun: see `Journal`.
    """
    path = make_path(path)
    sent_path = path.with_name(f"{path.stem}.sent.jsonl")
    with Journal(path, record_type, noun) as journal, Journal(sent_path, record_type, noun) as sent:
        store = ReplyStore(journal, sent)
        killed = asyncio.run(store.settle_killed())
        tell_killed(path.name, [one.cost for one in killed])
        try:
            yield store
        finally:
            if not sent.records:
                sent.path.unlink()


class FormatError(RefusedError):
    """The reply to the repair request is invalid as well; like a refusal, it is a failure of this request alone."""


@dataclasses.dataclass(frozen=True)
class IntegerFormat:
    """Reply format {field: n} with low <= n <= high.

    Attributes:
      instruction: sentence of the prompt that describes the format.
    """

    field: str
    low: int
    high: int
    instruction: str

    def parse(self, text: str) -> int:
        """The integer in a reply.

        Raises:
          ValueError: if `text` is not exactly one such object; the message can be sent to the LLM.
        """
        try:
            parsed = json.loads(text, object_pairs_hook=tuple)  # an object as its pairs, so that double keys are seen
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, tuple) or len(parsed) != 1 or parsed[0][0] != self.field:
            expected = f'one JSON object {{"{self.field}": n}} and nothing else'
            raise ValueError(f"expected {expected}, found {_shorten(text)!r}")
        number = parsed[0][1]
        if type(number) is not int or not self.low <= number <= self.high:
            expected = f"a whole number from {self.low} to {self.high}"
            raise ValueError(f"{self.field}: expected {expected}, found {_shorten(str(number))}")
        return number

    def repair_messages(self, text: str, problem: str) -> Messages:
        """Messages that follow an invalid reply: the reply itself and the problem with it."""
        shown = text[:_MAX_REPLY_SHOWN] or "(nothing)"
        repair = f"That reply cannot be used: {problem}. {self.instruction}"
        return [{"role": "assistant", "content": shown}, {"role": "user", "content": repair}]


@dataclasses.dataclass(frozen=True)
class IntegerRequest:
    """A prompt for an integer.

    Attributes:
      messages: the prompt.
      format: format of the reply.
      make_record: builds the journal record from the integer or None, the reason of a failure or None, and the usage.
    """

    messages: Messages
    format: IntegerFormat
    make_record: Callable[[int | None, str | None, Usage], Record]


async def request_integer(
    requester: Requester, request: IntegerRequest, usage: Usage, before: Before | None = None
) -> int:
    """Requests one integer.

    Args:
      usage: receives the tokens and the cost of all attempts.
      before: see `Requester.complete`.

    Raises:
      FormatError: if both the reply and the repaired reply are invalid.
      Exception: see `Requester.complete`.
    """
    answer = strip_thoughts((await requester.complete(request.messages, usage, before)).text)
    try:
        return request.format.parse(answer)
    except ValueError as problem:
        messages = request.messages + request.format.repair_messages(answer, str(problem))
    answer = strip_thoughts((await requester.complete(messages, usage, before)).text)
    try:
        return request.format.parse(answer)
    except ValueError as problem:
        raise FormatError(f"after one repair: {problem}") from None


async def request_integers(
    requests: Iterable[IntegerRequest], requester: Requester, concurrency: int, replies: ReplyStore, progress: Progress
) -> None:
    """Requests many integers and stores each when it arrives; ends early when the budget is spent.

    Raises:
      ValueError: if the server refuses every request.
      InterruptedError: after SIGINT or SIGTERM.
      OSError: if a record cannot be written.
    """

    async def send(request: IntegerRequest, usage: Usage) -> int:
        async def before(most: float) -> None:
            await replies.sent.add(request.make_record(None, KILLED, Usage(cost=most)))

        return await request_integer(requester, request, usage, before)

    async def store(request: IntegerRequest, number: int | None, failure: str | None, usage: Usage) -> None:
        await replies.journal.add(request.make_record(number, failure, usage))
        if failure is not None:
            await replies.sent.add(request.make_record(None, KILLED, Usage()))
        progress.step(failure is not None, replies.journal.spent)

    async with requester.client:
        with stop_on_signals([requester]):
            error = await process_all(requests, concurrency, send, store)
    if not isinstance(error, OSError) or isinstance(error, InterruptedError):
        replies.sent.clear()  # all have ended, and are stored
    if error is not None and not isinstance(error, BudgetError):
        raise error


def _shorten(text: str) -> str:
    return " ".join(text.split())[:80]
