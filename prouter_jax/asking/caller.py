"""One LLM to be asked: as often as it may help, within its limits and the budget."""

import asyncio
import dataclasses

import numpy as np

from prouter_jax.asking.client import Client, Messages, Reply, TransientError
from prouter_jax.asking.limits import Pace, Places
from prouter_jax.asking.retry import Retry
from prouter_jax.asking.spending import Budget, BudgetError, Prices, Usage


@dataclasses.dataclass
class Caller:
    """What all requests to one LLM share; `places` and `budget` are those of all LLMs of a run.

    Attributes:
      rng: of the waits between attempts.
      halted: the error after which no request is begun: the server refuses everything, say.
    """

    client: Client
    prices: Prices
    budget: Budget
    retry: Retry
    rng: np.random.Generator
    places: Places
    pace: Pace
    halted: Exception | None = None
    _turn: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)

    async def complete(self, messages: Messages, usage: Usage) -> Reply:
        """One reply, asked for as often as `retry` allows.

        Args:
          usage: takes what all attempts cost.

        Raises:
          TransientError: if that was not often enough.
          RefusedError, ValueError: see `Client.complete`.
          BudgetError: if there is not enough money left for one more attempt.
          Exception: `halted`.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._complete_once(messages, usage)
            except TransientError as error:
                delay = self.retry.delay(attempt, error.wait, self.rng)
                if delay is None:
                    raise TransientError(f"after {attempt} attempts: {error}") from None
            await asyncio.sleep(delay)

    async def _complete_once(self, messages: Messages, usage: Usage) -> Reply:
        async with self._turn:  # one waits for its time, the others for their turn, so that a halt is soon seen
            self._check()
            await self.pace.wait()
        async with self.places.take(self.client.server.name):
            self._check()
            most, cost = self.prices.bound(messages), 0.0
            await self._reserve(most)
            try:
                reply = await self.client.complete(messages)
                cost = self.prices.count(usage, messages, reply)
                return reply
            except TransientError as error:
                cost = self.prices.count(usage, messages, None) if error.maybe_paid else 0.0
                raise
            except ValueError as refusal:
                self.halted = self.halted or refusal
                raise
            finally:
                await self.budget.settle(most, cost)

    async def _reserve(self, most: float) -> None:
        try:
            await self.budget.reserve(most)
        except BudgetError as error:
            self.halted = self.halted or error
            raise

    def _check(self) -> None:
        if self.halted is not None:
            raise self.halted
