"""Asks every LLM of a pool every query; what is stored is not asked again."""

import asyncio
import collections
import dataclasses
import os
from collections.abc import Sequence

from prouter_jax.asking.caller import Caller
from prouter_jax.asking.client import Reply
from prouter_jax.asking.crew import ask_all
from prouter_jax.asking.interruption import interruptible
from prouter_jax.asking.ledger import read_ledger
from prouter_jax.asking.limits import Places
from prouter_jax.asking.progress_line import ProgressLine
from prouter_jax.asking.spending import Budget, BudgetError, Usage
from prouter_jax.collect.answers import ANSWERS, Answer, Failure, Store, open_store
from prouter_jax.collect.llms import PoolLlm
from prouter_jax.collect.plan import Ask, Lane, LaneEstimate, build_lanes, estimate_lane
from prouter_jax.collect.queries import Queries
from prouter_jax.collect.tables import write_collected
from prouter_jax.io.paths import local_path


@dataclasses.dataclass(frozen=True)
class Collected:
    """What a run came to.

    Attributes:
      answers: in the table, of `wanted`.
      cut_off, guessed: of them, at their highest number of tokens, and with tokens that we and not the server counted.
      failures: why answers of this run could not be had, and how often.
      stopped: LLMs that were not asked to the end, and why.
      spent: USD, of earlier runs too.
    """

    answers: int
    wanted: int
    cut_off: int
    guessed: int
    failures: collections.Counter[str]
    stopped: dict[str, Exception]
    spent: float

    def raise_if_broken_off(self) -> None:
        """
        Raises:
          ValueError: naming the LLMs whose servers refuse everything, if there are any.
          OSError: if an answer could not be stored, or the run was interrupted.
        """
        errors = [error for error in self.stopped.values() if not isinstance(error, BudgetError)]
        refused = [error for error in errors if isinstance(error, ValueError)]
        for error in errors:
            if error not in refused:
                raise error
        if refused:
            raise ValueError("; ".join(map(str, refused)))


def collect(
    queries: Queries, llms: Sequence[PoolLlm], folder: str | os.PathLike, budget: float, concurrency: int
) -> Collected:
    """Asks for all answers that are not in `folder` yet, and writes them as a folder of tables.

    SIGINT (Ctrl-C) and SIGTERM end it once the answers that are under way have come: they are paid for.
    Not to be called from a running event loop.

    Args:
      folder: keeps each answer from the moment it comes; see `write_collected` for the tables.
      budget: USD that everything in the folder may cost, earlier runs too; 0 for no limit.
      concurrency: requests under way at a time, of all LLMs together.

    Raises:
      ValueError: if the package openai or a key is missing, or another run uses the folder. Nobody is asked then.
    """
    folder = local_path(folder, "answers, to which one is added at a time")
    with open_store(folder) as store:
        lanes = build_lanes(queries, llms, store.answers.entries)
        run = _Run(queries, store, concurrency)
        shared = Budget(budget, store.spent), Places(concurrency)
        open_lanes = [(lane, lane.llm.caller(*shared, seed)) for seed, lane in enumerate(lanes) if lane.asks]
        total = sum(len(lane.keys) for lane in lanes)
        left = sum(len(lane.asks) for lane, _ in open_lanes)
        if open_lanes:
            with ProgressLine("collect", "answers", total, total - left, store.spent) as run.progress:
                asyncio.run(run.ask(open_lanes))
        answers = store.answers.entries
        write_collected(folder, queries, [(lane.llm, lane.keys) for lane in lanes], answers)
        had = [answers[key] for lane in lanes for key in lane.keys if key in answers]
        return Collected(
            answers=len(had),
            wanted=total,
            cut_off=sum(answer.finish_reason == "length" for answer in had),
            guessed=sum(not answer.counted for answer in had),
            failures=run.failures,
            stopped=run.stopped,
            spent=store.spent,
        )


def estimate(queries: Queries, llms: Sequence[PoolLlm], folder: str | os.PathLike) -> list[LaneEstimate]:
    """What `collect` would cost; asks nobody and writes nothing."""
    folder = local_path(folder, "answers, to which one is added at a time")
    answers = read_ledger(folder / ANSWERS, Answer, "an answer")
    return [estimate_lane(lane, queries, answers) for lane in build_lanes(queries, llms, answers)]


@dataclasses.dataclass
class _Run:
    """What all lanes of a run share."""

    queries: Queries
    store: Store
    concurrency: int
    progress: ProgressLine | None = None
    failures: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    stopped: dict[str, Exception] = dataclasses.field(default_factory=dict)

    async def ask(self, lanes: list[tuple[Lane, Caller]]) -> None:
        """All lanes at the same time; one that ends early does not end the others."""
        with interruptible([caller for _, caller in lanes]):
            await asyncio.gather(*(self._ask_lane(lane, caller) for lane, caller in lanes))

    async def _ask_lane(self, lane: Lane, caller: Caller) -> None:
        llm = lane.llm

        async def answer(ask: Ask, usage: Usage) -> Reply:
            return await caller.complete(llm.messages(self.queries.texts[ask.row]), usage)

        async def keep(ask: Ask, reply: Reply | None, failure: str | None, usage: Usage) -> None:
            await self._keep(llm, ask, reply, failure, usage)

        async with caller.client:
            error = await ask_all(lane.asks, llm.concurrency or self.concurrency, answer, keep)
        if error is not None:
            self.stopped[llm.name] = error

    async def _keep(self, llm: PoolLlm, ask: Ask, reply: Reply | None, failure: str | None, usage: Usage) -> None:
        who = ask.key, llm.name, str(self.queries.ids[ask.row])
        if reply is None:
            self.failures[f"{llm.name}: {failure}"] += 1
            await self.store.failures.add(Failure(*who, failure or "", usage.cost))
        else:
            own = Usage()
            llm.prices().count(own, llm.messages(self.queries.texts[ask.row]), reply)
            counted = reply.input_tokens is not None and reply.output_tokens is not None
            said = reply.text, reply.finish_reason
            await self.store.answers.add(Answer(*who, *said, own.input_tokens, own.output_tokens, counted, usage.cost))
        if self.progress is not None:
            self.progress.step(reply is None, self.store.spent)
