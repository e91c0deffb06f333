"""Preset "tuned": EM is what it was, folds never see their users, and a run goes on where it stopped."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prouter_jax.data.batches import Input
from prouter_jax.data.episodes import FOLDS
from prouter_jax.data.history_store import build_store
from prouter_jax.data.rewards import build_decisions
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.graph.schema import Visibility, hide
from prouter_jax.metrics import choose
from prouter_jax.model.inference import apply_network, make_scorer, score_decisions
from prouter_jax.model.known_users import spaced
from prouter_jax.sharding import make_mesh, to_host
from prouter_jax.training import loop
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.gate import Verdict
from prouter_jax.training.loop import train
from prouter_jax.training.run import initial_state, make_run, make_train_step, restore_best
from prouter_jax.training.step import init_network, make_recipe, make_step
from prouter_jax.training.tuning import find_obstacle


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


def test_ratings_alone_are_not_tuned(config, shared_dataset, dataset):
    assert find_obstacle(config, dataset) == ""
    assert find_obstacle(config, shared_dataset) == "there are no choices"


@pytest.fixture
def in_batches(config):
    """(configuration, data) of 128 users in minibatches."""
    config.data.embedded.num_users, config.data.embedded.decisions_per_user = 128, 12
    config.train.users_per_step, config.train.num_train_steps = 32, 8
    return config, prepare_dataset(read_source(config.data), config.data, seed=0)


def test_minibatches_are_tuned_on_users_whom_em_left_out(in_batches, tmp_path, monkeypatch, capfd):
    config, dataset = in_batches
    monkeypatch.setattr("prouter_jax.training.validation.judge", lambda *_: Verdict(0.5, 0.1, 6))
    train(config, dataset, tmp_path)
    run = make_run(config, dataset)
    params = to_host(restore_best(config, run.network, tmp_path).params)
    assert params["accepted"] == 1
    assert np.abs(params["prior_shift"]).max() > 0
    assert "no gradient steps" not in capfd.readouterr().err
    known = spaced(params["has_history"], run.network.transfer.known)
    assert not set(np.asarray(known)) & set(run.batches.left_out)
    # the weights are those of the users of these rows
    rounds = run.network.rounds.bind(params)
    users = np.asarray(rounds.read_users(run.here, rounds.answers(run.here)))
    np.testing.assert_allclose(params["users"][known], users[known], rtol=1e-3, atol=1e-3)


def test_em_in_minibatches_does_not_know_the_users_of_episodes(in_batches):
    config, dataset = in_batches
    run, data = make_run(config, dataset), dataset.world.interactions
    left_out = run.batches.left_out
    assert len(left_out) == 6
    choices = data.feedback.llm.copy()
    changed = np.isin(data.decisions.user[data.feedback.decision], left_out)
    choices[changed] = (choices[changed] + 1) % 4
    other = data.replace(feedback=dataclasses.replace(data.feedback, llm=choices))
    ends = []
    for batches in (run.batches, dataclasses.replace(run.batches, store=build_store(other))):
        state, step = initial_state(run, 0), make_train_step(run)
        batch_input = Input(batches, run.mesh, 0, 8)
        for _ in range(8):
            state, _ = step(state, run.world, next(batch_input), jax.random.key(0))
        ends.append(jax.device_get(state.params))
    jax.tree.map(np.testing.assert_array_equal, *ends)


def test_too_few_users_in_minibatches_are_said(config, dataset, tmp_path, capfd):
    config.train.users_per_step = 4
    train(config, dataset, tmp_path)
    expected = "router: EM alone, no gradient steps: expected 2 users with decisions in each of 3 folds, found 0 in one"
    assert capfd.readouterr().err.count(expected) == 1
    assert make_run(config, dataset).batches.left_out is None


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
