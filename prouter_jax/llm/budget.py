"""Costs of requests: estimates before a run, a budget that concurrent requests never exceed, and their progress."""

import asyncio
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tqdm

from prouter_jax.io.display import log_line
from prouter_jax.llm.completions import Reply
from prouter_jax.llm.pool import Messages, RemoteLlm

_CHARACTERS_PER_TOKEN = 4

_TERMINAL_SECONDS = 1.0  # between updates
_LOG_SECONDS = 30.0


class BudgetError(Exception):
    """The next request could cost more than the rest of the budget."""


@dataclasses.dataclass
class Usage:
    """Tokens of some requests and their cost in USD."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


def charge(llm: RemoteLlm, usage: Usage, messages: Messages, reply: Reply | None) -> float:
    """Adds one request to `usage`, with the server's token counts or else with estimates.

    Args:
      reply: None for a request whose reply was lost but may have been charged; it is assumed to have had the maximum
        length, so that the budget is never exceeded.

    Returns:
      The cost of the request in USD.
    """
    input_tokens = reply.input_tokens if reply is not None else None
    if input_tokens is None:
        input_tokens = estimate_tokens(count_characters(messages))
    if reply is None:
        output_tokens = llm.max_output_tokens
    elif reply.output_tokens is None:
        output_tokens = len(reply.text) // _CHARACTERS_PER_TOKEN + 1
    else:
        output_tokens = reply.output_tokens
    cost = llm.cost(input_tokens, output_tokens)
    usage.input_tokens += input_tokens
    usage.output_tokens += output_tokens
    usage.cost += cost
    return cost


def estimate_tokens(characters: int) -> int:
    """Number of tokens of a text, at four characters each."""
    return -(-characters // _CHARACTERS_PER_TOKEN)


def count_characters(messages: Messages) -> int:
    """Number of characters of all messages."""
    return sum(len(message["content"]) for message in messages)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Expected cost of a number of replies.

    Attributes:
      total: replies wanted; `stored` of them are in the journal already.
      input_tokens, output_tokens: estimates for the rest, at four characters a token.
      cost: of the rest in USD; `max_cost` is its upper bound without retries, 0 if it is not estimated.
    """

    total: int
    stored: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    max_cost: float = 0.0

    def format(self, noun: str) -> str:
        """The estimate as one line of text.

        Args:
          noun: name of the replies, in the plural.
        """
        stored = f", {self.stored:,} of them stored" if self.stored else ""
        if not self.input_tokens:
            return f"{self.total:,} {noun}{stored}; nothing to pay"
        tokens = f"about {self.input_tokens:,} tokens in and {self.output_tokens:,} out, {self.cost:.4f} USD"
        most = f", at most {self.max_cost:.4f} USD" if self.max_cost else ""
        return f"{self.total:,} {noun}{stored}; {tokens}{most}"


class Budget:
    """Money for concurrent requests: each reserves its maximum cost before, and settles its actual cost after."""

    def __init__(self, limit: float, spent: float):
        """
        Args:
          limit: USD, 0 for no limit.
          spent: USD that earlier runs spent.

        Raises:
          ValueError: if the limit is negative or not a number.
        """
        if not limit >= 0:
            raise ValueError(f"the budget: expected USD of at least 0, found {limit:g}")
        self.limit, self.spent, self._reserved, self._running = limit, spent, 0.0, 0
        self._changed = asyncio.Condition()

    async def reserve(self, amount: float) -> None:
        """Reserves USD for one request; waits while requests under way may still return enough of theirs.

        Raises:
          BudgetError: if the rest of the budget is too small and no request is under way.
        """
        async with self._changed:
            while self.limit and self.spent + self._reserved + amount > self.limit:
                if not self._running:
                    raise BudgetError(f"the budget of {self.limit:g} USD is spent")
                await self._changed.wait()
            self._reserved += amount
            self._running += 1

    async def settle(self, reserved: float, cost: float) -> None:
        """Returns the reservation of a finished request and adds its cost to what is spent, both in USD."""
        async with self._changed:
            self._running -= 1
            self._reserved = self._reserved - reserved if self._running else 0.0
            self.spent += cost
            self._changed.notify_all()


def tell_killed(where: str, costs: Sequence[float]) -> None:
    """Says in a line what requests that were under way at a kill may cost a second time; nothing without any.

    Args:
      where: begins the line.
      costs: most that each of them can cost, in USD.
    """
    if costs:
        log_line(
            f"{where}: {len(costs):,} requests were under way when an earlier run was killed; they are asked "
            f"again, so at most {sum(costs):.4f} USD are paid twice; the budget counts them"
        )


class Progress(tqdm.tqdm):
    """A tqdm bar that counts failures and money; in a log file, where nothing can be overwritten, a line each time."""

    monitor_interval = 0  # no thread that lowers `miniters`: it is 1

    def __init__(self, command: str, noun: str, total: int, stored: int, spent: float | None = None):
        """
        Args:
          command: name of the command that runs.
          noun: name of the replies, in the plural.
          total: replies wanted; `stored` of them exist already.
          spent: USD of earlier runs; None if nothing costs money.
        """
        self.failed, self.spent = 0, spent
        terminal = sys.stderr.isatty()
        bar = "{percentage:3.0f}%|{bar}| " if terminal else ""
        super().__init__(
            desc=command,
            total=total,
            initial=stored,
            bar_format=f"{{desc}}: {bar}{{n_fmt}}/{{total_fmt}} {noun}{{postfix}}, {{remaining}} left",
            postfix=self._counts(),
            mininterval=_TERMINAL_SECONDS if terminal else _LOG_SECONDS,
            maxinterval=_TERMINAL_SECONDS if terminal else _LOG_SECONDS,
            miniters=1,
            dynamic_ncols=True,
        )

    def step(self, failed: bool, spent: float | None = None) -> None:
        """Counts one reply or failure.

        Args:
          spent: USD so far, earlier runs included.
        """
        self.failed += failed
        self.spent = spent
        self.set_postfix_str(self._counts(), refresh=False)
        self.update()

    def _counts(self) -> str:
        failed = [f"{self.failed} failed"] if self.failed else []
        spent = [] if self.spent is None else [f"{self.spent:.4f} USD spent"]
        return ", ".join(failed + spent)

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Prints each status over the last one in a terminal, and on a line of its own elsewhere."""
        if file.isatty():
            return tqdm.tqdm.status_printer(getattr(file, "unescaped", file))
        started = False

        def print_status(status: str) -> None:
            nonlocal started
            file.write(f"\n{status}" if started else status)
            file.flush()
            started = True

        return print_status
