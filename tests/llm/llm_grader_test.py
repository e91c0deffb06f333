"""Grades by an LLM: stored, and requested again only after a failure."""

import json
import math
import re

import pytest
from collect_cases import lines, make_llm
from judge_server import Act, JudgeServer

from prouter_jax.llm.grading import AnsweredQuery, LlmGrader

ANSWERS = [
    AnsweredQuery(f"q{row}", "a", f"What is {row}?", f"It is {row}.", [f"{row}"] if row else []) for row in range(4)
]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def _number(messages, number):
    """Grades an answer by the number in it."""
    return Act(json.dumps({"grade": int(re.findall(r"<answer>\nIt is (\d+)\.", messages[1]["content"])[0])}))


def _grade(server, path, answers=ANSWERS, budget=0.0):
    return LlmGrader(make_llm(server), path / "grades.jsonl", budget, 4).grade(answers)


def test_grades_are_divided_by_ten_and_in_the_order_of_the_answers(tmp_path):
    with JudgeServer(_number) as server:
        assert _grade(server, tmp_path) == ([0.0, 0.1, 0.2, 0.3], ["", "", "", ""])
        contents = [body["messages"][1]["content"] for body in server.requests]
    assert sorted("<right_answer>" in content for content in contents) == [False, True, True, True]
    assert all("Grade the answer. 10: right and complete" in content for content in contents)


def test_stored_grades_are_not_requested_again(tmp_path):
    with JudgeServer(_number) as server:
        first = _grade(server, tmp_path)
        grader = LlmGrader(make_llm(server), tmp_path / "grades.jsonl", 0.0, 4)
        assert _grade(server, tmp_path) == first
        assert len(server.requests) == 4
        assert grader.estimate_cost(ANSWERS).format("grades") == "4 grades, 4 of them stored; nothing to pay"
        other = AnsweredQuery("q1", "a", "What is 1?", "It is 1. ", ["1"])
        assert (grader.estimate_cost([other]).total, grader.estimate_cost([other]).stored) == (1, 0)


def test_an_invalid_reply_is_a_failure_that_the_next_run_requests_again(tmp_path):
    nonsense = True
    with JudgeServer(lambda *args: Act("ten!") if nonsense else _number(*args)) as server:
        grades, failures = _grade(server, tmp_path, ANSWERS[:1])
        assert math.isnan(grades[0])
        assert failures[0].startswith('after one repair: expected one JSON object {"grade": n}')
        assert len(server.requests) == 2
        nonsense = False
        assert _grade(server, tmp_path, ANSWERS[:1]) == ([0.0], [""])
    assert [line["grade"] for line in lines(tmp_path / "grades.jsonl")] == [None, 0]


def test_the_budget_holds(tmp_path):
    with JudgeServer(_number) as server:
        grades, failures = _grade(server, tmp_path, budget=0.02)
        spent = sum(line["cost"] for line in lines(tmp_path / "grades.jsonl"))
        assert 0 < spent <= 0.02
        assert len(server.requests) == sum(grade == grade for grade in grades)
    assert set(failures) <= {"", "not asked: the budget is spent"}


def test_requests_under_way_at_a_kill_count_against_the_budget(tmp_path, capsys):
    with JudgeServer(_number) as server:
        _grade(server, tmp_path, ANSWERS[:2])
        # replies come in any order
        first, second = sorted(lines(tmp_path / "grades.jsonl"), key=lambda line: line["grade"])
        (tmp_path / "grades.jsonl").write_text(json.dumps(first) + "\n")
        killed = {"grade": None, "failure": "under way when the run was killed", "cost": 0.5}
        (tmp_path / "grades.sent.jsonl").write_text(
            json.dumps(first | killed) + "\n" + json.dumps(second | killed) + "\n"
        )
        capsys.readouterr()
        grades, failures = _grade(server, tmp_path, ANSWERS[:2], budget=0.5 + first["cost"])
        assert "grades.jsonl: 1 requests were under way" in capsys.readouterr().err
        assert (grades[0], failures) == (0.0, ["", "under way when the run was killed"])
        assert math.isnan(grades[1])
        assert _grade(server, tmp_path, ANSWERS[:2]) == ([0.0, 0.1], ["", ""])
        assert len(server.requests) == 3
    assert [line["cost"] for line in lines(tmp_path / "grades.jsonl")] == [first["cost"], 0.5, second["cost"]]
