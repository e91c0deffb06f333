"""Searches values of an experiment's fields: trials compared by validation reward.

prouter sweep --config=NAME --workdir=DIR --sweep=model.query_kernel.noise=1:100:log --trials=20
    [--sweep=model.factor_dim=4,8] [--config.seeds=3] [--concurrency=2] [--backend=slurm] [--dry_run]

--sweep is repeated for each field: a list (4,8), a range (1:10), or a range on a log scale (1:100:log). Lists without
--trials form a grid; otherwise --trials values are drawn at random, or with --search=optuna near good ones, with early
pruning. Each trial is a run of train in DIR/trials/NNN. The same command resumes an interrupted sweep; a larger
--trials extends it. It writes DIR/results.md, results.json, results.png, and the best trial as an experiment:
DIR/best.py. If DIR is in a bucket, --logs is a local folder, the same each time.
"""

import pathlib
import shlex
import signal
import sys

from absl import flags

from . import entry
from .config_flag import config_source, define_config, read_config

_CONFIG = define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the sweep; the same again resumes it.", required=True)
_LOGS = flags.DEFINE_string("logs", None, "Local folder for logs and locks, if --workdir is in a bucket.")
_SWEEP = flags.DEFINE_multi_string("sweep", [], "FIELD=VALUES; repeat for each field.")
_TRIALS = flags.DEFINE_integer("trials", None, "Number of trials of a random or guided search.")
_SEARCH = flags.DEFINE_enum("search", None, ["grid", "random", "optuna"], "How values are chosen.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the search; --config.seeds sets those of the trials.", lower_bound=0)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 1, "Maximum number of concurrent trials.", lower_bound=1)
_BACKEND = flags.DEFINE_enum("backend", "local", ["local", "slurm"], "Where trials run.")
_OPTION = flags.DEFINE_multi_string("option", [], "Option of sbatch, such as --partition=NAME; may be repeated.")
_RETRY = flags.DEFINE_boolean("retry_failures", False, "Run trials again that failed in an earlier run.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print the trials and their commands, and stop.")


def main() -> None:
    base = read_config(_CONFIG)
    from prouter_jax.io.paths import make_path
    from prouter_jax.sweep.space import make_search, parse_space
    from prouter_jax.sweep.trials import SweepSpec, TrialStore

    from .trial_jobs import logs_folder

    space = parse_space(_SWEEP.value, base)
    twice = sorted(set(space) & set(config_source()[1]))
    if twice:
        raise ValueError(f"--config.{twice[0]}: expected fields that are not swept, found one that --sweep names")
    search = make_search(_SEARCH.value, space, _TRIALS.value, _SEED.value, base)
    spec = SweepSpec(base, space, search.kind, _SEED.value)
    logs = logs_folder(make_path(_WORKDIR.value), _LOGS.value)
    store = TrialStore(_WORKDIR.value)
    store.check(spec)
    if _DRY_RUN.value:
        return _print_trials(search, store)
    from prouter_jax.sweep.results import SweepResult

    with store.locked(spec):
        trials = _run(base, search, store, logs)
        _write(SweepResult(config_source()[0], spec, trials), store.workdir)


def _run(base, search, store, logs):
    """Runs all trials; on SIGINT or SIGTERM stops them and ends the process."""
    from prouter_jax.sweep.study import Stopped, Study, run_trials

    signals = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.append(number))
    study = Study(base, search, store, _make_start(store.workdir, logs), _CONCURRENCY.value, _RETRY.value)
    try:
        return run_trials(study, lambda: bool(signals))
    except Stopped:
        print("sweep: stopped; the same command resumes it", file=sys.stderr)
        sys.exit(128 + signals[0])


def _write(result, workdir: pathlib.Path) -> None:
    from prouter_jax.sweep.results import BEST, RESULTS, write_results
    from prouter_jax.sweep.trials import FAILED

    print("\n".join(write_results(result, workdir)))
    print(f"results: {workdir / RESULTS}")
    if (workdir / BEST).exists():
        print(f"best experiment: {workdir / BEST}")
    failed = [trial for trial in result.trials if trial.state == FAILED]
    for trial in failed:
        print(f"sweep: trial {trial.name}: {trial.reason}", file=sys.stderr)
    if failed:
        sys.exit(1)


def _make_start(workdir: pathlib.Path, logs: pathlib.Path | None):
    """The function that starts trials on the chosen back end."""
    from .backends.local import LocalBackend
    from .backends.slurm import SlurmBackend
    from .trial_jobs import TrialJobs, compile_cache, core_shares

    cache = compile_cache(logs or workdir)
    if _BACKEND.value == "slurm":
        return TrialJobs(SlurmBackend(tuple(_OPTION.value)), _command, cache, [], logs)
    return TrialJobs(LocalBackend(), _command, cache, core_shares(_CONCURRENCY.value), logs)


def _command(values, folder: pathlib.Path) -> list[str]:
    from .trial_jobs import train_command

    return train_command(*config_source(), values, folder)


def _print_trials(search, store) -> None:
    """Prints the commands of trials whose values do not depend on results."""
    from prouter_jax.sweep.trials import Trial

    known = 1 if search.prunes else search.total
    for number in range(known):
        trial = Trial(number, search.ask(number))
        print(f"trial {trial.name}: {shlex.join(_command(trial.fields, store.folder(trial)))}")
    if known < search.total:
        print(f"{search.total - known} more, whose values depend on earlier results")


if __name__ == "__main__":
    entry.start(main, saved=lambda: "finished trials are saved; the same command goes on")
