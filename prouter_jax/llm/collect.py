"""Answer collection: asks every LLM of a pool every query; answers in the journal are not requested again."""

import asyncio
import collections
import dataclasses
import os
from collections.abc import Sequence

from prouter_jax.data.thoughts import strip_thoughts
from prouter_jax.io.locks import lock_folder
from prouter_jax.io.paths import local_path
from prouter_jax.llm.answers import (
    ANSWERS,
    Answer,
    AnswerStore,
    Failure,
    Queries,
    Sent,
    open_answers,
)
from prouter_jax.llm.budget import (
    Budget,
    BudgetError,
    Estimate,
    Progress,
    Usage,
    charge,
    count_characters,
    estimate_tokens,
    tell_killed,
)
from prouter_jax.llm.collected_tables import write_collected
from prouter_jax.llm.completions import Reply
from prouter_jax.llm.journal import read_journal
from prouter_jax.llm.pool import RemoteLlm
from prouter_jax.llm.requests import FairSemaphore, Requester, process_all, stop_on_signals

_TYPICAL_OUTPUT_TOKENS = 400  # of an answer to an instruction, for an LLM without stored answers


@dataclasses.dataclass(frozen=True)
class CollectionSummary:
    """Result of a collection run.

    Attributes:
      answers: rows of the table outcomes, of `wanted`.
      cut_off: answers that reached max_output_tokens.
      estimated_tokens: answers whose tokens the server did not count.
      thoughts: answers whose model thought aloud; the tables have them without.
      failures: number of failures of this run by reason.
      stopped: error by LLM that ended its requests early.
      spent: USD, earlier runs included.
    """

    answers: int
    wanted: int
    cut_off: int
    estimated_tokens: int
    thoughts: int
    failures: collections.Counter[str]
    stopped: dict[str, Exception]
    spent: float

    def raise_errors(self) -> None:
        """Raises the errors that ended the run early; a spent budget is not an error if there is any answer.

        Raises:
          ValueError: naming the LLMs whose servers refuse every request, or if there is no answer at all.
          OSError: if an answer could not be stored, or the run was interrupted.
        """
        errors = [error for error in self.stopped.values() if not isinstance(error, BudgetError)]
        refused = [error for error in errors if isinstance(error, ValueError)]
        for error in errors:
            if error not in refused:
                raise error
        if refused:
            raise ValueError("; ".join(map(str, refused)))
        if self.wanted and not self.answers:
            reasons = [reason for reason, _ in self.failures.most_common(1)] or list(map(str, self.stopped.values()))
            raise ValueError(f"expected an answer, found none: {'; '.join(reasons)}")


def collect(
    queries: Queries,
    llms: Sequence[RemoteLlm],
    folder: str | os.PathLike,
    budget: float,
    concurrency: int,
    keep_raw: bool = False,
) -> CollectionSummary:
    """Requests all answers that are not in `folder` yet and writes the folder's tables.

    After SIGINT (Ctrl-C) or SIGTERM the requests under way are finished, because they are paid for. Must not be called
    from a running event loop.

    Args:
      folder: stores each answer when it arrives; see `write_collected` for the tables.
      budget: USD that all records of the folder may cost, earlier runs included; 0 for no limit.
      concurrency: concurrent requests of all LLMs together.
      keep_raw: see `write_collected`.

    Raises:
      ValueError: before any request, if the package openai or a key is missing or another run uses the folder.
    """
    folder = local_path(folder, "answers, to which one is added at a time")
    with lock_folder(folder), open_answers(folder) as store:
        killed = asyncio.run(store.settle_killed())
        tell_killed("collect", [one.cost for one in killed])
        plans = _make_plans(queries, llms, store.answers.records)
        run = _Run(queries, store, concurrency)
        shared = Budget(budget, store.spent), FairSemaphore(concurrency)
        unfinished = [(plan, Requester(plan.llm, *shared)) for plan in plans if plan.missing]
        total = sum(len(plan.keys) for plan in plans)
        stored = total - sum(len(plan.missing) for plan in plans)
        if unfinished:
            with Progress("collect", "answers", total, stored, store.spent) as progress:
                asyncio.run(run.request_answers(unfinished, progress))
            store.sent.clear()  # all have ended: their answers and failures are stored
        answers = store.answers.records
        write_collected(folder, queries, [(plan.llm, plan.keys) for plan in plans], answers, keep_raw)
        found = [answers[key] for plan in plans for key in plan.keys if key in answers]
        return CollectionSummary(
            answers=len(found),
            wanted=total,
            cut_off=sum(answer.finish_reason == "length" for answer in found),
            estimated_tokens=sum(not answer.counted for answer in found),
            thoughts=sum(strip_thoughts(answer.text) != answer.text for answer in found),
            failures=run.failures,
            stopped=run.stopped,
            spent=store.spent,
        )


def estimate_costs(queries: Queries, llms: Sequence[RemoteLlm], folder: str | os.PathLike) -> dict[str, Estimate]:
    """Estimates the cost of `collect` by name of the LLM, without requests and without changes to the folder."""
    folder = local_path(folder, "answers, to which one is added at a time")
    answers = read_journal(folder / ANSWERS, Answer, "an answer")
    return {plan.llm.name: _estimate_cost(plan, queries, answers) for plan in _make_plans(queries, llms, answers)}


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The requests of one LLM.

    Attributes:
      keys: of the answers to all queries, in their order.
      missing: query row by key of the answers to request; an answer that several LLMs of the pool share is requested
        for the first of them only.
    """

    llm: RemoteLlm
    keys: list[str]
    missing: dict[str, int]


def _make_plans(queries: Queries, llms: Sequence[RemoteLlm], answers: dict[str, Answer]) -> list[_Plan]:
    plans, seen = [], set(answers)
    for llm in llms:
        keys, missing = llm.keys(queries.texts), {}
        for row, key in enumerate(keys):
            if key not in seen:
                seen.add(key)
                missing[key] = row
        plans.append(_Plan(llm, keys, missing))
    return plans


def _estimate_cost(plan: _Plan, queries: Queries, answers: dict[str, Answer]) -> Estimate:
    """Assumes one attempt per answer, and the average length of the LLM's stored answers."""
    llm = plan.llm
    prompts = [llm.messages(queries.texts[row]) for row in plan.missing.values()]
    lengths = [answers[key].output_tokens for key in plan.keys if key in answers]
    mean_length = sum(lengths) / len(lengths) if lengths else min(_TYPICAL_OUTPUT_TOKENS, llm.max_output_tokens)
    tokens = estimate_tokens(sum(map(count_characters, prompts))), round(mean_length * len(prompts))
    max_cost = sum(map(llm.max_cost, prompts))
    return Estimate(len(plan.keys), len(plan.keys) - len(prompts), *tokens, llm.cost(*tokens), max_cost)


@dataclasses.dataclass
class _Run:
    """State that the requests of all LLMs share."""

    queries: Queries
    store: AnswerStore
    concurrency: int
    failures: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    stopped: dict[str, Exception] = dataclasses.field(default_factory=dict)

    async def request_answers(self, plans: list[tuple[_Plan, Requester]], progress: Progress) -> None:
        """Requests the answers of all LLMs at the same time; an error of one LLM does not end the others."""
        with stop_on_signals([requester for _, requester in plans]):
            await asyncio.gather(*(self._request_plan(plan, requester, progress) for plan, requester in plans))

    async def _request_plan(self, plan: _Plan, requester: Requester, progress: Progress) -> None:
        llm = plan.llm

        async def send(missing: tuple[str, int], usage: Usage) -> Reply:
            key, row = missing

            async def before(most: float) -> None:
                await self.store.sent.add(Sent(key, llm.name, str(self.queries.ids[row]), most))

            return await requester.complete(llm.messages(self.queries.texts[row]), usage, before)

        async def store(missing: tuple[str, int], reply: Reply | None, failure: str | None, usage: Usage) -> None:
            await self._store(llm, *missing, reply, failure, usage)
            progress.step(reply is None, self.store.spent)

        async with requester.client:
            error = await process_all(plan.missing.items(), llm.concurrency or self.concurrency, send, store)
        if error is not None:
            self.stopped[llm.name] = error

    async def _store(
        self, llm: RemoteLlm, key: str, row: int, reply: Reply | None, failure: str | None, usage: Usage
    ) -> None:
        ids = key, llm.name, str(self.queries.ids[row])
        if reply is None:
            self.failures[f"{llm.name}: {failure}"] += 1
            await self.store.failures.add(Failure(*ids, failure or "", usage.cost))
            await self.store.sent.add(Sent(*ids, 0.0, ended=True))
            return
        own = Usage()  # without lost attempts
        charge(llm, own, llm.messages(self.queries.texts[row]), reply)
        counted = reply.input_tokens is not None and reply.output_tokens is not None
        tokens = own.input_tokens, own.output_tokens
        await self.store.answers.add(Answer(*ids, reply.text, reply.finish_reason, *tokens, counted, usage.cost))
