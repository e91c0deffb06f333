"""A whole experiment: what it writes, that it goes on where it was, and what it refuses."""

import copy
import json
import shutil

import numpy as np
import pytest

from prouter_jax import config as configuration
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.tables.read_write import write_tables
from prouter_jax.experiment import evaluate_experiment, run_experiment
from prouter_jax.serving.router import Router

POLICIES = {"router", "user_blind", "random", "cheapest", "strongest", "best_single", "best_per_user", "oracle"}
MEASURES = ("reward", "gap_closed", "accuracy", "effect", "cost")


def _report(workdir):
    return json.loads((workdir / "report" / "report.json").read_text())


def _numbers(workdir):
    """A report without the facts on when and how long."""
    return {name: value for name, value in _report(workdir).items() if name != "facts"}


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _sound_state(workdir):
    """All files of a run but its report."""
    return {path: content for path, content in _files(workdir).items() if path.parts[0] != "report"}


@pytest.fixture
def workdir(experiment_workdir, tmp_path):
    return shutil.copytree(experiment_workdir, tmp_path / "run")


@pytest.fixture
def never_steps(monkeypatch):
    def refuse(*_):
        raise AssertionError("a step was taken")

    monkeypatch.setattr("prouter_jax.training.loop.make_train_step", lambda *_: refuse)


def test_the_files_of_a_run(experiment, experiment_workdir):
    assert {path.name for path in experiment_workdir.iterdir()} == {
        "experiment.json",
        "config.json",
        "world",
        "checkpoints",
        "users",
        "metrics.jsonl",
        "speed.json",
        "report",
        "root.json",
    }
    assert configuration.from_json((experiment_workdir / "experiment.json").read_text()) == experiment
    assert {path.name for path in (experiment_workdir / "report").iterdir()} >= {
        "report.json",
        "report.md",
        "report.html",
    }
    steps = [json.loads(line)["step"] for line in (experiment_workdir / "metrics.jsonl").read_text().splitlines()]
    assert steps == [4, 8, 12]


def test_the_report_has_every_policy_and_measure(experiment_workdir):
    report = _report(experiment_workdir)
    assert set(report["policies"]) >= POLICIES
    for policy in report["policies"].values():
        for measure in MEASURES:
            assert isinstance(policy[measure]["mean"], float)
            assert isinstance(policy[measure]["spread"], float)
        assert 0 <= policy["accuracy"]["mean"] <= 1
        assert policy["reward"]["mean"] <= report["policies"]["oracle"]["reward"]["mean"]
    against = {(row["policy"], row["against"]): row for row in report["paired"]}
    assert {("router", "best_per_user"), ("router", "user_blind"), ("router", "best_single")} <= set(against)
    row = against["router", "best_per_user"]
    rewards = [report["policies"][name]["reward"]["mean"] for name in ("router", "best_per_user")]
    assert row["mean"] == pytest.approx(rewards[0] - rewards[1], abs=1e-6)
    assert row["low"] <= row["mean"] <= row["high"]


def test_run_again_nothing_changes(experiment, workdir, never_steps):
    before, numbers = _sound_state(workdir), _numbers(workdir)
    run_experiment(experiment, workdir)
    assert _sound_state(workdir) == before
    assert _numbers(workdir) == numbers


def test_evaluation_restores_and_never_trains(experiment_workdir, workdir, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr("prouter_jax.experiment.train", refuse)
    before, numbers = _sound_state(workdir), _numbers(workdir)
    shutil.rmtree(workdir / "report")
    evaluate_experiment(workdir)
    assert _sound_state(workdir) == before
    assert _numbers(workdir) == numbers


@pytest.mark.parametrize("gone", ["checkpoints", "experiment.json", "world"])
def test_evaluation_of_missing_files_is_an_error(workdir, gone):
    shutil.rmtree(workdir / "report")
    shutil.rmtree(workdir / gone) if (workdir / gone).is_dir() else (workdir / gone).unlink()
    before = _files(workdir)
    with pytest.raises(ValueError, match=r"no checkpoint|expected an experiment|missing"):
        evaluate_experiment(workdir)
    assert _files(workdir) == before


def test_a_workdir_belongs_to_one_configuration(experiment, workdir):
    before = _files(workdir)
    other = copy.deepcopy(experiment)
    other.train.num_train_steps += 1
    steps = f"was {experiment.train.num_train_steps}, now {other.train.num_train_steps}; name another --workdir"
    expected = rf"expected the configuration of its start \(.*\), found config\.train\.num_train_steps: {steps}"
    with pytest.raises(ValueError, match=expected):
        run_experiment(other, workdir)
    other.mesh.data, other.mesh.model, other.seed, other.data.pool = 2, 2, 1, "core"
    more = r'config\.seed: was 0, now 1; config\.data\.pool: was "", now "core"; .*; and 2 more;'
    with pytest.raises(ValueError, match=more):
        run_experiment(other, workdir)
    assert _files(workdir) == before


def _few_queries(config, _):
    config.data.embedded.num_queries = 5


def _no_devices(config, _):
    config.mesh.data = 4096


def _no_tensorboard(config, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config.train.tensorboard = True


def _no_folder(config, _):
    config.data.source, config.data.path = "tables", "/nowhere/at/all"


def _set(section, name, value):
    return lambda config, _: setattr(getattr(config, section), name, value)


WRONG = {
    "a negative rate": (_set("optimizer", "learning_rate", -1.0), r"config\.optimizer\.learning_rate"),
    "a text for a number": (_set("model", "factor_dim", "8"), r"config\.model\.factor_dim"),
    "an unknown encoder": (_set("data", "encoder", "word3vec"), "encoder: expected one of"),
    "no vectors given": (_set("data", "encoder", "given"), r"config\.data\.encoder"),
    "no data": (_no_folder, "/nowhere/at/all"),
    "nothing to validate on": (_few_queries, "expected decisions in every part of the split"),
    "too few devices": (_no_devices, r"config\.mesh: expected at most"),
    "no tensorboard": (_no_tensorboard, "tensorboard"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_invalid_experiment_writes_nothing(experiment, tmp_path, monkeypatch, name):
    change, found = WRONG[name]
    config = copy.deepcopy(experiment)
    change(config, monkeypatch)
    with pytest.raises(ValueError, match=found) as caught:
        run_experiment(config, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def from_tables(experiment, tmp_path_factory):
    """The experiment again, its data read from a folder of tables."""
    folder = tmp_path_factory.mktemp("tables")
    config = copy.deepcopy(experiment)
    config.data.source, config.data.path = "tables", str(folder / "data")
    write_tables(build_embedded(experiment.data.embedded), folder / "data")
    run_experiment(config, folder / "run")
    return config, folder


def test_changed_data_is_refused(from_tables, tmp_path):
    config, folder = from_tables
    shutil.copytree(folder, tmp_path / "copy")
    config = copy.deepcopy(config)
    data = build_embedded(config.data.embedded)
    data.outcomes.effect[0] = 1 - data.outcomes.effect[0]
    shutil.rmtree(config.data.path)
    try:
        write_tables(data, config.data.path)
        for again in (lambda: run_experiment(config, folder / "run"), lambda: evaluate_experiment(folder / "run")):
            with pytest.raises(ValueError, match="the data differs from the training data of this run"):
                again()
    finally:
        shutil.rmtree(config.data.path)
        shutil.copytree(tmp_path / "copy" / "data", config.data.path)
    evaluate_experiment(folder / "run")


@pytest.mark.slow
def test_several_seeds_lie_side_by_side(experiment, tmp_path):
    config = copy.deepcopy(experiment)
    config.seeds, config.train.num_train_steps = 2, 4
    run_experiment(config, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"experiment.json", "seed_0", "seed_1", "report"}
    report = _report(tmp_path / "run")
    for policy in report["policies"].values():
        assert len(policy["reward"]["values"]) == 2
        assert policy["reward"]["mean"] == pytest.approx(np.mean(policy["reward"]["values"]))
    assert {row["over"] for row in report["paired"]} == {"seeds"}
    for seed in (0, 1):
        folder = tmp_path / "run" / f"seed_{seed}"
        kept = configuration.from_json((folder / "config.json").read_text())
        assert (kept.seed, kept.seeds) == (seed, 0)
        assert Router.load(folder).score(["u00"], ["Hello there"]).error == [None]
    known = [set(Router.load(tmp_path / "run" / f"seed_{n}").world.interactions.queries.ids) for n in (0, 1)]
    assert known[0] != known[1]
    numbers = _numbers(tmp_path / "run")
    run_experiment(config, tmp_path / "run")
    assert _numbers(tmp_path / "run") == numbers
