"""Watching steps: a trace has those that were asked for, however the run ends, and times are those of whole steps."""

import os
import signal

import jax
import pytest

from prouter_jax.io.files import downloaded
from prouter_jax.io.paths import files_below, make_path
from prouter_jax.training import profiling
from prouter_jax.training.loop import train
from prouter_jax.training.metrics_writer import Progress
from prouter_jax.training.multihost import Preempted
from prouter_jax.training.profiling import STEP, Steps, parse_steps


def _traced(workdir):
    """Numbers of the steps in the traces of a workdir."""
    found = []
    for path in workdir.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
            events = (event for line in plane.lines for event in line.events)
            found += [dict(event.stats)["step_num"] for event in events if event.name == STEP]
    return sorted(found)


@pytest.mark.parametrize("text", ["", "5", "5:", ":5", "5:5", "6:5", "-1:3", "1:2:3", "0:13", "a:b", "1.0:2"])
def test_what_is_no_span_of_the_run_is_named(text):
    with pytest.raises(ValueError, match=r"--profile: expected START:STOP with START < STOP <= 12 .*, found '"):
        parse_steps(text, 12)


def test_a_span_is_without_its_end():
    assert parse_steps("0:12", 12) == range(12)
    assert list(parse_steps("3:5", 12)) == [3, 4]


def test_a_trace_has_the_steps_that_were_asked_for(trained, tmp_path, capsys):
    train(trained.config, trained.dataset, tmp_path, range(3, 6))  # an evaluation is among them
    assert _traced(tmp_path / "profile" / "process_0") == [3, 4, 5]
    assert len(list(tmp_path.rglob("perfetto_trace.json.gz"))) == 1
    assert f"profile: a trace from step 3 on is in {tmp_path}" in capsys.readouterr().err
    # nothing is left to do, so nothing is left to trace
    train(trained.config, trained.dataset, tmp_path, range(3, 6))
    assert "steps 3:6 were not run" in capsys.readouterr().err
    assert _traced(tmp_path) == [3, 4, 5]


def test_no_trace_is_made_unasked(trained, tmp_path):
    train(trained.config, trained.dataset, tmp_path)
    assert not (tmp_path / "profile").exists()


def test_a_preempted_run_closes_its_trace_and_the_next_one_traces_the_rest(trained, tmp_path, monkeypatch):
    def stop(self, step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "stepped", stop)
        with pytest.raises(Preempted):
            train(trained.config, trained.dataset, tmp_path, range(5, 9))
    assert _traced(tmp_path) == [5]
    train(trained.config, trained.dataset, tmp_path, range(5, 9))
    assert _traced(tmp_path) == [5, 6, 7, 8]
    assert len(list(tmp_path.rglob("perfetto_trace.json.gz"))) == 2


def test_a_trace_in_a_bucket_is_there_when_it_is_closed(trained, bucket, monkeypatch, capsys):
    """Also that of a run which is stopped."""
    workdir = make_path(f"{bucket}/run")

    def stop(self, step):
        if step > 6:
            assert files_below(workdir / "profile")
        if step == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "stepped", stop)
        with pytest.raises(Preempted):
            train(trained.config, trained.dataset, workdir, range(3, 6))
    assert f"profile: a trace from step 3 on is in {workdir}/profile/process_0" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "stepped", lambda self, step: step == 10 and os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Preempted):
            train(trained.config, trained.dataset, workdir, range(9, 12))
    with downloaded(workdir / "profile" / "process_0") as here:
        assert _traced(here) == [3, 4, 5, 9]
        assert len(list(here.rglob("perfetto_trace.json.gz"))) == 2


def test_a_trace_is_closed_even_if_its_steps_failed(tmp_path, monkeypatch):
    def fail(_):
        raise RuntimeError("device lost")

    with pytest.raises(RuntimeError, match="device lost"), Steps(tmp_path, range(4)) as steps, steps.one(0):
        monkeypatch.setattr(profiling.jax, "block_until_ready", fail)
    monkeypatch.undo()
    jax.profiler.start_trace(tmp_path / "other")  # fails while another one is open
    jax.profiler.stop_trace()


def test_the_time_of_a_step_is_the_median_of_spans_without_the_compiled_one(tmp_path, monkeypatch):
    clock = iter([0, 100, 103, 200, 204, 300, 308])
    monkeypatch.setattr(profiling.time, "perf_counter", lambda: next(clock))
    with Steps(tmp_path, None) as steps:
        step = 0
        for number in (2, 2, 2):  # between evaluations; of the first two, one is compiled
            for _ in range(number):
                with steps.one(step):
                    pass
                step += 1
                steps.done(step, {})
            steps.wait()
        assert steps.paces == [3, 2, 4]
        assert steps.seconds == 3


def test_one_step_alone_has_no_time(tmp_path):
    with Steps(tmp_path, None) as steps:
        with steps.one(0):
            pass
        steps.done(1, {})
        steps.wait()
    assert steps.seconds is None
