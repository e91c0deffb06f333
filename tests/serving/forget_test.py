"""A forgotten user: updates are as if the user had never been there, and no file holds the id."""

import contextlib
import copy
import json
import pathlib
import shutil
import signal
import sys

import jax
import numpy as np
import processes
import pyarrow as pa
import pytest
from table_files import write_rows

from prouter_jax import Router
from prouter_jax.data.audit import IdSearch
from prouter_jax.data.interactions import select_decisions
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.tables.parquet import write_parquet
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.experiment import evaluate_experiment, run_experiment
from prouter_jax.graph.world import load_world
from prouter_jax.io import replacement
from prouter_jax.io.locks import Busy, lock_folder
from prouter_jax.io.paths import files_below
from prouter_jax.serving import forget as forget_module
from prouter_jax.serving.forget import forget
from prouter_jax.serving.service import sqlite, store
from prouter_jax.serving.update_log import read_updates
from prouter_jax.serving.updates import update

ROOT = pathlib.Path(__file__).parents[2]
ID = "änna <a@b.example>"
TEXTS = ["How many apples are left if Grace gives away seven of her twenty?", "Write a poem"]


@pytest.fixture
def workdir(experiment_workdir, tmp_path):
    return shutil.copytree(experiment_workdir, tmp_path / "run")


def _files(folder):
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def _answers(router, users=("u00", "u07", "other", "nobody")):
    scores = router.score([user for user in users for _ in TEXTS], TEXTS * len(users))
    return scores.probabilities, scores.basis


def _feedback(folder, users, left_out=""):
    """A file of each kind of feedback with a row of each user, the last one by ID alone; without those of one user."""
    folder.mkdir()
    kept = [(place, user) for place, user in enumerate(users) if user != left_out]
    choices = [{"user_id": user, "query": f"asked by {place % 2}", "llm": "alder-1"} for place, user in kept]
    write_rows(folder / "choices.jsonl", choices)
    votes = [f'"{user}",q00{place},alder-1,birch-1,{"ab"[place % 2]}' for place, user in kept]
    (folder / "votes.csv").write_text("\n".join(["user_id,query_id,llm_a,llm_b,winner", *votes, ""]))
    thumbs = [{"user_id": user, "query_id": "q003", "llm": "alder-1", "thumb": place % 2} for place, user in kept]
    write_parquet(folder / "thumbs.parquet", pa.Table.from_pylist(thumbs))
    ratings = [
        {"user_id": ID, "query_id": "q005", "llm": llm, "rating": n} for n, llm in enumerate(["alder-1", "birch-1"])
    ]
    if ID in users and left_out != ID:
        write_rows(folder / "ratings.jsonl", ratings)
    names = ("choices.jsonl", "votes.csv", "thumbs.parquet", "ratings.jsonl")
    return [folder / name for name in names if (folder / name).exists()]


def test_the_names_of_llms_are_as_these_tests_have_them(experiment_workdir):
    assert {"alder-1", "birch-1"} <= set(Router.load(experiment_workdir).llms)


def test_a_user_of_updates_is_as_if_never_there(workdir, experiment_workdir, tmp_path):
    """All files and all answers are equal to the last bit to those of a router that never got the user's rows."""
    users = ["other", ID, "u00"]
    expected = shutil.copytree(experiment_workdir, tmp_path / "expected")
    for path in _feedback(tmp_path / "without", users, left_out=ID):
        update(expected, path)
    for path in _feedback(tmp_path / "with", users):
        update(workdir, path)
    before = Router.load(workdir)
    assert before.score([ID], [TEXTS[0]]).basis == ["history"]
    assert IdSearch(ID).in_folder(workdir)
    result = forget(workdir, ID)
    assert [(one.decisions, one.updates) for one in result.routers] == [(None, [1, 2, 3, 4])]
    assert result.found == IdSearch(ID).in_folder(workdir) == []
    assert _files(workdir) == _files(expected)
    assert len(read_updates(workdir)) == 3
    assert _answers(Router.load(workdir), ["u00", "u07", "other", ID]) == _answers(
        Router.load(expected), ["u00", "u07", "other", ID]
    )
    assert Router.load(workdir).score([ID], [TEXTS[0]]).basis == ["cold_start"]
    update(workdir, _feedback(tmp_path / "again", ["late"])[0])  # updates go on


def test_earlier_updates_and_llms_stay(workdir, tmp_path):
    """An update with LLMs keeps them without its feedback."""
    first = _feedback(tmp_path / "first", ["other"])[0]
    update(workdir, first)
    kept = _files(workdir / "updates")
    llms = tmp_path / "llms"
    llms.mkdir()
    (llms / "llms.jsonl").write_text('{"llm": "new", "description": "new"}\n')
    (llms / "choices.jsonl").write_text(f'{{"user_id": {json.dumps(ID)}, "query_id": "q001", "llm": "new"}}\n')
    update(workdir, _feedback(tmp_path / "with", [ID])[3], llms)
    forget(workdir, ID)
    router = Router.load(workdir)
    assert router.llms[-1] == "new"
    assert ID not in router.interactions.users.ids
    assert _files(workdir / "updates").items() >= kept.items()
    (update_,) = read_updates(workdir)[1:]
    assert files_below(update_.folder) == ["llms/llms.jsonl", "manifest.json"]


def test_a_user_of_the_training_is_in_no_table_and_no_parameter(workdir):
    """Others are answered as by the same shared parameters in a world without the user."""
    before = Router.load(workdir)
    row = before.world.interactions.users.ids.tolist().index("u03")
    update_free = _files(workdir)
    (removed,) = forget(workdir, "u03").routers
    assert removed.decisions == (before.world.interactions.decisions.user == row).sum() > 0
    after = Router.load(workdir)
    assert after.score(["u03", "u04"], [TEXTS[0]] * 2).basis == ["cold_start", "history"]
    others = before.world.interactions.decisions.user != row
    np.testing.assert_array_equal(
        after.world.interactions.users.ids, np.delete(before.world.interactions.users.ids, row)
    )
    np.testing.assert_array_equal(
        after.world.interactions.decisions.ids, select_decisions(before.world.interactions, others).decisions.ids
    )
    for name, value in before.trained.params.items():
        own = name in ("users", "has_history")
        np.testing.assert_array_equal(after.trained.params[name], np.delete(value, row, 0) if own else value)
    np.testing.assert_array_equal(after.users, np.delete(before.users, row, 0))
    assert not (workdir / "report").exists()
    shared = {"config.json", "experiment.json", "metrics.jsonl", "world/query_vectors.npy"}
    assert {name: update_free[name] for name in shared} == {name: _files(workdir)[name] for name in shared}


def test_what_nobody_knows_is_an_error_and_changes_nothing(workdir):
    before = _files(workdir)
    with pytest.raises(ValueError, match=r"run: expected a user_id of this router, found 'u'; no file holds the id"):
        forget(workdir, "u")
    (workdir / "notes.txt").write_text("ask missing-user")
    with pytest.raises(ValueError, match=r"found 'missing-user'; other files hold the id: .*/run/notes\.txt: its text"):
        forget(workdir, "missing-user")
    (workdir / "notes.txt").unlink()
    assert _files(workdir) == before
    with pytest.raises(ValueError, match=r"expected a trained router with config\.json, found none"):
        forget(workdir / "nowhere", "u03")
    with lock_folder(workdir), pytest.raises(Busy):
        forget(workdir, "u03")


def test_other_tables_of_the_workdir_lose_the_user(workdir):
    (workdir / "journal").mkdir()
    (workdir / "journal" / "1.jsonl").write_text('{"user_id": "only here"}\n{"user_id": "another"}\n')
    (removed,) = forget(workdir, "only here").routers
    assert (removed.decisions, removed.updates) == (None, [])
    assert (workdir / "journal" / "1.jsonl").read_text() == '{"user_id": "another"}\n'
    assert (workdir / "report").exists()


def _fill_state(path, users):
    with contextlib.closing(sqlite.connect(path)) as database:
        for number, user in enumerate(users):
            content = {"user_id": user, "llm": "alder-1", "thumb": 1}
            store.add_feedback(database, store.StoredFeedback(0, user, str(number), "0" * 64, None, 1.0, content))
            store.write_settings(database, user, {"pin": "alder-1"})


def test_the_state_of_a_service_loses_the_user_unless_one_runs(workdir):
    """The database is changed in place, and no replacement of the other files touches it."""
    _fill_state(workdir / "serve.sqlite", ["by service", "u03", "another"])
    with sqlite.only_service(workdir / "serve.sqlite"), pytest.raises(Busy):
        forget(workdir, "by service")
    result = forget(workdir, "by service")
    assert (result.routers, result.rows, result.found) == ([], {workdir / "serve.sqlite": 2}, [])
    forget(workdir, "u03")
    with contextlib.closing(sqlite.connect(workdir / "serve.sqlite")) as database:
        assert [one.user_id for one in store.feedback_of(database)] == ["another"]
    assert IdSearch("by service").in_folder(workdir) == IdSearch("u03").in_folder(workdir) == []


class Killed(BaseException):
    """Stands for a kill."""


def test_a_stopped_call_leaves_the_old_or_the_new_router(workdir, tmp_path, monkeypatch):
    for path in _feedback(tmp_path / "with", ["other", ID]):
        update(workdir, path)
    before, old = _files(workdir), _answers(Router.load(workdir), ["other", ID])
    with monkeypatch.context() as patch:
        patch.setattr(forget_module, "append_again", _kill)
        with pytest.raises(Killed):
            forget(workdir, ID)
    assert _files(workdir) == before
    with monkeypatch.context() as patch:
        patch.setattr(replacement, "settle", _kill)
        with pytest.raises(Killed):
            forget(workdir, ID)
    assert _files(workdir).items() >= before.items()  # complete, and nothing is in its place yet
    new = _answers(Router.load(workdir), ["other", ID])
    assert new != old
    result = forget(workdir, ID)
    assert (result.completed, result.routers, result.found) == (True, [], [])
    assert _answers(Router.load(workdir), ["other", ID]) == new


def _kill(*_):
    raise Killed


# ---- The command, and training without the user.


@pytest.fixture(scope="module")
def tables(experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "mine"
    write_tables(build_embedded(experiment.data.embedded), folder)
    return folder


def _command(*arguments, module="launch.forget"):
    return processes.run([sys.executable, "-m", module, *(str(argument) for argument in arguments)], cwd=ROOT)


@pytest.mark.slow
def test_the_command_takes_the_user_out_of_the_source_and_its_training_line_works(experiment, tables, tmp_path):
    """The report of the router without the user can be written; a training without the user is the line's."""
    config, source = copy.deepcopy(experiment), shutil.copytree(tables, tmp_path / "source")
    config.data.source, config.data.path, config.train.refit = "tables", str(source), True
    run_experiment(config, tmp_path / "run")
    run = tmp_path / "run"
    done = _command(f"--workdir={run}", "--user=u03", f"--also={source}")
    assert (done.returncode, done.stderr) == (0, f"forget: reading the router in {run}\n")
    removed, rows, left, line, searched = done.stdout.splitlines()
    assert (
        removed == f"{run}: the user is removed: 25 decisions of the training data; updates with rows of the user: none"
    )
    assert rows == f"{source}: 26 rows removed"
    assert left.startswith("left: prior, scales and features of answers were fitted with these decisions as well; ")
    assert searched.endswith(" files: none holds it")
    assert "u03" not in read_tables(source).users.ids
    for part in (run, run / "refit"):
        assert "u03" not in load_world(part / "world").interactions.users.ids
    evaluate_experiment(run)
    assert "u03" not in (run / "report" / "report.json").read_text()
    command = line.split("then: prouter train ")[1].split(", and")[0].replace("NEW_FOLDER", str(tmp_path / "new"))
    done = _command(*command.split(), module="launch.train")
    assert done.returncode == 0, done.stderr
    other = copy.deepcopy(config)
    run_experiment(other, tmp_path / "direct")
    assert Router.load(tmp_path / "new").digest() == Router.load(tmp_path / "direct").digest()


def test_the_command_ends_with_1_if_a_file_still_holds_the_id(workdir, tmp_path):
    update(workdir, _feedback(tmp_path / "with", ["other", ID])[0])
    (workdir / "notes.txt").write_text(f"ask {ID}")
    done = _command(f"--workdir={workdir}", f"--user={ID}")
    assert done.returncode == 1
    removed, searched, found = done.stdout.splitlines()
    assert removed == f"{workdir}: the user is removed: updates with rows of the user: 1"
    assert searched.endswith("files: 1 hold it")
    assert found == f"still there: {workdir}/notes.txt: its text"
    done = _command(f"--workdir={workdir}", "--user=unknown")
    assert (done.returncode, done.stdout) == (1, "")
    assert "forget: " in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["tuned", "paper", "minibatches", "tuned in minibatches"])
def test_every_kind_of_network_forgets(experiment, tmp_path, change):
    config = copy.deepcopy(experiment)
    config.model.preset = {"minibatches": "em", "paper": "paper"}.get(change, "tuned")
    config.data.embedded.num_users = 40
    config.train.tuning_steps = 4
    if "minibatches" in change:
        config.train.users_per_step = 10
    run_experiment(config, tmp_path / "run")
    before = Router.load(tmp_path / "run")
    forget(tmp_path / "run", "u03")
    after = Router.load(tmp_path / "run")
    assert IdSearch("u03").in_folder(tmp_path / "run") == []
    assert after.score(["u03", "u04"], [TEXTS[0]] * 2).basis == ["cold_start", "history"]
    for name, value in before.trained.params.items():
        if name not in ("users", "has_history"):
            jax.tree.map(np.testing.assert_array_equal, value, after.trained.params[name])
    if "users" in before.trained.params:
        weights = before.users[3, : before.trained.params["users"].shape[1]]
        near = np.abs(np.asarray(after.trained.params["users"]) - weights).max(1)
        assert near.min() > 1e-6


def test_all_seeds_forget(workdir, tmp_path):
    runs = tmp_path / "runs"
    for seed in (0, 1):
        shutil.copytree(workdir, runs / f"seed_{seed}")
    shutil.copytree(workdir / "report", runs / "report")
    result = forget(runs, "u03")
    assert [one.workdir.name for one in result.routers] == ["seed_0", "seed_1"]
    assert not (runs / "report").exists()
    assert result.found == []


def test_a_run_in_a_bucket_forgets(workdir, tmp_path, bucket):
    from prouter_jax.io import files

    update(workdir, _feedback(tmp_path / "with", ["other", ID])[1])
    for name in files_below(workdir):
        files.write_whole(f"{bucket}/run/{name}", (workdir / name).read_bytes())
    forget(f"{bucket}/run", ID)
    forget(workdir, ID)
    assert _answers(Router.load(f"{bucket}/run")) == _answers(Router.load(workdir))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [5, 80, 160])
def test_a_killed_command_leaves_the_old_or_the_new_router(workdir, tmp_path, changes):
    update(workdir, _feedback(tmp_path / "with", ["other", ID])[3])
    forget(shutil.copytree(workdir, tmp_path / "new"), ID)
    old, new = (_answers(Router.load(folder), ["other", ID]) for folder in (workdir, tmp_path / "new"))
    flags = [f"--workdir={workdir}", f"--user={ID}"]
    done = processes.run_killed("launch.forget", workdir, changes, *flags)
    assert done.returncode == -signal.SIGKILL
    assert _answers(Router.load(workdir), ["other", ID]) in (old, new)
    forget(workdir, ID)
    assert _files(workdir) == _files(tmp_path / "new")
