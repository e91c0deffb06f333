"""Users made from outcomes (arXiv 2511.16883).

Multi-cost-efficiency users weigh quality against cost; llm_as_judge users have a judge pick the answer they like.
"""

import numpy as np

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.rewards import CostScale, outcome_matrices
from prouter_jax.judges.judge import Judge, Verdicts
from prouter_jax.judges.personas import make_personas
from prouter_jax.judges.questions import Questions, build_questions


def build_multi_cost_efficiency(
    data: Interactions, scale: CostScale, num_users: int, lowest: float, highest: float, feedback: str
) -> Interactions:
    """Replaces the users of `data` by simulated ones, each of whom decides on every query.

    User u has a weight w evenly spaced from `lowest` to `highest`; its reward of an answer is
    w * effect - (1 - w) * scaled cost. On offer are the LLMs with a known effect and cost.

    Args:
      scale: fitted on the training queries.
      feedback: "choice": the LLM of the highest reward, ties share; "rating": every reward.
    """
    weight = np.linspace(lowest, highest, num_users)
    effect, cost = outcome_matrices(data, scale)
    known = ~np.isnan(effect) & ~np.isnan(cost)
    asked = np.flatnonzero(known.any(1))
    offers, offer = np.unique(known[asked], axis=0, return_inverse=True)
    user = np.repeat(np.arange(num_users, dtype=np.int32), len(asked))
    query = np.tile(asked.astype(np.int32), num_users)
    ids = tables.strings([f"d{row}" for row in range(len(user))])
    unknown, nothing = np.full(len(user), np.nan), np.full(len(user), -1, np.int32)
    decisions = tables.Decisions(ids, user, query, np.tile(offer.astype(np.int32), num_users), unknown, nothing)
    users = tables.Users(tables.strings([f"mce{row:04d}" for row in range(num_users)]), weight)
    told = [
        _feedback_of_user(w, row, effect[asked], cost[asked], known[asked], feedback) for row, w in enumerate(weight)
    ]
    table = tables.Feedback(*(np.concatenate(column) for column in zip(*told, strict=True)))
    return data.replace(users=users, offers=offers, decisions=decisions, feedback=table)


def build_llm_as_judge(data: Interactions, judge: Judge, num_users: int, seed: int) -> Interactions:
    """Replaces the users of `data` by people whom `judge` plays: each decides on every query with two answers or more.

    On offer are the LLMs with a text. Where the judge fails there is no decision. The weights of the people are
    known to nobody: their preference is NaN.

    Args:
      seed: of the people, `judges.personas.make_personas`.

    Raises:
      ValueError: if there are no texts to judge, or the judge failed on everything.
    """
    personas, questions = make_personas(num_users, seed), build_questions(data)
    verdicts = judge.choose(personas, questions)
    if not (verdicts.choice >= 0).any():
        reason = next(iter(verdicts.failures.values()))
        raise ValueError(f"judge: expected a verdict, found {len(verdicts.failures)} failures, the first: {reason}")
    names = tables.strings([persona.name for persona in personas])
    return _with_verdicts(data, tables.Users(names, np.full(num_users, np.nan)), questions, verdicts)


def _with_verdicts(data: Interactions, users: tables.Users, questions: Questions, verdicts: Verdicts) -> Interactions:
    """`data` with the given users, who chose what the verdicts say."""
    user, question = np.nonzero(verdicts.choice >= 0)
    offers, offer = np.unique(questions.offered, axis=0, return_inverse=True)
    number = np.arange(len(user), dtype=np.int32)
    decisions = tables.Decisions(
        tables.strings([f"d{row}" for row in range(len(user))]),
        user.astype(np.int32),
        questions.query[question],
        offer[question].astype(np.int32),
        np.full(len(user), np.nan),
        np.full(len(user), -1, np.int32),
    )
    feedback = tables.Feedback(
        number,
        np.full(len(user), tables.CHOICE, np.int8),
        verdicts.choice[user, question],
        np.ones(len(user), np.float32),
    )
    return data.replace(users=users, offers=offers, decisions=decisions, feedback=feedback)


def _feedback_of_user(weight, row, effect, cost, known, feedback) -> tuple[np.ndarray, ...]:
    """Columns of the feedback table for one user's decisions on all queries [queries, llms]."""
    # float64, so that two users close in weight are told apart
    reward = np.where(known, weight * effect.astype(np.float64) - (1 - weight) * cost, -np.inf)
    if feedback == "rating":
        told, value, kind = known, reward, tables.RATING
    else:
        told = (reward == reward.max(1, keepdims=True)) & known
        value, kind = told / told.sum(1, keepdims=True), tables.CHOICE
    at, llm = np.nonzero(told)
    decision = (at + row * len(reward)).astype(np.int32)
    return decision, np.full(len(at), kind, np.int8), llm.astype(np.int32), value[told].astype(np.float32)
