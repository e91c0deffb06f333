"""What tokens cost, guessed before and counted after, and a budget that is never overrun."""

import asyncio
import dataclasses

from prouter_jax.judges.client import Reply
from prouter_jax.judges.dialogue import Messages

_CHARACTERS_PER_TOKEN = 4
_REPLY_TOKENS = 10  # {"best": n}; an LLM that thinks aloud takes more
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
    """USD per million tokens, and the highest number of tokens of a reply."""

    input_price: float
    output_price: float
    max_output_tokens: int

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
        characters = sum(len(message["content"]) for message in messages)
        known = (reply.input_tokens, reply.output_tokens) if reply is not None else (None, None)
        said = len(reply.text) // _CHARACTERS_PER_TOKEN + 1 if reply is not None else _REPLY_TOKENS
        tokens_in, tokens_out = guess_tokens(characters) if known[0] is None else known[0], known[1]
        tokens_out = said if tokens_out is None else tokens_out
        usage.input_tokens += tokens_in
        usage.output_tokens += tokens_out
        cost = self.cost(tokens_in, tokens_out)
        usage.cost += cost
        return cost


def guess_tokens(characters: int) -> int:
    """Tokens of so many characters, about."""
    return -(-characters // _CHARACTERS_PER_TOKEN)


def guess_reply_tokens(replies: int) -> int:
    """Tokens of so many replies that keep to the form."""
    return replies * _REPLY_TOKENS


class Budget:
    """Money for requests that run at the same time: each reserves the most it can cost and settles what it did cost."""

    def __init__(self, limit: float, spent: float):
        """
        Args:
          limit: USD, 0 for none.
          spent: USD already.
        """
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
