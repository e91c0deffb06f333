"""root.json: files of another router, of another time, or lost ones are found when a router is loaded."""

import copy
import json
import shutil

import pytest

from prouter_jax import Router
from prouter_jax.experiment import train_experiment
from prouter_jax.io import files
from prouter_jax.serving import root_digest, updates
from prouter_jax.serving.update_log import read_updates
from prouter_jax.serving.updates import update


@pytest.fixture(scope="module")
def other_workdir(experiment, tmp_path_factory):
    """The run of `experiment_workdir` with another seed; not to be changed."""
    config = copy.deepcopy(experiment)
    config.seed = 1
    folder = tmp_path_factory.mktemp("other") / "run"
    train_experiment(config, folder)
    return folder


@pytest.fixture
def workdir(experiment_workdir, tmp_path):
    return shutil.copytree(experiment_workdir, tmp_path / "run")


@pytest.fixture
def feedback(workdir, tmp_path):
    """Two files of feedback."""
    llm = Router.load(workdir).llms[0]
    paths = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for path in paths:
        path.write_text(json.dumps({"user_id": "w", "query": path.name, "llm": llm}) + "\n")
    return paths


def _edit_config(workdir, other):
    path = workdir / "config.json"
    assert '"text": 2.0' in path.read_text()
    path.write_text(path.read_text().replace('"text": 2.0', '"text": 0.0'))  # one flipped bit


def _break_config(workdir, other):
    path = workdir / "config.json"
    path.write_bytes(path.read_bytes().replace(b"text", b"t\xe5xt"))  # no UTF-8


def _swap_world(workdir, other):
    shutil.rmtree(workdir / "world")
    shutil.copytree(other / "world", workdir / "world")


def _swap_checkpoints(workdir, other):
    shutil.rmtree(workdir / "checkpoints")
    shutil.copytree(other / "checkpoints", workdir / "checkpoints")


def _add_better_checkpoint(workdir, other):
    """A sound step of another run, with a higher metric."""
    step = next(path for path in (other / "checkpoints").iterdir() if path.is_dir())
    added = shutil.copytree(step, workdir / "checkpoints" / "99")
    values = files.read_manifest(added)
    (added / "manifest.json").unlink()
    files.write_manifest(added, values | {"step": 99, "metric": 1.0})


def _lose_best_checkpoint(workdir, other):
    best = files.read_sealed(workdir / "checkpoints" / "best.json")["step"]
    shutil.rmtree(workdir / "checkpoints" / str(best))
    (workdir / "checkpoints" / "best.json").unlink()


def _edit_metrics(workdir, other):
    path = workdir / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b"log_loss", b"log_losr"))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (_edit_config, "config.json"),
        (_swap_world, "world/manifest.json"),
        (_swap_checkpoints, "checkpoints/.*"),
        (_add_better_checkpoint, "checkpoints/.*"),
        (_lose_best_checkpoint, "checkpoints/.*"),
        (_edit_metrics, "metrics.jsonl"),
    ],
)
def test_files_of_another_run_or_time_are_refused(workdir, other_workdir, change, name):
    change(workdir, other_workdir)
    with pytest.raises(ValueError, match=f"run/{name}: expected the file of this router .by root.json., found"):
        Router.load(workdir)


def test_a_configuration_that_is_no_text_is_named(experiment, workdir):
    _break_config(workdir, None)
    with pytest.raises(ValueError, match=r"run/config\.json: expected an unchanged configuration, found"):
        Router.load(workdir)
    (workdir / "experiment.json").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"run: expected the configuration of its start .*, found another text"):
        train_experiment(experiment, workdir)


def test_without_root_json_a_training_has_not_ended(experiment, workdir):
    digest = Router.load(workdir).digest()
    (workdir / "root.json").unlink()
    with pytest.raises(ValueError, match=r"run: expected a finished training, found root\.json: missing; the same"):
        Router.load(workdir)
    train_experiment(experiment, workdir)
    assert Router.load(workdir).digest() == digest


def test_a_changed_configuration_is_refused_by_training_too(experiment, workdir):
    """Otherwise training again would put it into a new root.json."""
    _edit_config(workdir, None)
    with pytest.raises(ValueError, match=r"config\.json: expected the configuration of this run's start, found it"):
        train_experiment(experiment, workdir)


def test_a_text_encoder_with_other_weights_is_refused(experiment, workdir, monkeypatch):
    monkeypatch.setattr(root_digest, "weights_digest", lambda name: "0" * 64)
    for command in (lambda: Router.load(workdir), lambda: train_experiment(experiment, workdir)):
        with pytest.raises(ValueError, match="run: expected the text encoder hash with the weights of training"):
            command()


def _lose_manifest(folder):
    (folder / "updates").glob("2-*").__next__().joinpath("manifest.json").unlink()


def _lose_all(folder):
    shutil.rmtree(folder / "updates")


def _swap_numbers(folder):
    first, second = sorted((folder / "updates").iterdir())
    first.rename(first.with_name("0"))
    second.rename(second.with_name(f"1{second.name[1:]}"))
    first.with_name("0").rename(first.with_name(f"2{first.name[1:]}"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_lose_manifest, r"run: expected 2 updates \(by root.json\), found 1"),
        (_lose_all, r"run: expected 2 updates \(by root.json\), found 0"),
        (_swap_numbers, r"updates/1-.*: expected the update of root.json, found another"),
    ],
)
def test_lost_and_swapped_updates_are_refused(workdir, feedback, change, found):
    for path in feedback:
        update(workdir, path)
    change(workdir)
    with pytest.raises(ValueError, match=found):
        Router.load(workdir)


def test_an_update_of_another_router_is_refused(workdir, other_workdir, feedback, tmp_path):
    other = shutil.copytree(other_workdir, tmp_path / "other")
    update(other, feedback[0])
    shutil.copytree(other / "updates", workdir / "updates")
    with pytest.raises(ValueError, match="expected an update of this router as it was, found one of another"):
        Router.load(workdir)


def test_an_update_killed_before_its_entry_counts(workdir, feedback, monkeypatch):
    update(workdir, feedback[0])
    with monkeypatch.context() as patch:
        patch.setattr(updates, "add_updates", lambda workdir: None)
        update(workdir, feedback[1])
    digest = Router.load(workdir).digest()
    assert len(files.read_sealed(workdir / "root.json")["updates"]) == 1
    update(workdir, feedback[1])
    assert len(files.read_sealed(workdir / "root.json")["updates"]) == len(read_updates(workdir)) == 2
    assert Router.load(workdir).digest() == digest


def test_training_again_keeps_the_updates(experiment, workdir, feedback):
    update(workdir, feedback[0])
    before = (workdir / "root.json").read_bytes()
    train_experiment(experiment, workdir)
    assert (workdir / "root.json").read_bytes() == before
