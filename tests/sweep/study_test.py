"""The loop of a sweep with simulated trials: what is started, when, how often, and what is recorded; its progress."""

import dataclasses

import pytest
from sweep_cases import Jobs, make_study, reward_of_values, small_config

from prouter_jax.sweep import study as study_module
from prouter_jax.sweep.study import ProgressLine, Stopped, run_trials
from prouter_jax.sweep.trials import BEGUN, DONE, FAILED, PRUNED, Trial, TrialStore


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(study_module, "_POLL_SECONDS", 0)


@pytest.fixture
def jobs():
    return Jobs(small_config())


def test_every_trial_is_run_once_and_compared_by_the_best_validation_reward_of_each_seed(tmp_path, jobs):
    trials = run_trials(make_study(tmp_path, jobs))
    assert jobs.started == [0, 1, 2, 3, 4, 5]
    assert jobs.most == 1
    assert [trial.state for trial in trials] == [DONE] * 6
    for trial in trials:
        assert trial.rewards == pytest.approx([reward_of_values(trial.values, seed) for seed in (0, 1)])
        assert trial.values == jobs.values[trial.number]


@pytest.mark.parametrize("concurrency", [2, 4, 100])
def test_as_many_at_a_time_as_allowed_and_the_same_trials(tmp_path, jobs, concurrency):
    random = {"texts": ["model.factor_dim=1:9", "model.query_kernel.noise=1:10:log"], "trials": 12, "seed": 5}
    run_trials(make_study(tmp_path / "alone", jobs, **random))
    others = Jobs(jobs.config)
    run_trials(make_study(tmp_path / "others", others, **random, concurrency=concurrency))
    assert others.most == min(concurrency, 12)
    assert sorted(others.started) == list(range(12))
    assert others.values == jobs.values


def test_given_again_nothing_is_started_twice(tmp_path, jobs):
    first = run_trials(make_study(tmp_path, jobs))
    again = Jobs(jobs.config)
    second = run_trials(make_study(tmp_path, again))
    assert again.started == []
    assert [dataclasses.asdict(one) for one in second] == [
        dataclasses.asdict(one) | {"rewards": list(one.rewards)} for one in first
    ]


def _stopping_after(looks):
    left = iter(range(looks))
    return lambda: next(left, None) is None


def test_what_was_stopped_goes_on_and_is_no_failure(tmp_path, jobs):
    with pytest.raises(Stopped):
        run_trials(make_study(tmp_path, jobs, concurrency=2), _stopping_after(10))
    assert jobs.started == [0, 1, 2, 3]
    assert jobs.stopped == [2, 3]
    kept = TrialStore(tmp_path).read(6)
    assert [kept[number].state for number in range(4)] == [DONE, DONE, BEGUN, BEGUN]
    assert {one.failures for one in kept.values()} == {0}
    again = Jobs(jobs.config)
    trials = run_trials(make_study(tmp_path, again, concurrency=2))
    assert again.started == [2, 3, 4, 5]
    assert [trial.state for trial in trials] == [DONE] * 6


def test_a_sweep_can_be_made_longer_or_shorter(tmp_path, jobs):
    texts = ["model.factor_dim=1:9", "model.query_kernel.noise=1:10:log"]
    run_trials(make_study(tmp_path, jobs, texts, trials=2))
    longer = Jobs(jobs.config)
    trials = run_trials(make_study(tmp_path, longer, texts, trials=5))
    assert longer.started == [2, 3, 4]
    assert len(trials) == 5
    assert len(run_trials(make_study(tmp_path, Jobs(jobs.config), texts, trials=3))) == 3


def test_a_failed_trial_is_started_once_more_after_the_others(tmp_path, jobs, capsys):
    jobs.failures = {1: 1}
    trials = run_trials(make_study(tmp_path, jobs))
    assert jobs.started == [0, 1, 2, 3, 4, 5, 1]
    assert [trial.state for trial in trials] == [DONE] * 6
    assert (trials[1].failures, trials[0].failures) == (1, 0)
    assert "trial 001 failed and is started once more (exit code 1: train: no memory left)" in capsys.readouterr().err


def test_a_trial_that_fails_again_is_given_up_with_the_last_log_line_of_its_log(tmp_path, jobs, capsys):
    jobs.failures = {1: 9}
    trials = run_trials(make_study(tmp_path, jobs))
    assert jobs.started.count(1) == 2
    assert trials[1].state == FAILED
    assert trials[1].reason == "exit code 1: train: no memory left"
    assert [trial.state for trial in trials].count(DONE) == 5
    assert "trial 001 failed (exit code 1: train: no memory left)" in capsys.readouterr().err


def test_failures_of_earlier_stay_unless_they_are_to_be_retried(tmp_path, jobs):
    jobs.failures = {1: 9}
    run_trials(make_study(tmp_path, jobs))
    again, retried = Jobs(jobs.config), Jobs(jobs.config)
    assert run_trials(make_study(tmp_path, again))[1].state == FAILED
    assert again.started == []
    assert run_trials(make_study(tmp_path, retried, retry_failures=True))[1].state == DONE
    assert retried.started == [1]


def test_a_failure_before_a_stop_counts_after_it(tmp_path, jobs):
    jobs.failures = {0: 1}
    with pytest.raises(Stopped):
        run_trials(make_study(tmp_path, jobs), _stopping_after(3))
    again = Jobs(jobs.config, failures={0: 9})
    assert run_trials(make_study(tmp_path, again))[0].state == FAILED
    assert again.started.count(0) == 1


def test_a_run_that_ends_well_without_its_result_has_failed(tmp_path, jobs):
    other = small_config()
    other.train.patience = 3
    trials = run_trials(dataclasses.replace(make_study(tmp_path, jobs), start=Jobs(other)))
    assert {trial.state for trial in trials} == {FAILED}
    assert "experiment.json: expected the configuration of the trial, found another" in trials[0].reason


def test_others_are_stopped_where_one_cannot_be_started(tmp_path, jobs):
    def start(trials):
        if any(trial.number == 3 for trial, _ in trials):
            raise ValueError("slurm: no such partition")
        return jobs(trials)

    with pytest.raises(ValueError, match="no such partition"):
        run_trials(dataclasses.replace(make_study(tmp_path, jobs, concurrency=3), start=start))
    assert len(jobs.started) == 3
    assert set(jobs.stopped) == jobs.running


def test_all_that_may_run_at_a_time_are_started_together(tmp_path, jobs):
    batches = []

    def start(trials):
        batches.append([trial.number for trial, _ in trials])
        return jobs(trials)

    run_trials(dataclasses.replace(make_study(tmp_path, jobs, concurrency=4), start=start))
    assert batches[0] == [0, 1, 2, 3]
    assert sorted(number for batch in batches for number in batch) == list(range(6))


def test_a_damaged_trial_is_one_line(tmp_path, jobs):
    run_trials(make_study(tmp_path, jobs))
    path = tmp_path / "trials" / "003" / "trial.json"
    path.write_text(path.read_text().replace('"rewards": [', '"rewards": [9, '))
    with pytest.raises(ValueError, match=r"003/trial\.json: .*SHA-256 differs.*; delete this folder"):
        run_trials(make_study(tmp_path, Jobs(jobs.config)))


def test_what_was_begun_is_started_first(tmp_path, jobs):
    run_trials(make_study(tmp_path, jobs))
    (tmp_path / "trials" / "000" / "trial.json").unlink()
    store = TrialStore(tmp_path)
    store.write(dataclasses.replace(store.read(6)[4], state=BEGUN))
    again = Jobs(jobs.config)
    run_trials(make_study(tmp_path, again))
    assert again.started == [4, 0]


def _done(number, reward, seconds):
    return Trial(number, {}, DONE, rewards=[reward], seconds=seconds)


def test_time_left_is_that_of_the_median_trial_shared_by_those_that_run_at_a_time(capsys):
    line = ProgressLine([], 10, 2)
    assert line.line([1.0, 1.0]) == "0/10 trials, 2 running, time left unknown"
    for number, seconds in enumerate((10.0, 12.0, 500.0)):
        line.ended(_done(number, 0.5 + number / 100, seconds))
    # seven are left, two of them have run for 4 and (no more than 12 count) 100 seconds
    assert line.line([4.0, 100.0]) == "3/10 trials, 2 running, best 0.5200 (trial 002), 34 s left"
    assert ProgressLine([_done(0, 0.5, 10.0)], 1, 2).line([]) == "1/1 trials, best 0.5000 (trial 000), 0 s left"
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "sweep: trial 000 done, 0.5000, 10.0 s; 1/10 trials, best 0.5000 (trial 000), 45 s left"
    assert said[-1] == "sweep: 1 of 1 trials have ended in an earlier run"


def test_what_became_of_a_trial_is_said(capsys):
    line = ProgressLine([], 4, 1)
    line.ended(Trial(0, {}, BEGUN, 1, "exit code 1: no memory", seconds=1.0))
    line.ended(Trial(0, {}, FAILED, 2, "exit code 1: no memory", seconds=1.0))
    line.ended(Trial(1, {}, PRUNED, seconds=1.0))
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("sweep: trial 000 failed and is started once more (exit code 1: no memory), 1.0 s; 0/4")
    assert said[1].startswith("sweep: trial 000 failed (exit code 1: no memory), 1.0 s; 1/4 trials, 1 failed, time")
    assert said[2].startswith("sweep: trial 001 pruned, 1.0 s; 2/4 trials, 1 pruned, 1 failed, time left unknown")


def test_a_log_is_told_once_a_minute(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("prouter_jax.sweep.study.time.monotonic", lambda: now[0])
    line = ProgressLine([], 4, 1)
    for now[0] in (101.0, 130.0, 161.0, 162.0, 200.0, 222.0):
        line.show([now[0] - 100])
    assert len(capsys.readouterr().err.splitlines()) == 2
