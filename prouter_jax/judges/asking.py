"""Asking an LLM for verdicts: several at a time, again where that may help, each stored as soon as it is there."""

import asyncio
import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from prouter_jax.judges import dialogue
from prouter_jax.judges.client import Client, RefusedError, Reply, TransientError
from prouter_jax.judges.personas import Persona
from prouter_jax.judges.progress_line import ProgressLine
from prouter_jax.judges.retry import Retry
from prouter_jax.judges.spending import Budget, BudgetError, Prices, Usage
from prouter_jax.judges.verdicts import Stored, VerdictStore


@dataclasses.dataclass(frozen=True)
class Ask:
    """One verdict to be had.

    Attributes:
      key: see `dialogue.verdict_key`.
      persona: who is to be played.
      query_id, query: the question.
      answers, costs: of the LLMs on offer, in their order.
      seed: of the order in which the answers are shown.
    """

    key: str
    persona: Persona
    query_id: str
    query: str
    answers: list[str]
    costs: list[float]
    seed: int


@dataclasses.dataclass
class Asker:
    """What all requests of one run share.

    Attributes:
      stopped: the error after which nothing more is asked.
    """

    client: Client
    store: VerdictStore
    prices: Prices
    budget: Budget
    retry: Retry
    rng: np.random.Generator
    progress: ProgressLine
    stopped: Exception | None = None

    async def ask_all(self, asks: Iterable[Ask], concurrency: int) -> None:
        """Asks for verdicts and stores them, failures too. Returns early where the budget does not allow more.

        What is under way when something goes wrong is finished and stored: it is paid for.

        Raises:
          ValueError: where every request would fail.
          OSError: where verdicts cannot be stored.
        """
        rest = iter(asks)
        async with self.client:
            await asyncio.gather(*(self._work(rest) for _ in range(concurrency)))
        if self.stopped is not None and not isinstance(self.stopped, BudgetError):
            raise self.stopped

    async def _work(self, rest: Iterator[Ask]) -> None:
        for ask in rest:
            usage = Usage()
            try:
                self._keep(ask, await self._choose(ask, usage), None, usage)
            except (TransientError, RefusedError, _NonsenseError) as error:
                self._keep(ask, None, str(error), usage)
            except Exception as error:
                self.stopped = self.stopped or error
                if usage.cost:
                    self._keep(ask, None, f"stopped half-way: {error}", usage)
            if self.stopped is not None:
                return

    async def _choose(self, ask: Ask, usage: Usage) -> int:
        """Which of the answers is best, counted from 0 in the order of the LLMs."""
        order = dialogue.draw_order(ask.seed, len(ask.answers))
        messages = dialogue.build_messages(ask.persona, ask.query, ask.answers, ask.costs, order)
        reply = await self._complete(messages, usage)
        try:
            best = dialogue.parse_best(reply.text, len(order))
        except ValueError as wrong:
            messages = messages + dialogue.build_repair(reply.text, str(wrong))
            reply = await self._complete(messages, usage)
            try:
                best = dialogue.parse_best(reply.text, len(order))
            except ValueError as still_wrong:
                raise _NonsenseError(f"after one repair: {still_wrong}") from None
        return int(order[best - 1])

    async def _complete(self, messages: dialogue.Messages, usage: Usage) -> Reply:
        """One reply, asked for as often as `retry` allows."""
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

    async def _complete_once(self, messages: dialogue.Messages, usage: Usage) -> Reply:
        most, cost = self.prices.bound(messages), 0.0
        await self.budget.reserve(most)
        try:
            reply = await self.client.complete(messages)
            cost = self.prices.count(usage, messages, reply)
            return reply
        except TransientError as error:
            cost = self.prices.count(usage, messages, None) if error.maybe_paid else 0.0
            raise
        finally:
            await self.budget.settle(most, cost)

    def _keep(self, ask: Ask, choice: int | None, failure: str | None, usage: Usage) -> None:
        counted = (usage.input_tokens, usage.output_tokens, usage.cost)
        self.store.add(Stored(ask.key, ask.persona.name, ask.query_id, choice, failure, *counted))
        self.progress.step(failure is not None, self.store.spent)


class _NonsenseError(Exception):
    """The LLM did not name an answer, even when told how."""
