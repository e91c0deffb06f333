"""Simulates users: a judge picks their preferred answers and writes a choices table.

prouter judge --config=alpaca_judge --workdir=runs/judge [--dry_run]

The judge is config.data.judge; config.data.num_users personas are drawn from its seed. WORKDIR/choices.parquet is the
table. The verdicts of an LLM are stored in WORKDIR/verdicts.jsonl (or config.data.judge.verdicts), and the same command
resumes an interrupted run. The LLM's server is OPENAI_BASE_URL, its key OPENAI_API_KEY.
"""

import collections
import os

from absl import flags

from . import entry
from .config_flag import define_config, read_config

_CONFIG = define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of verdicts and choices.", required=True)
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print the cost, and stop.")
_RETRY = flags.DEFINE_boolean("retry_failures", False, "Repeat the requests that failed in an earlier run.")


def main() -> None:
    os.umask(0o077)  # answers may hold anything: no other user may read them
    data = read_config(_CONFIG).data
    if data.users != "llm_as_judge":
        raise ValueError(f"config.data.users: expected 'llm_as_judge', found {data.users!r}")
    from prouter_jax.dataset import read_interactions
    from prouter_jax.io.paths import make_path
    from prouter_jax.llm.judges.base import build_questions, make_personas, write_choices
    from prouter_jax.llm.simulated_users import make_judge

    source, workdir = read_interactions(data), make_path(_WORKDIR.value)
    judge = make_judge(data.judge, source, workdir / "verdicts.jsonl", _RETRY.value)
    personas, questions = make_personas(data.num_users, data.judge.seed), build_questions(source)
    print(f"estimate: {judge.estimate_cost(personas, questions).format('verdicts')}", flush=True)
    if _DRY_RUN.value:
        return
    workdir.mkdir(parents=True, exist_ok=True)
    verdicts = judge.choose(personas, questions)
    rows = write_choices(workdir / "choices.parquet", personas, questions, verdicts)
    for reason, times in collections.Counter(verdicts.failures.values()).most_common(5):
        print(f"no verdict, {times} times: {reason}")
    print(f"choices: {rows} of {len(personas)} people, {workdir}/choices.parquet")


if __name__ == "__main__":
    entry.start(main, saved=lambda: "every verdict of an LLM so far is saved; the same command goes on")
