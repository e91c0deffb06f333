"""Asking an LLM for verdicts, each stored as soon as it is there."""

import dataclasses

from prouter_jax.asking.caller import Caller
from prouter_jax.asking.form import ask_number
from prouter_jax.asking.ledger import Ledger
from prouter_jax.asking.progress_line import ProgressLine
from prouter_jax.asking.spending import Usage
from prouter_jax.judges import dialogue
from prouter_jax.judges.personas import Persona
from prouter_jax.judges.verdicts import Stored


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
class Chooser:
    """Who is asked, and where the verdicts go."""

    caller: Caller
    store: Ledger[Stored]
    progress: ProgressLine

    async def choose(self, ask: Ask, usage: Usage) -> int:
        """Which of the answers is best, counted from 0 in the order of the LLMs."""
        order = dialogue.draw_order(ask.seed, len(ask.answers))
        messages = dialogue.build_messages(ask.persona, ask.query, ask.answers, ask.costs, order)
        best = await ask_number(self.caller, messages, dialogue.best_form(len(order)), usage)
        return int(order[best - 1])

    async def keep(self, ask: Ask, choice: int | None, failure: str | None, usage: Usage) -> None:
        """Stores a verdict or a failure."""
        counted = (usage.input_tokens, usage.output_tokens, usage.cost)
        await self.store.add(Stored(ask.key, ask.persona.name, ask.query_id, choice, failure, *counted))
        self.progress.step(failure is not None, self.store.spent)
