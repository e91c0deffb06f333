"""The card of a data set: what is in it, where it comes from, and the SHA-256 sums of its files."""

from collections.abc import Mapping

import numpy as np

from prouter_jax.interactions import KINDS, Interactions
from prouter_jax.report.markdown import cell, table


def make_card(data: Interactions, name: str, licence: str, sources: Mapping[str, str], built: Mapping[str, str]) -> str:
    """A page of Markdown.

    Args:
      name: of the format.
      licence: one line.
      sources, built: SHA-256 sums of the files read and of those written, by name.
    """
    parts = [
        f"# personal_routing/{cell(name)}",
        "Which LLM each user wanted for each query. An example is a user with all decisions; texts, LLMs and outcomes "
        "are in tables/, sets of candidates in offers.npy, and numbers in examples are rows of these.",
        f"Licence of the data: {cell(licence)}",
        "## What is in it",
        table(["what", "number"], _counts(data)),
        "## LLMs",
        table(["LLM", "on offer", "choices"], _llm_rows(data)),
        "## Sources",
        table(["file", "SHA-256"], sources.items()),
        "## Files",
        table(["file", "SHA-256"], built.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _counts(data: Interactions) -> list[tuple[str, str]]:
    who, feedback = data.decisions.user, data.feedback
    counts = {
        "users": len(data.users.ids),
        "users with decisions": len(np.unique(who)),
        "tasks": len(data.tasks.ids),
        "queries": len(data.queries.ids),
        "LLMs": len(data.llms.ids),
        "outcomes": len(data.outcomes.query),
        "decisions": len(who),
        "sets of candidates": len(data.offers),
    }
    counts |= {f"feedback: {kind}": int((feedback.kind == number).sum()) for number, kind in enumerate(KINDS)}
    return [(what, str(number)) for what, number in counts.items()]


def _llm_rows(data: Interactions) -> list[tuple[str, str, str]]:
    """How often each LLM was on offer, and chosen; a tie counts in parts."""
    number, chosen = len(data.llms.ids), data.feedback.kind == KINDS.index("choice")
    offered = np.bincount(data.decisions.offer, minlength=len(data.offers)) @ data.offers
    choices = np.bincount(data.feedback.llm[chosen], data.feedback.value[chosen], number)
    return [(llm, str(n), f"{won:.0f}") for llm, n, won in zip(data.llms.ids, offered, choices, strict=True)]
