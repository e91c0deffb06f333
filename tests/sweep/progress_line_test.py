"""The line that says how far a sweep is, and for how much longer."""

from prouter_jax.sweep.progress_line import ProgressLine
from prouter_jax.sweep.trials import BEGUN, DONE, FAILED, PRUNED, Trial


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
    assert said[-1] == "sweep: 1 of 1 trials are there from before"


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
    monkeypatch.setattr("prouter_jax.sweep.progress_line.time.monotonic", lambda: now[0])
    line = ProgressLine([], 4, 1)
    for now[0] in (101.0, 130.0, 161.0, 162.0, 200.0, 222.0):
        line.show([now[0] - 100])
    assert len(capsys.readouterr().err.splitlines()) == 2
