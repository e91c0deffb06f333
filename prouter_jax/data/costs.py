"""Costs of answers where a data set has none: prices times tokens, and tokens counted in the texts."""

import dataclasses

import numpy as np
from jaxtyping import Float, Shaped

from prouter_jax.data.interactions import Interactions
from prouter_jax.io.display import log_line

_CHARACTERS_PER_TOKEN = 4


def with_costs(data: Interactions, source: str) -> Interactions:
    """Fills in missing costs, for users who weigh effect against cost.

    cost = (input price * input tokens + output price * output tokens) / 1e6. Missing input tokens are counted in the
    query, missing output tokens in the answer, at four characters each. A line on stderr says how many there are.

    Args:
      data: with the texts of the answers, if it has them.
      source: what the data was read from, for messages.

    Raises:
      ValueError: if no answer has an effect and a cost then, saying what is missing and what would do.
    """
    outcomes, llms = data.outcomes, data.llms
    texts = np.full(len(outcomes.llm), "", object) if outcomes.response is None else outcomes.response
    tokens_in = np.where(
        np.isnan(outcomes.input_tokens), _count(data.queries.texts)[outcomes.query], outcomes.input_tokens
    )
    tokens_out = np.where(np.isnan(outcomes.output_tokens), _count(texts), outcomes.output_tokens)
    computed = (llms.input_price[outcomes.llm] * tokens_in + llms.output_price[outcomes.llm] * tokens_out) / 1e6
    missing = np.isnan(outcomes.cost)
    cost = np.where(missing, computed, outcomes.cost)
    if not (np.isfinite(cost) & np.isfinite(outcomes.effect)).any():
        raise ValueError(f"{source}: {_what_is_missing(data, tokens_out, cost)}")
    filled = missing & ~np.isnan(cost)
    if filled.any():
        counted = np.count_nonzero(filled & np.isnan(outcomes.output_tokens))
        guessed = f", with tokens of {counted:,} counted at four characters each" if counted else ""
        log_line(f"{source}: costs of {np.count_nonzero(filled):,} answers are prices times tokens{guessed}")
    return data.replace(outcomes=dataclasses.replace(outcomes, cost=cost))


def _count(texts: Shaped[np.ndarray, " texts"]) -> Float[np.ndarray, " texts"]:
    """Tokens of each text, NaN for an empty one."""
    return np.array([-(-len(text) // _CHARACTERS_PER_TOKEN) if text else np.nan for text in texts], np.float64)


def _what_is_missing(data: Interactions, tokens_out: np.ndarray, cost: np.ndarray) -> str:
    outcomes = data.outcomes
    found = [
        f"{np.count_nonzero(np.isfinite(outcomes.effect)):,} effects",
        f"{np.count_nonzero(np.isfinite(cost)):,} costs",
        f"prices of {np.count_nonzero(np.isfinite(data.llms.input_price + data.llms.output_price)):,} LLMs",
        f"tokens or texts of {np.count_nonzero(np.isfinite(tokens_out)):,}",
    ]
    return (
        f"expected an effect and a cost of some answer, for users who weigh them, found of {len(cost):,} answers: "
        f"{', '.join(found)}; a column cost of outcomes would do, or prices (data.llms_path, or input_price and "
        "output_price of llms) with the texts of answers or output_tokens; or simulate users without costs: "
        "data.users=llm_as_judge, which needs the texts of answers"
    )
