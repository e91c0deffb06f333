"""Features that the better answer can be read from: they are refused, not learnt, and a line on stderr says so.

* Sides: preference data published as (chosen, rejected) put the better answer first. Nobody saw sides, but a weight on
  "shown first" would explain every vote.
* Effects: where the highest effect names the better answer, or an effect is the share of votes that an answer won, it
  was computed from the decisions to predict, those of the test among them.

Decisions of all parts count: a table shows how it was written down as a whole.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from prouter_jax.data.distinct import sorted_distinct
from prouter_jax.data.interactions import CHOICE, KINDS, Interactions, take
from prouter_jax.data.rewards import outcome_matrix
from prouter_jax.io.display import log_line

_LEAST_SIDES = 20  # decisions
_SIDES = 0.95  # share of them; people and LLM judges who prefer a side choose it in 50 to 75 %
_LEAST_EFFECTS = 50  # decisions, or answers with feedback
_EFFECTS = 0.98
_CORRELATION = 0.99


def drop_leaks(data: Interactions) -> Interactions:
    """Drops sides and effects that the better answer can be read from.

    Users with a stated preference do not count for effects: their choices are defined by effect and cost.

    Returns:
      `data`, without `decisions.first` or `outcomes.effect` if these leak.
    """
    decision, llm = better_answers(data)
    side = _find_side(data, decision, llm)
    if side:
        log_line(f"sides are not learnt: {side}")
        unknown = np.full_like(data.decisions.first, -1)
        data = data.replace(decisions=dataclasses.replace(data.decisions, first=unknown))
    effect = _find_source(data, decision, llm)
    if effect:
        log_line(f"effects are not learnt: {effect}, so they tell the decisions to predict")
        missing = np.full_like(data.outcomes.effect, np.nan)
        data = data.replace(outcomes=dataclasses.replace(data.outcomes, effect=missing))
    return data


def better_answers(data: Interactions) -> tuple[Int[np.ndarray, " decided"], Int[np.ndarray, " decided"]]:
    """The decisions among several LLMs whose feedback puts one LLM above the others, and this LLM."""
    order = np.lexsort((-data.feedback.value, data.feedback.kind, data.feedback.decision))
    feedback = take(data.feedback, order)
    group = feedback.decision.astype(np.int64) * len(KINDS) + feedback.kind
    best = np.flatnonzero(np.diff(group, prepend=-1))
    several = np.append(group, -1)[best + 1] == group[best]
    lower = np.append(feedback.value, 0)[best + 1] < feedback.value[best]
    above = best[np.where(several, lower, feedback.kind[best] == CHOICE)]
    above = above[data.offers.sum(1)[data.decisions.offer[feedback.decision[above]]] > 1]
    return feedback.decision[above], feedback.llm[above]


def _find_side(data: Interactions, decision: np.ndarray, llm: np.ndarray) -> str:
    """The side of the better answers, in words; "" if they stand on both sides."""
    first = data.decisions.first[decision]
    # among more than two LLMs, "not the first" does not say which
    pair = (first >= 0) & (data.offers.sum(1)[data.decisions.offer[decision]] == 2)
    for side, known, found in (("first", first >= 0, first == llm), ("second", pair, first != llm)):
        there, number = np.count_nonzero(known & found), np.count_nonzero(known)
        if number >= _LEAST_SIDES and there >= _SIDES * number:
            return f"the better answer stands {side} in {there} of {number} decisions"
    return ""


def _find_source(data: Interactions, decision: np.ndarray, llm: np.ndarray) -> str:
    """What effects were computed from, in words; "" if they are measurements."""
    if not np.isfinite(data.outcomes.effect).any():
        return ""
    effect = outcome_matrix(data, data.outcomes.effect)
    real = np.isnan(data.users.preference)[data.decisions.user]
    highest = _find_highest(data, effect, decision[real[decision]])
    named, number = np.count_nonzero(highest == llm[real[decision]]), np.count_nonzero(highest > -2)
    if number >= _LEAST_EFFECTS and named >= _EFFECTS * number:
        return f"the highest one is of the better answer in {named} of {number} decisions"
    for kind, name in enumerate(KINDS):
        if _correlate(effect, _mean_feedback(data, kind, real)) >= _CORRELATION:
            return f"each follows the mean {name} of its answer"
    return ""


def _find_highest(data: Interactions, effect: np.ndarray, decision: np.ndarray) -> Int[np.ndarray, " decided"]:
    """The LLM with the highest effect among those on offer; -1 if several have it, -2 if no effects differ."""
    queries, offers, number = _distinct_questions(data, decision)
    known = np.where(data.offers[offers], np.nan_to_num(effect[queries], nan=-1), -1)
    top = known.max(1, keepdims=True)
    llm = np.where((known == top).sum(1) == 1, known.argmax(1), -1)
    return np.where(((known >= 0) & (known < top)).any(1), llm, -2)[number]


def _mean_feedback(data: Interactions, kind: int, real: Bool[np.ndarray, " decisions"]) -> np.ndarray:
    """Mean feedback of one kind on each answer, float [queries, llms], NaN without; of choices the share won."""
    rows = take(data.feedback, (data.feedback.kind == kind) & real[data.feedback.decision])
    total, count = np.zeros((2, len(data.queries.ids), len(data.llms.ids)))
    answer = data.decisions.query[rows.decision], rows.llm
    np.add.at(total, answer, rows.value)
    if kind == CHOICE:
        queries, offers, number = _distinct_questions(data, np.unique(rows.decision))
        np.add.at(count, queries, data.offers[offers] * np.bincount(number)[:, None])
    else:
        np.add.at(count, answer, 1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _correlate(effect: Float[np.ndarray, "queries llms"], feedback: Float[np.ndarray, "queries llms"]) -> float:
    """Correlation of effects and mean feedback beyond the means of LLMs, whose identity is no leak; 0 for too few."""
    known = np.isfinite(effect) & np.isfinite(feedback)
    if np.count_nonzero(known) < _LEAST_EFFECTS:
        return 0.0
    number = np.maximum(known.sum(0), 1)
    x, y = (np.where(known, values - np.where(known, values, 0).sum(0) / number, 0) for values in (effect, feedback))
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale > 1e-6 else 0.0


def _distinct_questions(data: Interactions, decision: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Query and offer of the distinct questions that decisions answer, and the number of each decision's question."""
    query, offer = data.decisions.query[decision].astype(np.int64), data.decisions.offer[decision]
    found, number = sorted_distinct(query * len(data.offers) + offer)
    queries, offers = np.divmod(found, max(len(data.offers), 1))
    return queries, offers, number
