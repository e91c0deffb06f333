"""Token prices, cost estimates before a run, and a budget that concurrent requests never exceed."""

import asyncio
import dataclasses

from prouter_jax.llm.client import Messages, Reply

_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 16  # upper bound of what servers add around a message


class BudgetError(Exception):
    """The next request could cost more than the rest of the budget."""


@dataclasses.dataclass
class Usage:
    """Tokens of some requests and their cost in USD."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


@dataclasses.dataclass(frozen=True)
class Prices:
    """Token prices of an LLM and the length of its replies.

    Attributes:
      input_price, output_price: USD per million tokens.
      max_output_tokens: upper bound for one reply.
      lost_output_tokens: assumed length of a reply that was lost but may have been charged.
    """

    input_price: float
    output_price: float
    max_output_tokens: int
    lost_output_tokens: int

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """USD for a number of tokens."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6

    def max_cost(self, messages: Messages) -> float:
        """Upper bound of the cost of one request in USD: every token has at least one byte."""
        tokens = sum(len(message["content"].encode()) + _TOKENS_PER_MESSAGE for message in messages)
        return self.cost(tokens, self.max_output_tokens)

    def charge(self, usage: Usage, messages: Messages, reply: Reply | None) -> float:
        """Adds one request to `usage`, with the server's token counts or else with estimates.

        Args:
          reply: None for a request whose reply was lost but may have been charged.

        Returns:
          The cost of the request in USD.
        """
        counted = (reply.input_tokens, reply.output_tokens) if reply is not None else (None, None)
        guess = self.lost_output_tokens if reply is None else len(reply.text) // _CHARACTERS_PER_TOKEN + 1
        input_tokens = estimate_tokens(count_characters(messages)) if counted[0] is None else counted[0]
        output_tokens = guess if counted[1] is None else counted[1]
        cost = self.cost(input_tokens, output_tokens)
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
      cost: of the rest in USD.
    """

    total: int
    stored: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def format(self, noun: str) -> str:
        """The estimate as one line of text.

        Args:
          noun: name of the replies, in the plural.
        """
        stored = f", {self.stored:,} of them stored" if self.stored else ""
        tokens = f"about {self.input_tokens:,} tokens in and {self.output_tokens:,} out, {self.cost:.4f} USD"
        return f"{self.total:,} {noun}{stored}; {tokens if self.input_tokens else 'nothing to pay'}"


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
