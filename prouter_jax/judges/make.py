"""The judge that a configuration names."""

import os

from prouter_jax import config as config_data
from prouter_jax.data.interactions import Interactions
from prouter_jax.judges.judge import Judge
from prouter_jax.judges.llm import LlmJudge
from prouter_jax.judges.questions import build_questions
from prouter_jax.judges.style import StyleJudge


def make_judge(
    config: config_data.Judge, data: Interactions, verdicts: str | os.PathLike = "", retry_failures: bool = False
) -> Judge:
    """The judge `config.name`; asks nobody yet.

    Args:
      data: what is going to be judged, all of it: the style judge learns from it what is usual.
      verdicts: the file of the llm judge where `config.verdicts` names none.
      retry_failures: the llm judge asks again where the file has a failure.

    Raises:
      ValueError: if there are no answers to judge, or no file for verdicts that cost money.
    """
    if config.name == "style":
        return StyleJudge(build_questions(data), config.noise, config.seed)
    path = config.verdicts or verdicts
    if not path:
        raise ValueError("config.data.judge.verdicts: expected a file that keeps what is paid for, found ''")
    return LlmJudge(config, path, retry_failures)
