"""New LLMs: data as it was before they came, with neither their outcomes nor them among the candidates."""

import dataclasses

import numpy as np

from prouter_jax import interactions as tables
from prouter_jax.interactions import CHOICE, Interactions


def find_llms(ids: np.ndarray, names: str) -> np.ndarray:
    """Where the LLMs of `ids` are among `names`, with commas between: bool [llms].

    Raises:
      ValueError: on a name that no LLM has, or if no other LLM is left.
    """
    wanted = {name.strip() for name in names.split(",")} - {""}
    unknown = sorted(wanted - set(ids))
    if unknown:
        raise ValueError(f"config.data.new_llms: expected names of LLMs in the data, found {unknown[0]!r}")
    if len(wanted) == len(ids):
        raise ValueError(f"config.data.new_llms: expected to leave some LLM known, found all {len(ids)} named")
    return np.isin(ids, sorted(wanted))


def hide_outcomes(data: Interactions, llms: np.ndarray, shown: np.ndarray | None = None) -> Interactions:
    """`data` without the outcomes of `llms` (bool [llms]), but for those on the queries `shown` (bool [queries])."""
    outcomes = data.outcomes
    seen = ~llms[outcomes.llm] if shown is None else ~llms[outcomes.llm] | shown[outcomes.query]
    return data.replace(outcomes=tables.take(outcomes, seen))


def without_llms(data: Interactions, llms: np.ndarray) -> tuple[Interactions, np.ndarray]:
    """The recorded decisions with `llms` (bool [llms]) not on offer; every LLM keeps its row.

    Dropped are decisions whose choice, or a share of it, fell on one of them, choices that are left without an
    alternative, and decisions left without feedback: what the user would have said otherwise is not known.

    Returns:
      The data, and the row in `data` of each decision that is left.
    """
    decisions, feedback, offers = data.decisions, data.feedback, data.offers & ~llms
    choice, gone = feedback.kind == CHOICE, llms[feedback.llm]
    alone = ((offers.sum(1) < data.offers.sum(1)) & (offers.sum(1) < 2))[decisions.offer]
    lost = np.zeros(len(decisions.user), bool)
    lost[feedback.decision[choice & (gone | alone[feedback.decision])]] = True
    told = np.zeros(len(lost), bool)
    told[feedback.decision[~gone]] = True
    first = np.where(llms[decisions.first], -1, decisions.first).astype(np.int32)
    kept = data.replace(
        offers=offers, decisions=dataclasses.replace(decisions, first=first), feedback=tables.take(feedback, ~gone)
    )
    return tables.select_decisions(kept, told & ~lost), np.flatnonzero(told & ~lost)


def rows_by_pair(data: Interactions, whole: Interactions) -> np.ndarray:
    """The row in `whole` of each decision of `data`, which its user and query tell alone."""
    wide = len(whole.queries.ids)
    keys, known = (t.decisions.user.astype(np.int64) * wide + t.decisions.query for t in (data, whole))
    order = np.argsort(known)
    return order[np.searchsorted(known, keys, sorter=order)]


def exchange(
    whole: Interactions, touched: np.ndarray, other: Interactions, row: np.ndarray
) -> tuple[Interactions, np.ndarray]:
    """`whole` with the decisions where `touched` (bool [decisions]) as they are in `other`.

    Args:
      other: decisions over the same users, queries and LLMs.
      row: of each decision of `other` in `whole`. A touched one that `other` lacks is dropped.

    Returns:
      The data, and which decisions of `whole` are left, bool [decisions].
    """
    moved = touched[row]
    kept = ~touched
    kept[row[moved]] = True
    offer, first = whole.decisions.offer.copy(), whole.decisions.first.copy()
    offer[row[moved]] = len(whole.offers) + other.decisions.offer[moved]
    first[row[moved]] = other.decisions.first[moved]
    told = tables.take(other.feedback, moved[other.feedback.decision])
    told = dataclasses.replace(told, decision=row[told.decision].astype(np.int32))
    feedback = tables.concatenate([tables.take(whole.feedback, ~touched[whole.feedback.decision]), told])
    data = whole.replace(
        offers=np.concatenate([whole.offers, other.offers]),
        decisions=dataclasses.replace(whole.decisions, offer=offer, first=first),
        feedback=tables.take(feedback, np.argsort(feedback.decision, kind="stable")),
    )
    return tables.distinct_offers(tables.select_decisions(data, kept)), kept
