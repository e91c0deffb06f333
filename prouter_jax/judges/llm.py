"""The judge that asks an LLM, at any OpenAI-compatible server, to play each person."""

import asyncio
import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np

from prouter_jax import config as config_data
from prouter_jax.asking.address import find_address
from prouter_jax.asking.caller import Caller
from prouter_jax.asking.client import Client, Server
from prouter_jax.asking.crew import ask_all
from prouter_jax.asking.form import REPLY_TOKENS
from prouter_jax.asking.interruption import interruptible
from prouter_jax.asking.ledger import Ledger, read_ledger
from prouter_jax.asking.limits import Pace, Places
from prouter_jax.asking.progress_line import ProgressLine
from prouter_jax.asking.retry import Retry
from prouter_jax.asking.spending import Budget, BudgetError, Estimate, Prices, guess_tokens
from prouter_jax.judges import dialogue
from prouter_jax.judges.choosing import Ask, Chooser
from prouter_jax.judges.judge import NOTHING_TO_CHOOSE, Verdicts
from prouter_jax.judges.personas import Persona
from prouter_jax.judges.questions import Questions
from prouter_jax.judges.verdicts import WORD, Stored

NOT_ASKED = "not asked: the budget is spent"


@dataclasses.dataclass(frozen=True)
class LlmJudge:
    """Asks for one verdict a request and keeps each in a file; what is in the file is not asked again.

    Attributes:
      config: model, prices, limits.
      verdicts: the file, a line of JSON a verdict.
      retry_failures: ask again where the file has a failure.
    """

    config: config_data.Judge
    verdicts: str | os.PathLike
    retry_failures: bool = False

    def choose(self, personas: Sequence[Persona], questions: Questions) -> Verdicts:
        """See `Judge`. Each person is shown the answers in an order of its own.

        Not to be called from a running event loop.

        Raises:
          ValueError: if the package openai or a key is missing, the server refuses everything, or the file is in use.
        """
        pairs = _Pairs(self.config, personas, questions)
        with Ledger(self.verdicts, Stored, WORD) as store:
            open_pairs = [pair for pair, key in pairs.keys.items() if not self._settled(store.entries.get(key))]
            if open_pairs:
                client, stored = Client(self._server()), len(pairs.keys) - len(open_pairs)
                with ProgressLine("judge", "verdicts", len(pairs.keys), stored, store.spent) as progress:
                    asyncio.run(self._ask(pairs.asks(open_pairs), client, store, progress))
            return pairs.verdicts(store.entries)

    def estimate(self, personas: Sequence[Persona], questions: Questions) -> Estimate:
        """What the verdicts that are not in the file would cost, replies in form at the first attempt."""
        pairs, stored = _Pairs(self.config, personas, questions), read_ledger(self.verdicts, Stored, WORD)
        open_pairs = [pair for pair, key in pairs.keys.items() if not self._settled(stored.get(key))]
        by_persona = np.bincount([persona for persona, _ in open_pairs], minlength=len(personas))
        by_question = np.bincount([question for _, question in open_pairs], minlength=len(questions.ids))
        characters = int(by_persona @ pairs.persona_lengths() + by_question @ pairs.question_lengths())
        tokens = guess_tokens(characters), len(open_pairs) * REPLY_TOKENS
        cost = self._prices().cost(*tokens)
        return Estimate(len(pairs.keys), len(pairs.keys) - len(open_pairs), *tokens, cost)

    def _settled(self, stored: Stored | None) -> bool:
        return stored is not None and not (self.retry_failures and stored.failure)

    def _prices(self) -> Prices:
        config = self.config
        return Prices(config.input_price, config.output_price, config.max_output_tokens, REPLY_TOKENS)

    def _server(self) -> Server:
        config = self.config
        limits = config.timeout, config.max_output_tokens, config.output_limit
        return Server("judge", config.model, find_address(), *limits)

    async def _ask(self, asks: Iterator[Ask], client: Client, store: Ledger[Stored], progress: ProgressLine) -> None:
        config = self.config
        caller = Caller(
            client=client,
            prices=self._prices(),
            budget=Budget(config.max_cost, store.spent),
            retry=Retry(config.attempts, config.backoff),
            rng=np.random.default_rng(config.seed),
            places=Places(config.concurrency),
            pace=Pace(0),
        )
        chooser = Chooser(caller, store, progress)
        async with client:
            with interruptible([caller]):
                stopped = await ask_all(asks, config.concurrency, chooser.choose, chooser.keep)
        if stopped is not None and not isinstance(stopped, BudgetError):
            raise stopped


class _Pairs:
    """All pairs of a person and a question with something to choose.

    Attributes:
      keys: what the verdict on (persona, question) is stored under; all persons of a question one after the other.
    """

    def __init__(self, config: config_data.Judge, personas: Sequence[Persona], questions: Questions):
        self._seed, self._personas, self._questions = config.seed, personas, questions
        self._offered = questions.offered
        self.keys: dict[tuple[int, int], str] = {}
        players = [dialogue.persona_digest(config.model, persona) for persona in personas]
        for question in np.flatnonzero(self._offered.sum(1) >= 2).tolist():
            query, answers, costs = self._shown(question)
            digests = [dialogue.question_digest(query, answers, told) for told in (None, costs)]
            for row, persona in enumerate(personas):
                parts = players[row], digests[bool(persona.cost)], self._order_seed(row, question)
                self.keys[row, question] = dialogue.verdict_key(*parts)

    def asks(self, pairs: list[tuple[int, int]]) -> Iterator[Ask]:
        """What is asked for the given pairs, made one by one: all prompts together would fill the memory."""
        for row, question in pairs:
            key, seed = self.keys[row, question], self._order_seed(row, question)
            yield Ask(key, self._personas[row], self._questions.ids[question], *self._shown(question), seed)

    def verdicts(self, stored: dict[str, Stored]) -> Verdicts:
        """The verdicts in `stored`, by LLM; a pair without one has failed."""
        choice = np.full((len(self._personas), len(self._questions.ids)), -1, np.int32)
        failures = {}
        for pair in np.ndindex(choice.shape):
            found = stored.get(self.keys.get(pair, ""))
            if found is not None and found.choice is not None:
                choice[pair] = np.flatnonzero(self._offered[pair[1]])[found.choice]
            else:
                missing = NOT_ASKED if pair in self.keys else NOTHING_TO_CHOOSE
                failures[pair] = found.failure if found is not None else missing
        return Verdicts(choice, failures)

    def persona_lengths(self) -> np.ndarray:
        """Characters of the system message [personas]."""
        return np.array([len(dialogue.persona_text(persona)) for persona in self._personas])

    def question_lengths(self) -> np.ndarray:
        """Characters of the user message [questions], zero where there is nothing to choose."""
        lengths = np.zeros(len(self._questions.ids), np.int64)
        for question in {question for _, question in self.keys}:
            query, answers, costs = self._shown(question)
            order = np.arange(len(answers))
            lengths[question] = len(
                dialogue.build_messages(self._personas[0], query, answers, costs, order)[1]["content"]
            )
        return lengths

    def _shown(self, question: int) -> tuple[str, list[str], list[float]]:
        offered = self._offered[question]
        answers, costs = self._questions.answers[question][offered], self._questions.cost[question][offered]
        return self._questions.texts[question], answers.tolist(), costs.tolist()

    def _order_seed(self, row: int, question: int) -> int:
        return dialogue.order_seed(self._seed, self._personas[row].name, self._questions.ids[question])
