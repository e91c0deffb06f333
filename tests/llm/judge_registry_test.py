"""The judge of a configuration."""

import dataclasses

import pytest
from judge_server import judge_config

from prouter_jax.config import ExperimentConfig, Judge, validate
from prouter_jax.data.interactions import strings
from prouter_jax.llm.judges.llm_judge import LlmJudge
from prouter_jax.llm.judges.registry import make_judge
from prouter_jax.llm.judges.style_judge import StyleJudge


@pytest.fixture
def answered(two_users):
    return two_users.replace(outcomes=dataclasses.replace(two_users.outcomes, response=strings(["a", "b", "c"])))


def test_style_is_the_default(answered):
    judge = make_judge(Judge(noise=0.7, seed=3), answered)
    assert isinstance(judge, StyleJudge)
    assert (judge.noise, judge.seed) == (0.7, 3)


def test_the_llm_judge_needs_a_journal(answered):
    with pytest.raises(ValueError, match=r"^config\.data\.judge\.verdicts: expected a file"):
        make_judge(judge_config(), answered)
    assert make_judge(judge_config(), answered, "given", True) == LlmJudge(judge_config(), "given", True)
    own = judge_config(verdicts="own")
    assert make_judge(own, answered, "given") == LlmJudge(own, "own", False)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("data.judge.model", "", "data.judge.model: expected a model"),
        ("data.judge.max_cost", 1.0, "data.judge.max_cost: expected 0 without prices"),
        ("data.feedback", "rating", "data.feedback: expected 'choice'"),
    ],
)
def test_invalid_configurations_of_the_llm_judge_are_refused(field, value, expected):
    config = ExperimentConfig()
    config.data.users, config.data.judge = "llm_as_judge", judge_config()
    validate(config)
    section = config.data if field == "data.feedback" else config.data.judge
    setattr(section, field.split(".")[-1], value)
    with pytest.raises(ValueError, match=rf"^config\.{expected}"):
        validate(config)
