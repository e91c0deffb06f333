"""The router that is served is trained on all decisions, as its split chose; the report is of the split's router."""

import copy
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from prouter_jax.data.splits import find_llms
from prouter_jax.dataset import prepare_dataset, prepare_whole, read_source
from prouter_jax.evaluation.off_policy.evaluate import held_out, load_router
from prouter_jax.experiment import evaluate_experiment, run_experiment, train_experiment
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.serving.router import Router
from prouter_jax.sharding import to_host
from prouter_jax.training import loop, refit
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.gate import Verdict
from prouter_jax.training.loop import train
from prouter_jax.training.metrics_writer import Progress, read_best_step
from prouter_jax.training.refit import Chosen, read_chosen
from prouter_jax.training.run import initial_state, make_run, restore_best


def _refitted(config):
    config = copy.deepcopy(config)
    config.train.refit = True
    return config


def _numbers(workdir):
    report = json.loads((workdir / "report" / "report.json").read_text())
    return {name: value for name, value in report.items() if name != "facts"}


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _steps(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _assert_same_params(before, after):
    jax.tree.map(np.testing.assert_array_equal, before.trained.params, after.trained.params)
    assert before.trained.temperature == after.trained.temperature


@pytest.fixture(scope="module")
def workdir(experiment, tmp_path_factory):
    """The run of `experiment_workdir`, with a refit; not to be changed."""
    folder = tmp_path_factory.mktemp("refit") / "run"
    run_experiment(_refitted(experiment), folder)
    return folder


def test_the_files_of_a_run(workdir):
    router = {"config.json", "world", "checkpoints", "users", "metrics.jsonl"}
    others = {"experiment.json", "speed.json", "refit", "report", "root.json"}
    assert {path.name for path in workdir.iterdir()} == {*router, *others}
    assert {path.name for path in (workdir / "refit").iterdir()} == router
    assert Router.load_trained(workdir / "refit").digest() == Router.load(workdir).digest()


def test_the_served_router_knows_every_query_and_decision(experiment, workdir):
    everything = read_source(experiment.data).interactions
    served, split = Router.load(workdir), Router.load_trained(workdir)
    assert set(served.interactions.queries.ids) == set(everything.queries.ids) > set(split.interactions.queries.ids)
    assert len(served.interactions.decisions.ids) == len(everything.decisions.ids)
    held = next(iter(set(everything.queries.ids) - set(split.interactions.queries.ids)))
    assert served.score(["u00"], query_ids=[held]).error == [None]
    assert split.score(["u00"], query_ids=[held]).error != [None]


def test_the_report_and_the_router_of_the_split_are_those_without_a_refit(workdir, experiment_workdir):
    assert _numbers(workdir) == _numbers(experiment_workdir)
    _assert_same_params(Router.load(experiment_workdir), Router.load_trained(workdir))


def test_steps_and_temperature_are_those_that_validation_chose(workdir):
    best = max(_steps(workdir), key=lambda record: record["validation_reward"])["step"]
    records = _steps(workdir / "refit")
    assert records[-1]["step"] == best == read_best_step(workdir)
    assert not any("validation_reward" in record for record in records)
    served, split = Router.load(workdir), Router.load_trained(workdir)
    assert served.trained.temperature == split.trained.temperature != 1
    assert not np.array_equal(served.trained.params["precision"], split.trained.params["precision"])


def test_run_and_evaluated_again_nothing_changes(experiment, workdir, tmp_path, monkeypatch):
    copied = shutil.copytree(workdir, tmp_path / "run")

    def refuse(*_, **__):
        raise AssertionError("a step was taken")

    monkeypatch.setattr(loop, "make_train_step", lambda *_, **__: refuse)
    run_experiment(_refitted(experiment), copied)
    shutil.rmtree(copied / "report")
    evaluate_experiment(copied)
    kept = {path: content for path, content in _files(copied).items() if path.parts[0] != "report"}
    assert kept == {path: content for path, content in _files(workdir).items() if path.parts[0] != "report"}
    assert _numbers(copied) == _numbers(workdir)


def test_without_the_refit_there_is_a_report_and_no_served_router(experiment, workdir, tmp_path):
    """The run of `workdir`, with the folder lost, or killed after its report."""
    folder = shutil.copytree(workdir, tmp_path / "run")
    shutil.rmtree(folder / "refit")
    with pytest.raises(ValueError, match=r"refit.*: expected the file of this router .*, found none$"):
        Router.load(folder)
    (folder / "root.json").unlink()
    evaluate_experiment(folder)
    assert _numbers(folder) == _numbers(workdir)
    with pytest.raises(ValueError, match=r"run: expected a finished training, found root\.json: missing"):
        Router.load(folder)
    train_experiment(_refitted(experiment), folder)
    assert Router.load(folder).digest() == Router.load(workdir).digest()


def test_a_refit_that_was_stopped_ends_bitwise_where_it_would_have(trained, tmp_path, monkeypatch):
    def stop(self, step):
        if step == 7:
            raise KeyboardInterrupt

    config, chosen = trained.config, Chosen(make_run(trained.config, trained.dataset).network, {}, 10, 0.5)
    whole = prepare_whole(read_source(config.data), config.data)
    folders = [tmp_path / "at_once", tmp_path / "stopped"]
    for folder in folders:
        folder.mkdir()
    train(config, whole, folders[0], chosen=chosen)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "stepped", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, whole, folders[1], chosen=chosen)
    abstract = make_run(config, whole).abstract
    assert Checkpoints(folders[1] / "checkpoints").restore_newest(abstract)[1] == 4
    with pytest.raises(ValueError, match="no checkpoint with a metric"):
        Checkpoints(folders[1] / "checkpoints").restore_best(abstract)
    train(config, whole, folders[1], chosen=chosen)
    states = [Checkpoints(folder / "checkpoints").restore_best(abstract) for folder in folders]
    assert states[0][1] == states[1][1] == 10
    assert states[0][0].temperature == 0.5
    jax.tree.map(np.testing.assert_array_equal, *(jax.device_get(state) for state, _ in states))


def test_each_seed_has_a_router(experiment, tmp_path):
    config = _refitted(experiment)
    config.seeds, config.train.num_train_steps = 2, 4
    source = train_experiment(config, tmp_path / "run")
    for seed in (0, 1):
        folder = tmp_path / "run" / f"seed_{seed}"
        assert len(Router.load(folder).interactions.queries.ids) == len(source.interactions.queries.ids)
        assert len(Router.load_trained(folder).interactions.queries.ids) < len(source.interactions.queries.ids)


@pytest.mark.parametrize("split", ["cold_query", "warm_query", "cold_user", "time"])
def test_nothing_is_held_out_of_all_decisions(tiny_config, split):
    tiny_config.data.split = split
    whole = prepare_whole(source := read_source(tiny_config.data), tiny_config.data)
    data, visible = source.interactions, whole.world.interactions
    np.testing.assert_array_equal(visible.decisions.ids, data.decisions.ids)
    np.testing.assert_array_equal(visible.queries.ids, data.queries.ids)
    np.testing.assert_array_equal(visible.outcomes.effect, data.outcomes.effect)
    assert len(whole.parts.train) == len(data.decisions.ids)
    assert not len(whole.parts.validation) + len(whole.parts.test)


def test_new_llms_and_simulated_users_are_in_all_decisions(tiny_config):
    data = tiny_config.data
    data.users, data.num_users, data.split = "multi_cost_efficiency", 5, "cold_llm"
    source = read_source(data)
    data.new_llms = str(source.interactions.llms.ids[1])
    whole, split = prepare_whole(source, data), prepare_dataset(source, data, 0)
    new = find_llms(source.interactions.llms.ids, data.new_llms)
    assert whole.world.interactions.offers[:, new].any()
    assert not split.world.interactions.offers[:, new].any()
    assert len(whole.data.users.ids) == 5


@pytest.mark.parametrize(("users", "users_per_step", "devices"), [(6, 0, 1), (6, 0, 2), (128, 32, 1)])
def test_numbers_of_gradient_steps_are_kept(tiny_config, tmp_path, monkeypatch, users, users_per_step, devices):
    config = tiny_config
    config.model.preset = "tuned"
    config.data.embedded.num_users, config.data.embedded.decisions_per_user = users, 12
    config.train.tuning_steps = config.train.num_train_steps = config.train.eval_every_steps = 4
    config.train.users_per_step, config.mesh.data = users_per_step, devices
    folders = [tmp_path / "split", tmp_path / "refit"]
    for folder in folders:
        folder.mkdir()
    source = read_source(config.data)
    split, whole = prepare_dataset(source, config.data, 0), prepare_whole(source, config.data)
    monkeypatch.setattr("prouter_jax.training.validation.judge", lambda *_: Verdict(0.5, 0.1, 6))
    train(config, split, folders[0])
    chosen = read_chosen(config, split, folders[0])
    assert (chosen.steps, chosen.temperature, float(chosen.params["accepted"])) == (4, 1.0, 1.0)
    train(config, whole, folders[1], chosen=chosen)
    run = make_run(config, whole)
    found = to_host(restore_best(config, run.network, folders[1]).params)
    for name in run.network.tuned()[1].kinds():
        np.testing.assert_array_equal(found[name], chosen.params[name], err_msg=name)
    assert not np.array_equal(found["precision"], chosen.params["precision"])
    rounds, known = run.network.rounds.bind(found), np.flatnonzero(found["has_history"])
    read = np.asarray(rounds.read_users(run.here, rounds.answers(run.here)))
    assert len(known)
    np.testing.assert_allclose(found["users"][known], read[known], rtol=1e-2, atol=0.5 if not users_per_step else 1e-3)


BEFORE = AnswerFeatures(2, 3, 1, 0, 1, 2)


@pytest.mark.parametrize(
    ("now", "llms", "side"),
    [
        (BEFORE, [5, 6, 7, 8], []),
        (dataclasses.replace(BEFORE, shown_first=1), [5, 6, 7, 8], [0]),
        (dataclasses.replace(BEFORE, llm_state=4, own_columns=0), [0, 0, 0, 0], []),
    ],
)
def test_numbers_of_other_columns_are_those_of_em(now, llms, side):
    """Ten columns: effect, cost, constant, two of style, four of LLMs, population utility; then one for all factors."""
    values = np.arange(11.0)
    assert refit._carry(values, BEFORE, now).tolist() == [0, 1, 2, 3, 4, *llms, *side, 9, 10]
    assert now.factor_start + 1 == len(refit._carry(values, BEFORE, now))


def test_without_gradient_steps_a_refit_begins_as_any_training(dataset, tiny_config):
    run = make_run(tiny_config, dataset)
    state = initial_state(run, 0)
    assert Chosen(run.network, {}, 4, 1.0).begin(state, run.network) is state


def test_a_log_that_the_served_router_was_trained_on_is_evaluated_with_that_of_the_split(experiment, workdir, capsys):
    data = read_source(experiment.data).interactions
    router = load_router(workdir, data)
    assert held_out(router, data).any()
    assert "the router of the report is evaluated" in capsys.readouterr().err
    others = dataclasses.replace(data.users, ids=data.users.ids + " of another day")
    router = load_router(workdir, data.replace(users=others))
    assert len(router.interactions.queries.ids) == len(data.queries.ids)
