"""Has a judge pick, in the place of people, the answers they like best, and writes these choices as a table.

python -m launch.judge --config=experiments/alpaca_judge.py --workdir=runs/judge [--dry_run]

The judge is config.data.judge, the people are its seed's and config.data.num_users. Given again, a run goes on:
verdicts of an LLM are kept in WORKDIR/verdicts.jsonl (or config.data.judge.verdicts). WORKDIR/choices.parquet is
the table. The LLM's server is OPENAI_BASE_URL, the key OPENAI_API_KEY.
"""

import collections

from absl import flags
from ml_collections import config_flags

from launch import entry

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment file; fields by --config.section.field=value.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where verdicts and choices are written.", required=True)
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Say what it would cost, and stop.")
_RETRY = flags.DEFINE_boolean("retry_failures", False, "Ask again where an earlier run failed.")


def main() -> None:
    from prouter_jax import config

    if _CONFIG.value is None:
        raise ValueError("flag --config=None: Flag --config must have a value other than None.")
    data = config.validate(_CONFIG.value).data
    if data.users != "llm_as_judge":
        raise ValueError(f"config.data.users: expected 'llm_as_judge', found {data.users!r}")
    from prouter_jax.dataset import read_interactions
    from prouter_jax.io.paths import make_path
    from prouter_jax.llm.judges.base import build_questions, make_personas, write_choices
    from prouter_jax.llm.judges.registry import make_judge

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
    entry.start(main)
