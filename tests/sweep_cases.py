"""Simulated trials: each poll is a training step that writes the files of a real run."""

import dataclasses
import json
import os

from prouter_jax import config as configuration
from prouter_jax.config import ExperimentConfig, with_values
from prouter_jax.io import files
from prouter_jax.sweep.space import make_search, parse_space
from prouter_jax.sweep.study import Study
from prouter_jax.sweep.trials import TrialStore

TEXTS = ("model.factor_dim=1,2,3", "model.query_kernel.noise=1,10")


def small_config(seeds=2, steps=3):
    config = ExperimentConfig(name="tiny", seeds=seeds)
    config.model.preset, config.train.num_train_steps = "em", steps
    config.train.eval_every_steps = 1
    return config


def reward_of_values(values, seed):
    """Best at factor_dim 2 and noise 10."""
    return 0.5 - 0.1 * abs(values["model.factor_dim"] - 2) + 0.001 * values["model.query_kernel.noise"] + 0.01 * seed


@dataclasses.dataclass
class Jobs:
    """Starts simulated trials and records what was started.

    Attributes:
      failures: by number, how often the trial fails before it succeeds.
      started: numbers, in the order in which they were started.
      most: runs that were under way at a time.
    """

    config: ExperimentConfig
    failures: dict = dataclasses.field(default_factory=dict)
    reward: object = reward_of_values
    started: list = dataclasses.field(default_factory=list)
    values: dict = dataclasses.field(default_factory=dict)
    running: set = dataclasses.field(default_factory=set)
    stopped: list = dataclasses.field(default_factory=list)
    most: int = 0

    def __call__(self, trials):
        return [self._start(trial, folder) for trial, folder in trials]

    def _start(self, trial, folder):
        assert trial.number not in self.running
        self.started.append(trial.number)
        self.values[trial.number] = dict(trial.values)
        self.running.add(trial.number)
        self.most = max(self.most, len(self.running))
        return _Job(self, trial, folder)


class _Job:
    def __init__(self, jobs, trial, folder):
        self.jobs, self.trial, self.folder = jobs, trial, folder
        self.code, self.steps = None, 0

    def poll(self):
        if self.code is None:
            self._step()
        if self.code is not None:
            self.jobs.running.discard(self.trial.number)
        return self.code

    def stop(self):
        self.jobs.stopped.append(self.trial.number)
        self.code = -15 if self.code is None else self.code

    def last_log_line(self):
        return "train: no memory left"

    def _step(self):
        number, config = self.trial.number, with_values(self.jobs.config, self.trial.fields)
        if self.jobs.failures.get(number, 0):
            self.jobs.failures[number] -= 1
            self.code = 1
            return
        self.steps += 1
        finish(config, self.folder, self.trial.values, self.jobs.reward, self.steps)
        if self.steps == config.train.num_train_steps * config.seeds:
            self.code = 0


def finish(config, folder, values, reward, steps):
    """Writes what a run of `config` has written after so many steps of all its seeds."""
    files.write_whole(folder / "experiment.json", configuration.to_json(config))
    each = config.train.num_train_steps
    for seed in range(min(config.seeds, -(-steps // each))):
        place = folder / f"seed_{seed}"
        (place / "checkpoints").mkdir(parents=True, exist_ok=True)
        final, done = reward(values, seed), min(each, steps - seed * each)
        lines = [{"step": step + 1, "best_validation_reward": final * (step + 1) / each} for step in range(done)]
        (place / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        files.write_sealed(place / "checkpoints" / "best.json", {"step": done, "metric": final * done / each})


def make_study(workdir: str | os.PathLike, jobs: Jobs, texts=TEXTS, name=None, trials=None, seed=0, **more) -> Study:
    search = make_search(name, parse_space(texts, jobs.config), trials, seed, jobs.config)
    return Study(jobs.config, search, TrialStore(workdir), jobs, **more)
