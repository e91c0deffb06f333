"""The content of an `Interactions` as plain Python values for comparisons in tests."""

import numpy as np

from prouter_jax.data.interactions import KINDS


def outcome_facts(data):
    """{(query_id, llm): (query, task_id, effect, cost, input tokens, output tokens, response)}, None for NaN."""
    found, outcomes = {}, data.outcomes
    for row, (query, llm) in enumerate(zip(outcomes.query, outcomes.llm, strict=True)):
        task = data.queries.task[query]
        numbers = [getattr(outcomes, name)[row] for name in ("effect", "cost", "input_tokens", "output_tokens")]
        found[data.queries.ids[query], data.llms.ids[llm]] = (
            data.queries.texts[query],
            data.tasks.ids[task] if task >= 0 else None,
            *(None if np.isnan(number) else float(number) for number in numbers),
            None if outcomes.response is None else outcomes.response[row],
        )
    return found


def decision_facts(data):
    """[(user_id, query_id, query, candidates, first, time, {(kind, llm): value})] in order."""
    values = [{} for _ in data.decisions.user]
    feedback = data.feedback
    for decision, kind, llm, value in zip(feedback.decision, feedback.kind, feedback.llm, feedback.value, strict=True):
        values[decision][KINDS[kind], data.llms.ids[llm]] = float(value)
    decisions, names = data.decisions, data.llms.ids
    return [
        (
            data.users.ids[decisions.user[row]],
            data.queries.ids[decisions.query[row]],
            data.queries.texts[decisions.query[row]],
            tuple(sorted(names[data.offers[decisions.offer[row]]])),
            names[decisions.first[row]] if decisions.first[row] >= 0 else None,
            None if np.isnan(decisions.time[row]) else float(decisions.time[row]),
            values[row],
        )
        for row in range(len(values))
    ]
