"""Searches values of an experiment's fields: many trials, compared by their validation rewards.

python -m launch.sweep --config=experiments/NAME.py --workdir=DIR --sweep=model.near.noise=1:100:log --trials=20
    [--sweep=model.taste_dim=4,8] [--config.seeds=3] [--concurrency=2] [--backend=slurm] [--dry_run]

--sweep is given once for each field: a list (4,8), a range (1:10), or a range over orders of magnitude (1:100:log).
Lists without --trials are a grid; otherwise --trials are drawn by chance, or with --search=optuna near what did well,
and what falls behind is given up. Each trial is a run of launch.train in DIR/trials/NNN. The same command again goes
on; a larger --trials adds to it. It writes DIR/results.md, results.json, results.png, and the best trial as an
experiment: DIR/best.py. For a DIR in a bucket --logs is a folder of this machine, the same each time.
"""

import pathlib
import shlex
import signal
import sys

from absl import flags
from ml_collections import config_flags

from launch import entry

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment file; fields by --config.section.field=value.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written; given again, it goes on.", required=True)
_LOGS = flags.DEFINE_string("logs", None, "Folder of this machine for logs and locks, if --workdir is in a bucket.")
_SWEEP = flags.DEFINE_multi_string("sweep", [], "FIELD=VALUES, once for each field.")
_TRIALS = flags.DEFINE_integer("trials", None, "Number of trials of a search that is no grid.")
_SEARCH = flags.DEFINE_enum("search", None, ["grid", "random", "optuna"], "How values are chosen.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the search; trials train the seeds of --config.seeds.", lower_bound=0)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 1, "Trials that run at a time, at most.", lower_bound=1)
_BACKEND = flags.DEFINE_enum("backend", "local", ["local", "slurm"], "Where trials run.")
_OPTION = flags.DEFINE_multi_string("option", [], "Of sbatch, such as --partition=NAME; may be repeated.")
_RETRY = flags.DEFINE_boolean("retry_failures", False, "Start again what failed in an earlier run.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print the trials and their commands, and stop.")


def main() -> None:
    from prouter_jax import config

    if _CONFIG.value is None:
        raise ValueError("flag --config=None: Flag --config must have a value other than None.")
    base = config.validate(_CONFIG.value)
    from launch.trial_jobs import logs_folder
    from prouter_jax.io.paths import make_path
    from prouter_jax.sweep.search import choose_search, make_search
    from prouter_jax.sweep.space import parse_space
    from prouter_jax.sweep.trials import TrialFolders

    space = parse_space(_SWEEP.value, base)
    _check_overrides({one.path for one in space})
    name = choose_search(_SEARCH.value, space, _TRIALS.value)
    search = make_search(name, space, _TRIALS.value, _SEED.value, base)
    logs = logs_folder(make_path(_WORKDIR.value), _LOGS.value)
    folders = TrialFolders(_WORKDIR.value, logs)
    folders.check(base, space, name, _SEED.value)
    if _DRY_RUN.value:
        return _print_trials(search, folders)
    from prouter_jax.sweep.results import SweepResult

    with folders.claim(base, space, name, _SEED.value):
        trials = _run(base, search, folders, logs)
        _write(SweepResult(_config_file(), base, name, _SEED.value, space, trials), folders.workdir)


def _run(base, search, folders, logs):
    """All trials; ends the process, with what it started, where it is asked to."""
    from prouter_jax.sweep.run import Plan, Stopped, run_trials

    asked = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: asked.append(number))
    plan = Plan(base, search, folders, _make_start(folders.workdir, logs), _CONCURRENCY.value, _RETRY.value)
    try:
        return run_trials(plan, lambda: bool(asked))
    except Stopped:
        print("sweep: stopped; the same command goes on", file=sys.stderr)
        sys.exit(128 + asked[0])


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
    """What starts trials, on the chosen back end."""
    from launch.backends.local import LocalBackend
    from launch.backends.slurm import SlurmBackend
    from launch.trial_jobs import TrialJobs, compile_cache, core_shares

    cache = compile_cache(logs or workdir)
    if _BACKEND.value == "slurm":
        return TrialJobs(SlurmBackend(tuple(_OPTION.value)), _command, cache, [], logs)
    return TrialJobs(LocalBackend(), _command, cache, core_shares(_CONCURRENCY.value), logs)


def _command(values, folder: pathlib.Path) -> list[str]:
    from launch.trial_jobs import train_command

    return train_command(_config_file(), config_flags.get_override_values(flags.FLAGS["config"]), values, folder)


def _config_file() -> str:
    return config_flags.get_config_filename(flags.FLAGS["config"])


def _check_overrides(swept: set[str]) -> None:
    twice = sorted(swept & set(config_flags.get_override_values(flags.FLAGS["config"])))
    if twice:
        raise ValueError(f"--config.{twice[0]}: expected fields that are not swept, found one that --sweep names")


def _print_trials(search, folders) -> None:
    """Those whose values are known before anything has run."""
    from prouter_jax.sweep.trials import Trial

    known = 1 if search.prunes else search.total
    for number in range(known):
        trial = Trial(number, search.begin(number, None))
        print(f"trial {trial.name}: {shlex.join(_command(trial.values, folders.folder(trial)))}")
    if known < search.total:
        print(f"{search.total - known} more, whose values depend on what is found")


if __name__ == "__main__":
    entry.start(main)
