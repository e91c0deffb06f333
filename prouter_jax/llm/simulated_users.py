"""Simulated users (arXiv 2511.16883): multi-cost-efficiency users and LLM-as-judge users, built from outcomes.

Multi-cost-efficiency users weigh quality against cost. LLM-as-judge users choose the answer that a judge picks.
"""

import os

import numpy as np
from jaxtyping import Bool, Float

from prouter_jax.config import Judge as JudgeConfig
from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.rewards import CostScale, outcome_matrices
from prouter_jax.llm.judges.base import Judge, Questions, Verdicts, build_questions, make_personas
from prouter_jax.llm.judges.llm_judge import LlmJudge
from prouter_jax.llm.judges.style_judge import StyleJudge


def build_multi_cost_efficiency(
    data: Interactions, scale: CostScale, num_users: int, lowest: float, highest: float, feedback: str
) -> Interactions:
    """Replaces the users of `data` by simulated users, each of whom decides on every query.

    The reward of an answer is w * effect - (1 - w) * scaled cost, with a user weight w. The candidates are the
    LLMs with a known effect and cost.

    Args:
      scale: of costs, fitted on the training queries.
      lowest, highest: the weights of the users are evenly spaced from `lowest` to `highest`.
      feedback: "choice" for the LLM with the highest reward, which ties share; "rating" for every reward.

    Returns:
      The same queries, LLMs and outcomes, with the new users, decisions and feedback.
    """
    weight = np.linspace(lowest, highest, num_users)
    effect, cost = outcome_matrices(data, scale)
    known = ~np.isnan(effect) & ~np.isnan(cost)
    queries = np.flatnonzero(known.any(1))
    offers, offer = np.unique(known[queries], axis=0, return_inverse=True)
    user = np.repeat(np.arange(num_users, dtype=np.int32), len(queries))
    query = np.tile(queries.astype(np.int32), num_users)
    ids = tables.strings([f"d{row}" for row in range(len(user))])
    time, first = np.full(len(user), np.nan), np.full(len(user), -1, np.int32)
    decisions = tables.Decisions(ids, user, query, np.tile(offer.astype(np.int32), num_users), time, first)
    users = tables.Users(tables.strings([f"mce{row:04d}" for row in range(num_users)]), weight)
    parts = [
        _feedback_of_user(w, row, effect[queries], cost[queries], known[queries], feedback)
        for row, w in enumerate(weight)
    ]
    table = tables.Feedback(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return data.replace(users=users, offers=offers, decisions=decisions, feedback=table)


def build_llm_as_judge(data: Interactions, judge: Judge, num_users: int, seed: int) -> Interactions:
    """Replaces the users of `data` by personas for whom `judge` decides on every query with at least two answers.

    The candidates of a decision are the LLMs with a text. A failure of the judge is no decision. The users' preference
    is NaN, because no weight of quality is planted in them.

    Args:
      seed: of the personas, see `make_personas`.

    Returns:
      The same queries, LLMs and outcomes, with the new users, decisions and feedback.

    Raises:
      ValueError: if there are no texts to judge, or every verdict is a failure.
    """
    personas, questions = make_personas(num_users, seed), build_questions(data)
    verdicts = judge.choose(personas, questions)
    if not (verdicts.choice >= 0).any():
        reason = next(iter(verdicts.failures.values()))
        raise ValueError(f"judge: expected a verdict, found {len(verdicts.failures)} failures, the first: {reason}")
    names = tables.strings([persona.name for persona in personas])
    return _with_verdicts(data, tables.Users(names, np.full(num_users, np.nan)), questions, verdicts)


def make_judge(
    config: JudgeConfig, data: Interactions, verdicts: str | os.PathLike = "", retry_failures: bool = False
) -> Judge:
    """Builds the judge `config.name`; sends no request.

    Args:
      data: all data to be judged; the style judge standardizes its scores on it.
      verdicts: journal of the llm judge, if `config.verdicts` is empty.
      retry_failures: whether the llm judge requests failed verdicts of its journal again.

    Raises:
      ValueError: if there are no answers to judge, or the llm judge has no journal.
    """
    if config.name == "style":
        return StyleJudge(build_questions(data), config.noise, config.seed)
    path = config.verdicts or verdicts
    if not path:
        raise ValueError("config.data.judge.verdicts: expected a file for the paid verdicts, found ''")
    return LlmJudge(config, path, retry_failures)


def _with_verdicts(data: Interactions, users: tables.Users, questions: Questions, verdicts: Verdicts) -> Interactions:
    """`data` with the given users, and one decision per verdict."""
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


def _feedback_of_user(
    weight: float,
    row: int,
    effect: Float[np.ndarray, "queries llms"],
    cost: Float[np.ndarray, "queries llms"],
    known: Bool[np.ndarray, "queries llms"],
    feedback: str,
) -> tuple[np.ndarray, ...]:
    """Columns of the feedback table for the decisions of one user on all queries."""
    # float64, so that users with almost the same weight still differ
    reward = np.where(known, weight * effect.astype(np.float64) - (1 - weight) * cost, -np.inf)
    if feedback == "rating":
        given, value, kind = known, reward, tables.RATING
    else:
        given = (reward == reward.max(1, keepdims=True)) & known
        value, kind = given / given.sum(1, keepdims=True), tables.CHOICE
    query, llm = np.nonzero(given)
    decision = (query + row * len(reward)).astype(np.int32)
    return decision, np.full(len(query), kind, np.int8), llm.astype(np.int32), value[given].astype(np.float32)
