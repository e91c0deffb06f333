"""What a run says: one line an evaluation, metrics without gaps or doubles after a restart."""

import json
import math
import types

import pytest

from prouter_jax.config import Train
from prouter_jax.io.paths import files_below, make_path
from prouter_jax.metrics import Fit
from prouter_jax.training.metrics_writer import Progress, read_best_step, read_fit, to_record


def _state(step, reward, best):
    return types.SimpleNamespace(step=step, validation_reward=reward, best_reward=best)


def _lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to."""
    now = types.SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(
        "prouter_jax.training.metrics_writer.time", types.SimpleNamespace(monotonic=lambda: now.seconds)
    )
    return now


def test_a_line_has_loss_reward_speed_and_time_left(tmp_path, capsys, clock):
    with Progress(tmp_path, Train(num_train_steps=50), "router") as progress:
        progress.resume(-1, [])
        progress.evaluated(_state(0, 0.25, 0.25), {})
        clock.seconds += 60
        progress.stepped(1)  # it was compiled, which is no speed
        clock.seconds += 3
        progress.evaluated(_state(10, 0.5, 0.5), {"loss": 1.5, "choice": 1.0})
        clock.seconds += 1
        progress.evaluated(_state(20, 0.375, 0.5), {"loss": 1.25, "choice": 1.0})
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "router: step 0/50, validation reward 0.2500 (best 0.2500)",
        "router: step 10/50, loss 1.5000, validation reward 0.5000 (best 0.5000), 3.0 steps/s, 13 s left",
        "router: step 20/50, loss 1.2500, validation reward 0.3750 (best 0.5000), 10.0 steps/s, 3 s left",
    ]
    assert _lines(tmp_path) == [
        {"step": 0, "validation_reward": 0.25, "best_validation_reward": 0.25, "steps_per_second": 0.0},
        {
            "step": 10,
            "validation_reward": 0.5,
            "best_validation_reward": 0.5,
            "loss": 1.5,
            "choice": 1.0,
            "steps_per_second": 3.0,
        },
        {
            "step": 20,
            "validation_reward": 0.375,
            "best_validation_reward": 0.5,
            "loss": 1.25,
            "choice": 1.0,
            "steps_per_second": 10.0,
        },
    ]


def test_the_fit_of_the_best_step_comes_back(tmp_path):
    fits = [Fit(1.5, 0.25, 0.125, 40), Fit(1.0, math.nan, 0.0625, 40), Fit(2.0, 0.5, 0.25, 40)]
    with Progress(tmp_path, Train(), "router") as progress:
        assert read_fit(tmp_path) is None
        for step, (fit, reward) in enumerate(zip(fits, (0.25, 0.5, 0.5), strict=True)):
            progress.evaluated(_state(step, reward, 0.5), {"loss": 1.0, **to_record(fit)})
    found = read_fit(tmp_path)
    assert found is not None
    assert math.isnan(found.log_loss_margin)
    assert (found.log_loss, found.calibration_error, found.decisions) == (1.0, 0.0625, 40)


def test_of_several_processes_the_first_alone_speaks_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    with Progress(tmp_path, Train(num_train_steps=50, tensorboard=True), "router") as progress:
        progress.resume(10, ["step 20: manifest.json: missing"])
        progress.stepped(11)
        progress.evaluated(_state(20, 0.5, 0.5), {"loss": 1.5})
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_metrics_of_a_run_in_a_bucket(bucket):
    for begin in (-1, 10):
        with Progress(make_path(f"{bucket}/run"), Train(num_train_steps=50), "router") as progress:
            progress.resume(begin, [])
            for step in (10, 20):
                progress.evaluated(_state(step + max(begin, 0), 0.5, 0.5), {})
    assert [line["step"] for line in _lines(make_path(f"{bucket}/run"))] == [10, 20, 30]


def _stopped_run(workdir):
    with Progress(workdir, Train(num_train_steps=50, tensorboard=True), "router") as progress:
        progress.resume(-1, [])
        progress.evaluated(_state(10, 0.5, 0.5), {"loss": 1.5})
        raise KeyboardInterrupt


@pytest.mark.parametrize("scheme", ["file", "bucket"])
def test_files_for_tensorboard_are_there_however_a_run_ends(bucket, tmp_path, scheme):
    pytest.importorskip("tensorboardX")
    workdir = make_path(f"{bucket}/run" if scheme == "bucket" else (tmp_path / "run").as_uri())
    workdir.mkdir(parents=True, exist_ok=True)
    with pytest.raises(KeyboardInterrupt):
        _stopped_run(workdir)
    [name] = files_below(workdir / "tensorboard")
    assert b"best_validation_reward" in (workdir / "tensorboard" / name).read_bytes()


def test_a_terminal_is_kept_up_to_date_between_evaluations(tmp_path, capsys, clock, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress(tmp_path, Train(num_train_steps=50), "router") as progress:
        progress.resume(-1, [])
        progress.stepped(1)  # too soon, and not counted: the first step compiles
        clock.seconds += 2
        progress.stepped(10)
        shown = capsys.readouterr().err
    assert shown.count("router: step 10/50, no evaluation yet, 4.5 steps/s, 9 s left") == 1
    assert "step 1/" not in shown


def test_a_restart_drops_what_will_be_done_again(tmp_path, capsys):
    for step in (0, 10, 20):
        with Progress(tmp_path, Train(), "router") as progress:
            progress.path.touch()
            progress.evaluated(_state(step, 0.5, 0.5), {"loss": 1.0})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('17\n{"step": 30, "valid')  # the process was killed while it wrote
    with Progress(tmp_path, Train(), "router") as progress:
        progress.resume(10, ["step 20: damaged"])
        progress.evaluated(_state(20, 0.75, 0.75), {"loss": 0.5})
    assert [(line["step"], line["validation_reward"]) for line in _lines(tmp_path)] == [(0, 0.5), (10, 0.5), (20, 0.75)]
    feedback = capsys.readouterr().err
    assert "router: rejected checkpoint: step 20: damaged\nrouter: resumed from step 10\n" in feedback


def test_a_line_that_lost_only_its_end_is_not_glued_to_the_next(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "validation_reward": 0.5}')
    with Progress(tmp_path, Train(), "router") as progress:
        progress.resume(0, [])
        progress.evaluated(_state(10, 0.5, 0.5), {"loss": 1.0})
    assert [line["step"] for line in _lines(tmp_path)] == [0, 10]


def test_a_fresh_start_leaves_no_old_metrics(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n')
    with Progress(tmp_path, Train(), "router") as progress:
        progress.resume(-1, [])
    assert _lines(tmp_path) == []


def test_tensorboard_is_asked_for_in_one_line_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"config\.train\.tensorboard: pip install 'prouter-jax\[tensorboard\]' first"):
        Progress(tmp_path, Train(tensorboard=True), "router")


@pytest.mark.parametrize(
    "damaged",
    ["[]", "{}", '{"step": 4}', '{"step": "4", "validation_reward": 1}', '{"step": 4, "validation_reward": null}'],
)
def test_a_damaged_line_is_named(tmp_path, damaged):
    good = json.dumps({"step": 8, "validation_reward": 0.5})
    (tmp_path / "metrics.jsonl").write_text(f"{good}\n{damaged}\n{good}\n")
    for read in (read_fit, read_best_step):
        with pytest.raises(ValueError, match=r"metrics\.jsonl, row 1: expected the numbers of an evaluation, found"):
            read(tmp_path)
