"""What tokens cost, guessed before and counted after, and a budget that is never overrun."""

import asyncio
import dataclasses

from prouter_jax.asking.client import Messages, Reply

_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 16  # what servers put around a message, generously


class BudgetError(Exception):
    """The next request might cost more than is left."""


@dataclasses.dataclass
class Usage:
    """Tokens so far and their cost in USD."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


@dataclasses.dataclass(frozen=True)
class Prices:
    """USD per million tokens, and how many tokens a reply has.

    Attributes:
      max_output_tokens: at most.
      lost_output_tokens: what a reply is taken to have that never came but may have been paid for.
    """

    input_price: float
    output_price: float
    max_output_tokens: int
    lost_output_tokens: int

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """USD for so many tokens."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6

    def bound(self, messages: Messages) -> float:
        """USD that a request can cost at most: a token stands for one byte or more."""
        tokens = sum(len(message["content"].encode()) + _TOKENS_PER_MESSAGE for message in messages)
        return self.cost(tokens, self.max_output_tokens)

    def count(self, usage: Usage, messages: Messages, reply: Reply | None) -> float:
        """Adds a request to `usage`, as the server counted it, else as guessed, and returns its cost.

        Args:
          reply: None for a request that got none but may have been paid for.
        """
        known = (reply.input_tokens, reply.output_tokens) if reply is not None else (None, None)
        said = self.lost_output_tokens if reply is None else len(reply.text) // _CHARACTERS_PER_TOKEN + 1
        tokens_in = guess_tokens(count_characters(messages)) if known[0] is None else known[0]
        tokens_out = said if known[1] is None else known[1]
        usage.input_tokens += tokens_in
        usage.output_tokens += tokens_out
        cost = self.cost(tokens_in, tokens_out)
        usage.cost += cost
        return cost


def guess_tokens(characters: int) -> int:
    """Tokens of so many characters, about."""
    return -(-characters // _CHARACTERS_PER_TOKEN)


def count_characters(messages: Messages) -> int:
    """Of all messages."""
    return sum(len(message["content"]) for message in messages)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What replies are going to cost. Tokens are guesses (four characters each), `cost` is in USD.

    Attributes:
      asked: replies that are wanted; `stored` of them need not be asked for again.
    """

    asked: int
    stored: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def line(self, what: str) -> str:
        """The estimate in words.

        Args:
          what: replies are, in the plural.
        """
        stored = f", {self.stored:,} of them stored" if self.stored else ""
        tokens = f"about {self.input_tokens:,} tokens in and {self.output_tokens:,} out, {self.cost:.4f} USD"
        return f"{self.asked:,} {what}{stored}; {tokens if self.input_tokens else 'nothing to pay'}"


class Budget:
    """Money for requests that run at the same time: each reserves the most it can cost and settles what it did cost."""

    def __init__(self, limit: float, spent: float):
        """
        Args:
          limit: USD, 0 for none.
          spent: USD already.

        Raises:
          ValueError: if the limit is negative or not a number.
        """
        if not limit >= 0:
            raise ValueError(f"the budget: expected USD of at least 0, found {limit:g}")
        self.limit, self.spent, self._reserved, self._running = limit, spent, 0.0, 0
        self._changed = asyncio.Condition()

    async def reserve(self, most: float) -> None:
        """Waits while requests that are under way may yet leave enough.

        Raises:
          BudgetError: if they do not.
        """
        async with self._changed:
            while self.limit and self.spent + self._reserved + most > self.limit:
                if not self._running:
                    raise BudgetError(f"the budget of {self.limit:g} USD is spent")
                await self._changed.wait()
            self._reserved += most
            self._running += 1

    async def settle(self, most: float, cost: float) -> None:
        """Gives back a reservation of `most` and takes `cost`."""
        async with self._changed:
            self._running -= 1
            self._reserved = self._reserved - most if self._running else 0.0
            self.spent += cost
            self._changed.notify_all()
