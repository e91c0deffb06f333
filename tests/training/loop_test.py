"""The training loop: it resumes as if nothing had happened, and does not look at what it must not know."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from log_files import made_up_rows, write_log
from processes import wait_for

from prouter_jax import config as configuration
from prouter_jax.config import Embedded
from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.metrics import choose, values_of_selected
from prouter_jax.model.inference import score_decisions
from prouter_jax.training import loop as train_module
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.loop import train
from prouter_jax.training.metrics_writer import Progress
from prouter_jax.training.run import make_run, restore_best
from prouter_jax.training.validation import run_scorer

# ---- A run and its end.


def _final(config, dataset, workdir):
    state, step, rejected = Checkpoints(workdir / "checkpoints").restore_newest(make_run(config, dataset).abstract)
    return jax.tree.map(np.asarray, state), step, rejected


def _metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _assert_same_end(trained, workdir):
    expected, found = (_final(trained.config, trained.dataset, path) for path in (trained.workdir, workdir))
    assert found[1:] == expected[1:] == (12, [])
    jax.tree.map(np.testing.assert_array_equal, found[0], expected[0])
    for before, after in zip(_metrics(trained.workdir), _metrics(workdir), strict=True):
        assert before | {"steps_per_second": 0} == after | {"steps_per_second": 0}


def test_a_run_learns_and_is_compiled_once(trained):
    lines = _metrics(trained.workdir)
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.1
    assert trained.compilations == 1


def test_an_interrupted_run_ends_bitwise_where_it_would_have(trained, tmp_path, monkeypatch, capsys):
    def stop(self, step):
        if step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "stepped", stop)
        with pytest.raises(KeyboardInterrupt):
            train(trained.config, trained.dataset, tmp_path)
    assert _final(trained.config, trained.dataset, tmp_path)[1] == 4
    train(trained.config, trained.dataset, tmp_path)
    assert "resumed from step 4" in capsys.readouterr().err
    _assert_same_end(trained, tmp_path)
    train(trained.config, trained.dataset, tmp_path)  # nothing is left to do
    _assert_same_end(trained, tmp_path)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(trained, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(trained.workdir, workdir)
    largest = max((workdir / "checkpoints" / "12" / "state").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    train(trained.config, trained.dataset, workdir)
    feedback = capsys.readouterr().err
    assert "rejected checkpoint: step 12" in feedback
    assert largest.name in feedback
    assert "resumed from step 8" in feedback
    _assert_same_end(trained, workdir)


_CHILD = """
import pathlib, sys, time
from prouter_jax import config
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.training.loop import train
from prouter_jax.training.metrics_writer import Progress
settings = config.from_json(pathlib.Path(sys.argv[1]).read_text())
Progress.stepped = lambda self, step: time.sleep(1000 if step > 8 else 0)
dataset = prepare_dataset(read_source(settings.data), settings.data, 0)
train(settings, dataset, pathlib.Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_run_ends_bitwise_where_it_would_have(trained, tmp_path, capsys):
    settings, workdir = tmp_path / "config.json", tmp_path / "run"
    workdir.mkdir()
    settings.write_text(configuration.to_json(trained.config))
    root = pathlib.Path(__file__).parents[2]
    command = [sys.executable, "-c", textwrap.dedent(_CHILD), str(settings), str(workdir)]
    with subprocess.Popen(command, cwd=root, env=os.environ, stderr=subprocess.DEVNULL) as child:
        # the manifest is written last: it makes the step one
        wait_for((workdir / "checkpoints" / "8" / "manifest.json").exists, child)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert _final(trained.config, trained.dataset, workdir)[1] == 8
    train(trained.config, trained.dataset, workdir)
    assert "resumed from step 8" in capsys.readouterr().err
    _assert_same_end(trained, workdir)


def _fake_step(metrics):
    return lambda *_: jax.jit(lambda state, graph, batch, key: (state.replace(step=state.step + 1), metrics))


def test_a_run_that_gets_no_better_stops(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "make_train_step", _fake_step({"loss": jnp.float32(1)}))
    config = dataclasses.replace(trained.config, train=dataclasses.replace(trained.config.train, patience=2))
    train(config, trained.dataset, tmp_path)
    state, step, _ = _final(config, trained.dataset, tmp_path)
    assert (step, state.stale) == (12, 2)
    # the first of equals is kept: nothing was better than the beginning
    abstract = make_run(config, trained.dataset).abstract
    assert Checkpoints(tmp_path / "checkpoints").restore_best(abstract)[1] == 4


def test_a_loss_that_is_no_number_is_an_error_and_no_checkpoint(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "make_train_step", _fake_step({"loss": jnp.float32(jnp.nan)}))
    with pytest.raises(ValueError, match="step 4: expected a finite loss"):
        train(trained.config, trained.dataset, tmp_path)


# ---- What it must not look at.


def test_test_labels_change_no_prediction(trained, network, tmp_path):
    source, rng = read_source(trained.config.data), np.random.default_rng(0)
    data = source.interactions
    queries = np.zeros(len(data.queries.ids), bool)
    queries[data.decisions.query[trained.dataset.parts.test]] = True
    assert not queries[data.decisions.query[trained.dataset.parts.train]].any()
    outcomes, feedback = data.outcomes, data.feedback
    tested = queries[outcomes.query]
    effect = np.where(tested, rng.random(len(tested)), outcomes.effect).astype(np.float32)
    cost = np.where(tested, 1000.0, outcomes.cost).astype(np.float32)
    offered = data.offers[data.decisions.offer[feedback.decision]]
    other = np.where(offered & (np.arange(4) != feedback.llm[:, None]), 1, 0).argmax(1)
    llm = np.where(queries[data.decisions.query[feedback.decision]], other, feedback.llm).astype(np.int32)
    changed = data.replace(
        outcomes=dataclasses.replace(outcomes, effect=effect, cost=cost),
        feedback=dataclasses.replace(feedback, llm=llm),
    )
    lying = prepare_dataset(dataclasses.replace(source, interactions=changed), trained.config.data, 0)
    decisions = trained.dataset.labelled("test").decisions
    assert (lying.labelled("test").decisions.target != decisions.target).any(1).all()
    train(trained.config, lying, tmp_path)
    params = restore_best(trained.config, network, tmp_path).params
    scorer = run_scorer(make_run(trained.config, lying), params, lying)
    np.testing.assert_array_equal(
        score_decisions(scorer, lying, decisions), score_decisions(trained.scorer, trained.dataset, decisions)
    )


@pytest.mark.slow
@pytest.mark.parametrize("preferences", [True, False])
def test_histories_help_where_users_differ_and_only_there(tiny_config, tmp_path, preferences):
    config = tiny_config
    config.data.encoder = "wordllama"
    config.data.embedded = Embedded(num_queries=200, num_users=24, preferences=preferences)
    config.train.eval_every_steps = 12  # a stranger's answer is behind before the population is learnt
    dataset = prepare_dataset(read_source(config.data), config.data, 0)
    train(config, dataset, tmp_path)
    run, test = make_run(config, dataset), dataset.labelled("test")
    scorer = run_scorer(run, restore_best(config, run.network, tmp_path).params, dataset)
    logits = [score_decisions(scorer, dataset, test.decisions, blind) for blind in (False, True)]
    personal, blind = (values_of_selected(test.rewards, choose(some, test.decisions.offered)) for some in logits)
    gain = personal - blind
    error = gain.std() / np.sqrt(len(gain))
    if preferences:
        assert gain.mean() > max(0.05, 3 * error)
    else:
        assert abs(gain.mean()) < max(0.02, 3 * error)


# ---- A log: one answer of each decision was seen.


def test_a_log_of_thumbs_trains_and_shows_the_better_llm(tmp_path):
    rows = made_up_rows(1500)
    convert_log([write_log(tmp_path / "log.jsonl", rows)], tmp_path / "tables", Options())
    config = configuration.ExperimentConfig(name="log")
    config.data.source, config.data.path, config.data.split = "tables", str(tmp_path / "tables"), "time"
    config.data.encoder = "hash"
    config.model.factor_dim, config.model.warmup_rounds = 2, 2
    config.train.num_train_steps, config.train.eval_every_steps = 4, 2
    dataset = prepare_dataset(read_source(config.data), config.data, 0)
    (tmp_path / "run").mkdir()
    train(config, dataset, tmp_path / "run")
    run = make_run(config, dataset)
    state = restore_best(config, run.network, tmp_path / "run")
    assert float(state.temperature) == 1.0  # there is no choice to fit it on
    test = dataset.labelled("test").decisions
    picked = choose(score_decisions(run_scorer(run, state.params, dataset), dataset, test), test.offered)
    assert (dataset.data.llms.ids[picked] == "c").mean() > 0.8
