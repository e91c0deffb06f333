"""Who is to be asked what, and what that is going to cost."""

import dataclasses
from collections.abc import Sequence

from prouter_jax.asking.spending import Estimate, count_characters, guess_tokens
from prouter_jax.collect.answers import Answer
from prouter_jax.collect.llms import PoolLlm
from prouter_jax.collect.queries import Queries

_USUAL_OUTPUT_TOKENS = 400  # of an answer to an instruction, where there are no answers yet to tell


@dataclasses.dataclass(frozen=True)
class Ask:
    """One answer to be had: what it is stored under, and the row of its query."""

    key: str
    row: int


@dataclasses.dataclass(frozen=True)
class Lane:
    """What is asked of one LLM.

    Attributes:
      keys: of the answers to all queries, in their order.
      asks: the answers that are not there yet, each once, whoever else in the pool wants the same.
    """

    llm: PoolLlm
    keys: list[str]
    asks: list[Ask]


def build_lanes(queries: Queries, llms: Sequence[PoolLlm], answers: dict[str, Answer]) -> list[Lane]:
    """A lane for each LLM of the pool.

    Args:
      answers: that are there already, by key.
    """
    lanes, seen = [], set(answers)
    for llm in llms:
        keys = llm.keys(queries.texts)
        asks = []
        for row, key in enumerate(keys):
            if key not in seen:
                seen.add(key)
                asks.append(Ask(key, row))
        lanes.append(Lane(llm, keys, asks))
    return lanes


@dataclasses.dataclass(frozen=True)
class LaneEstimate:
    """What a lane is going to cost: about, and at most, in USD."""

    llm: str
    about: Estimate
    most: float

    def line(self) -> str:
        """The estimate in words."""
        most = f", at most {self.most:.4f} USD" if self.about.input_tokens else ""
        return f"{self.llm}: {self.about.line('answers')}{most}"


def estimate_lane(lane: Lane, queries: Queries, answers: dict[str, Answer]) -> LaneEstimate:
    """Every answer at the first attempt, as long as those that are there on average.

    Args:
      answers: that are there already, by key.
    """
    llm, prices = lane.llm, lane.llm.prices()
    prompts = [llm.messages(queries.texts[ask.row]) for ask in lane.asks]
    known = [answers[key].output_tokens for key in lane.keys if key in answers]
    usual = sum(known) / len(known) if known else min(_USUAL_OUTPUT_TOKENS, llm.max_output_tokens)
    tokens = guess_tokens(sum(map(count_characters, prompts))), round(usual * len(prompts))
    stored = len(lane.keys) - len(lane.asks)
    about = Estimate(len(lane.keys), stored, *tokens, prices.cost(*tokens))
    return LaneEstimate(llm.name, about, sum(map(prices.bound, prompts)))
