"""Verdicts as a table choices."""

import dataclasses

import numpy as np

from prouter_jax.data import interactions as tables
from prouter_jax.data.rewards import build_decisions
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.llm.judges.base import Verdicts, build_questions, make_personas, write_choices


def test_choices_are_read_again_and_failures_have_no_row(two_users, tmp_path):
    outcomes = dataclasses.replace(
        two_users.outcomes,
        query=np.array([0, 0, 0, 1, 1]),
        llm=np.array([0, 1, 2, 0, 2]),
        response=tables.strings(["a", "b", "c", "d", "e"]),
        **{name: np.full(5, np.nan) for name in ("effect", "cost", "input_tokens", "output_tokens")},
    )
    nobody = tables.Users(tables.strings([]), np.zeros(0))
    data = two_users.replace(
        users=nobody, outcomes=outcomes, decisions=tables.no_decisions(), feedback=tables.no_feedback()
    )
    write_tables(data, tmp_path)
    verdicts = Verdicts(np.array([[1, 2], [-1, 0], [2, 2]], np.int32), {(1, 0): "no reply"})
    rows = write_choices(tmp_path / "choices.parquet", make_personas(3, 0), build_questions(data), verdicts)
    assert rows == 5
    found = read_tables(tmp_path)
    decisions = build_decisions(found, np.arange(len(found.decisions.user)))
    ids, queries, llms = found.users.ids, found.queries.ids, found.llms.ids
    told = {
        (ids[user], queries[query], llms[target.argmax()], "".join(llms[offered]))
        for user, query, target, offered in zip(
            decisions.user, decisions.query, decisions.target, decisions.offered, strict=True
        )
    }
    assert told == {
        ("judge0000", "x", "b", "abc"),
        ("judge0000", "y", "c", "ac"),
        ("judge0001", "y", "a", "ac"),
        ("judge0002", "x", "c", "abc"),
        ("judge0002", "y", "c", "ac"),
    }
