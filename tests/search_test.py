"""The search by TPE: it learns, prunes, and a resumed one goes on from the records of its trials; draws stay."""

import statistics

import numpy as np
import pytest
from sweep_cases import Jobs, make_study, small_config

from prouter_jax.search import draw, draw_trial, log_uniform, one_of, uniform
from prouter_jax.sweep import study as study_module
from prouter_jax.sweep.space import parse_space
from prouter_jax.sweep.study import Stopped, run_trials
from prouter_jax.sweep.trials import DONE, PRUNED, Trial, TrialStore

TEXTS = ["model.query_kernel.noise=1:100", "model.hidden_dim=8:512:log", "model.head=dot,bilinear"]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(study_module, "_POLL_SECONDS", 0)


def _reward(values, seed):
    return 1 - abs(values["model.query_kernel.noise"] - 60) / 100 - 0.2 * (values["model.head"] == "dot") + 0.01 * seed


def _run(workdir, jobs, trials, seed=0, name="optuna", stopping=lambda: False, **more):
    return run_trials(make_study(workdir, jobs, TEXTS, name, trials, seed, **more), stopping)


def _jobs(**more):
    return Jobs(small_config(**more), reward=_reward)


def test_it_learns_where_the_good_values_are(tmp_path):
    """The mean of all later trials says it: a random search does as well later as before."""
    later = {}
    for name in ("optuna", "random"):
        jobs = _jobs(seeds=1, steps=1)
        _run(tmp_path / name, jobs, 40, name=name)
        later[name] = statistics.fmean(_reward(jobs.values[number], 0) for number in range(20, 40))
    assert later["optuna"] > later["random"] + 0.1


def test_values_are_of_their_types_and_within_their_ranges(tmp_path):
    jobs = _jobs(seeds=1, steps=1)
    _run(tmp_path, jobs, 15)
    for values in jobs.values.values():
        assert {path: type(value) for path, value in values.items()} == {
            "model.query_kernel.noise": float,
            "model.hidden_dim": int,
            "model.head": str,
        }
        assert 1 <= values["model.query_kernel.noise"] <= 100
        assert 8 <= values["model.hidden_dim"] <= 512
    assert len({tuple(values.values()) for values in jobs.values.values()}) == 15


def test_a_trial_that_falls_behind_is_stopped_and_never_the_best(tmp_path):
    jobs = _jobs(seeds=2, steps=8)
    trials = _run(tmp_path, jobs, 20)
    pruned = [trial for trial in trials if trial.state == PRUNED]
    assert pruned
    assert sorted(jobs.stopped) == [trial.number for trial in pruned]
    assert all(not trial.rewards for trial in pruned)
    done = [_reward(trial.values, 0) for trial in trials if trial.state == DONE]
    for trial in pruned:
        assert trial.number >= 5  # five are needed to compare with
        assert _reward(trial.values, 0) < max(done)
    assert max(done) == max(_reward(trial.values, 0) for trial in trials)


def test_it_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    undisturbed = _jobs(seeds=1, steps=4)
    whole = _run(tmp_path / "whole", undisturbed, 16)
    values, states = {}, {}
    for looks in (9, 30, 3, 21, 1000):
        jobs, left = _jobs(seeds=1, steps=4), iter(range(looks))
        try:
            trials = _run(tmp_path / "parts", jobs, 16, stopping=lambda left=left: next(left, None) is None)
        except Stopped:
            pass
        else:
            states = {trial.number: trial.state for trial in trials}
        assert not {number for number, one in values.items() if jobs.values.get(number, one) != one}
        values |= jobs.values
    assert values == undisturbed.values
    assert states == {trial.number: trial.state for trial in whole}


def test_a_half_done_trial_keeps_its_values(tmp_path):
    begun = {
        "model.query_kernel.noise": 12.5,
        "model.hidden_dim": 77,
        "model.head": "dot",
    }  # as no search draws them again
    TrialStore(tmp_path).write(Trial(3, begun))
    jobs = _jobs()
    _run(tmp_path, jobs, 6, concurrency=2)
    assert jobs.started[0] == 3
    assert jobs.values[3] == begun


def test_a_failed_trial_is_retried_with_its_values_and_its_failure_is_no_reward(tmp_path):
    jobs = _jobs()
    jobs.failures = {2: 9}
    trials = _run(tmp_path, jobs, 8)
    assert jobs.started.count(2) == 2
    assert [trial.state for trial in trials].count("failed") == 1


def test_the_space_is_optunas(tmp_path):
    search = make_study(tmp_path, _jobs(), TEXTS, "optuna", 3).search
    assert search.prunes
    assert set(search.ask(0)) == set(parse_space(TEXTS, small_config()))


def test_random_trials_are_the_draws_of_their_numbers(tmp_path):
    space = parse_space(TEXTS, small_config())
    search = make_study(tmp_path, _jobs(), TEXTS, "random", 5, seed=7).search
    assert [search.ask(number) for number in (4, 1, 0)] == [draw_trial(space, 7, number) for number in (4, 1, 0)]
    assert (
        search.ask(2, {"model.query_kernel.noise": 12.5, "model.hidden_dim": 77, "model.head": "dot"})[
            "model.hidden_dim"
        ]
        == 77
    )


def test_draws_are_those_of_a_numpy_generator():
    """Published tables name configurations that were drawn this way."""
    space = {"a": one_of(3, 5, 7), "b": uniform(0, 0.6), "c": log_uniform(0.3, 100)}
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    for _ in range(50):
        a = (3, 5, 7)[int(again.integers(3))]
        b = float(again.uniform(0, 0.6))
        c = float(np.exp(again.uniform(np.log(0.3), np.log(100))))
        assert draw(space, rng) == {"a": a, "b": b, "c": c}
