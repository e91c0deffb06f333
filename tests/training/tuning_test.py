"""Preset "tuned": EM is what it was, folds never see their users, and a run goes on where it stopped."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.data.episodes import FOLDS
from prouter_jax.data.rewards import build_decisions
from prouter_jax.graph.schema import Visibility, hide
from prouter_jax.metrics import choose
from prouter_jax.model.inference import apply_network, make_scorer, score_decisions
from prouter_jax.model.known_users import spaced
from prouter_jax.sharding import make_mesh, to_host
from prouter_jax.training import loop
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.gate import Verdict
from prouter_jax.training.loop import train
from prouter_jax.training.run import make_run, restore_best
from prouter_jax.training.step import init_network, make_recipe, make_step
from prouter_jax.training.tuning import can_tune


@pytest.fixture
def config(tiny_config):
    tiny_config.model.preset = "tuned"
    tiny_config.train.tuning_steps = 4
    tiny_config.train.num_train_steps = tiny_config.train.eval_every_steps = 4
    return tiny_config


def _steps(config, network, graph, number=6):
    recipe = make_recipe(config)
    params, opt_state = init_network(network, recipe, jax.random.key(0))
    step = jax.jit(make_step(network, recipe, make_mesh(config.mesh)))
    for i in range(number):
        params, opt_state, metrics = step(params, opt_state, graph, {}, i, jax.random.key(1))
    return params, opt_state, metrics


def test_the_rounds_are_those_of_preset_em(config, dataset):
    run = make_run(config, dataset)
    params, _, metrics = _steps(config, run.network, run.here)
    alone, _, expected = _steps(config, dataclasses.replace(run.network, transfer=None), run.here)
    for name, value in alone.items():
        np.testing.assert_allclose(params[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    assert float(metrics["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-4)


def test_the_em_of_a_fold_does_not_know_the_folds_users(config, dataset):
    run = make_run(config, dataset)
    seen = jax.tree.map(jnp.asarray, run.here.visibility)
    for fold in range(FOLDS):
        others = (np.arange(len(seen.decisions)) % FOLDS != fold).astype(np.float32)
        graph = hide(run.here, Visibility(seen.outcomes, seen.tasks, seen.decisions * others[:, None]))
        whole, without = (_steps(config, run.network, x)[1].folds for x in (run.here, graph))
        for name in whole:
            np.testing.assert_array_equal(whole[name][fold], without[name][fold], err_msg=name)
        assert (whole["population_mean"][(fold + 1) % FOLDS] != without["population_mean"][(fold + 1) % FOLDS]).any()


def test_an_interrupted_run_ends_bitwise_where_it_would_have(config, dataset, tmp_path, monkeypatch):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    train(config, dataset, tmp_path / "whole")
    preempted = iter([False] * 6 + [True])
    with monkeypatch.context() as patch:
        patch.setattr(loop.Preemption, "reached", lambda self, step: next(preempted, False))
        with pytest.raises(loop.Preempted, match="step 6 is saved"):
            train(config, dataset, tmp_path / "parts")
    train(config, dataset, tmp_path / "parts")
    abstract = make_run(config, dataset).abstract
    ends = [Checkpoints(tmp_path / name / "checkpoints").restore_newest(abstract) for name in ("whole", "parts")]
    assert [end[1] for end in ends] == [8, 8]
    jax.tree.map(np.testing.assert_array_equal, *(jax.device_get(end[0]) for end in ends))


@pytest.mark.parametrize("accepted", [True, False])
def test_the_gate_decides_what_is_restored(config, dataset, tmp_path, monkeypatch, accepted):
    found = Verdict(0.5 if accepted else -0.5, 0.1, 6)
    monkeypatch.setattr("prouter_jax.training.validation.judge", lambda *_: found)
    train(config, dataset, tmp_path)
    run = make_run(config, dataset)
    params = to_host(restore_best(config, run.network, tmp_path).params)
    assert bool(params["accepted"]) == accepted
    assert (np.abs(params["prior_shift"]).max() > 0) == accepted
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["accepted"], last["improvement"]) == (accepted, found.improvement)


@pytest.fixture
def applied(config, dataset):
    """(run, parameters as trained, the same as accepted, test decisions)."""
    run = make_run(config, dataset)
    params = to_host(_steps(config, run.network, run.here)[0])
    rng = np.random.default_rng(0)
    numbers = {
        name: params[name] + 0.1 * rng.normal(size=params[name].shape).astype(np.float32)
        for name in run.network.tuned()[1].kinds()
    }
    accepted = params | numbers | {"accepted": np.float32(1)}
    return run, params, accepted, build_decisions(dataset.data, dataset.parts.test)


def test_a_refused_network_scores_as_em(applied, config, dataset):
    run, params, _, decisions = applied
    em = dataclasses.replace(run.network, transfer=None)
    scores = [
        score_decisions(make_scorer(network, params, dataset.world, run.here, config.model), dataset, decisions)
        for network in (run.network, em)
    ]
    np.testing.assert_array_equal(*scores)


def test_an_accepted_network_mixes_in_similar_users(applied, config, dataset):
    run, params, accepted, decisions = applied
    scorer = make_scorer(run.network, accepted, dataset.world, run.here, config.model)
    logits = score_decisions(scorer, dataset, decisions)
    assert np.isfinite(logits).all()
    known = scorer.mixer.known.shape[0]
    weights = scorer.users[:, -known - 2 : -2]
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    rows = np.asarray(spaced(accepted["has_history"], known))
    decided = np.bincount(dataset.world.interactions.decisions.user, minlength=6) > 0
    assert all(weights[row, column] < 1e-6 for column, row in enumerate(rows) if decided[row])
    other = score_decisions(make_scorer(run.network, params, dataset.world, run.here, config.model), dataset, decisions)
    assert np.abs(logits - other).max() > 1e-3
    assert (choose(logits, decisions.offered) == choose(other, decisions.offered)).mean() > 0.5


def test_states_read_alone_are_those_of_the_world(applied, config, dataset):
    run, _, accepted, _ = applied
    scorer = make_scorer(run.network, accepted, dataset.world, run.here, config.model)
    np.testing.assert_allclose(scorer.read(dataset.world), scorer.users, rtol=1e-4, atol=1e-5)
    again = apply_network(run.network, accepted, dataset.world, run.here, config.model, users=scorer.users)
    assert again.users is scorer.users


def test_ratings_alone_are_not_tuned(shared_dataset, dataset):
    assert can_tune(dataset)
    assert not can_tune(shared_dataset)


@pytest.mark.slow
def test_devices_train_alike(config, dataset, tmp_path):
    ends = []
    for data, model in ((1, 1), (2, 1), (2, 2)):
        config.mesh.data, config.mesh.model = data, model
        workdir = tmp_path / f"{data}x{model}"
        workdir.mkdir()
        train(config, dataset, workdir)
        state = Checkpoints(workdir / "checkpoints").restore_newest(make_run(config, dataset).abstract)[0]
        ends.append(jax.device_get(state.params))
    for found in ends[1:]:
        for name, value in ends[0].items():
            # what gradients train has a direction without data here and there, in which rounding decides
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=5e-3, err_msg=name)
