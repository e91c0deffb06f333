"""Builds the judge that a configuration names."""

import os

from prouter_jax.config import Judge as JudgeConfig
from prouter_jax.data.interactions import Interactions
from prouter_jax.llm.judges.base import Judge, build_questions
from prouter_jax.llm.judges.llm_judge import LlmJudge
from prouter_jax.llm.judges.style_judge import StyleJudge


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
