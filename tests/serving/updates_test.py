"""Updates: an updated router scores like one that was loaded with the same feedback, and the drift is reported."""

import copy
import itertools
import json
import pathlib
import shutil
import signal
import sys

import numpy as np
import processes
import pytest

from prouter_jax import Router
from prouter_jax.config import from_json
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.experiment import train_experiment
from prouter_jax.io.locks import Busy, lock_folder
from prouter_jax.io.paths import files_below
from prouter_jax.serving import updates
from prouter_jax.serving.drift_report import advise, find_alarms, to_json, to_markdown
from prouter_jax.serving.root_digest import write_root
from prouter_jax.serving.update_log import read_updates
from prouter_jax.serving.updates import update

ROOT = pathlib.Path(__file__).parents[2]
TEXT = "How many apples are left if Grace gives away seven of her twenty?"


@pytest.fixture
def workdir(experiment_workdir, tmp_path):
    return shutil.copytree(experiment_workdir, tmp_path / "run")


def _write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _rows(experiment, part="test", seed=0):
    """Decisions of one part of the split, as rows of a feedback file."""
    dataset = prepare_dataset(read_source(experiment.data), experiment.data, seed)
    data, chosen = dataset.data, dataset.labelled(part).decisions
    names, tasks = data.llms.ids, data.tasks.ids
    return [
        {
            "user_id": data.users.ids[user],
            "query": data.queries.texts[query],
            "task_id": tasks[data.queries.task[query]],
            "llm": names[target.argmax()],
            "candidates": "|".join(names[offered]),
        }
        for user, query, offered, target in zip(chosen.user, chosen.query, chosen.offered, chosen.target, strict=True)
    ]


@pytest.fixture(scope="module")
def held_out(experiment):
    return _rows(experiment)


def _answers(router):
    users = [*router.interactions.users.ids, "no one"]
    scores = router.score(users * 2, [TEXT] * len(users) + ["Write a poem"] * len(users))
    return scores.probabilities, scores.basis


def _assert_update_equals_history(workdir, feedback, llms=None):
    expected = Router.load(workdir)
    if llms is not None:
        expected = expected.with_llms(llms)
    expected = expected.with_history(feedback)
    (updated,) = update(workdir, feedback, llms)
    assert updated.folder == read_updates(workdir)[-1].folder
    found = Router.load(workdir)
    assert _answers(found) == _answers(expected)
    assert found.digest() == expected.digest()
    return found


def test_an_updated_router_scores_as_one_with_the_same_history(workdir, held_out, tmp_path):
    """To the last bit."""
    before = _answers(Router.load(workdir))
    path = _write(tmp_path / "new.jsonl", [*held_out, held_out[0] | {"user_id": "new"}])
    found = _assert_update_equals_history(workdir, path)
    assert _answers(found) != before
    assert found.score(["new"], [TEXT]).basis == ["history"]


@pytest.mark.slow
def test_update_after_update_and_llms_before_the_feedback_on_them(workdir, held_out, tmp_path):
    half = len(held_out) // 2
    _assert_update_equals_history(workdir, _write(tmp_path / "first.jsonl", held_out[:half]))
    known = Router.load(workdir).llms[0]
    llms = _write(tmp_path / "llms" / "llms.jsonl", [{"llm": "new-llm", "description": "new"}, {"llm": known}]).parent
    liked = [row | {"llm": "new-llm", "candidates": None} for row in held_out[:2]]
    second = _write(tmp_path / "second.jsonl", [*held_out[half:], *liked])
    assert _assert_update_equals_history(workdir, second, llms).llms[-1] == "new-llm"
    _assert_update_equals_history(workdir, _write(tmp_path / "third.jsonl", [held_out[3] | {"user_id": "another"}]))


def test_the_same_file_is_appended_once(workdir, held_out, tmp_path):
    path = _write(tmp_path / "new.jsonl", held_out)
    (first,) = update(workdir, path)
    before = files_below(workdir)
    (again,) = update(workdir, path)
    assert (again.drift, again.folder) == (None, first.folder)
    assert files_below(workdir) == before


def test_a_dry_run_and_a_bad_file_write_nothing(workdir, held_out, tmp_path):
    before = files_below(workdir)
    (result,) = update(workdir, _write(tmp_path / "new.jsonl", held_out), dry_run=True)
    assert result.folder is None
    assert result.drift.decisions == len({(row["user_id"], row["query"]) for row in held_out})
    bad = _write(tmp_path / "bad.jsonl", [held_out[0], held_out[1] | {"llm": "no one"}])
    with pytest.raises(ValueError, match=r"table bad\.jsonl, column llm, row 1: expected an llm .*, found 'no one'"):
        update(workdir, bad, strict=True)
    with pytest.raises(
        ValueError, match="expected rows that can be used, found none: 1 with an LLM in llm that is unk"
    ):
        update(workdir, _write(tmp_path / "worse.jsonl", [held_out[1] | {"llm": "no one"}]))
    assert files_below(workdir) == before


def test_rows_of_an_unknown_llm_are_left_out_of_an_update(workdir, held_out, tmp_path, capsys):
    rows = [held_out[0], held_out[1] | {"llm": "no one"}, held_out[1]]
    (result,) = update(workdir, _write(tmp_path / "mixed.jsonl", rows))
    assert result.drift.decisions == 2
    assert "table mixed.jsonl: rows left out: 1 with an LLM in llm that is unknown" in capsys.readouterr().err
    loaded = Router.load(workdir)
    assert capsys.readouterr().err == ""
    trained = Router.load_trained(updates.served_folder(workdir))
    expected = trained.with_history(_write(tmp_path / "two.jsonl", held_out[:2]))
    assert list(loaded.users[-1]) == list(expected.users[-1])


def test_a_file_that_changes_meanwhile_is_not_appended(workdir, held_out, tmp_path, monkeypatch):
    path = _write(tmp_path / "new.jsonl", held_out)

    def measure_and_write(*_):
        _write(path, held_out[1:])

    monkeypatch.setattr("prouter_jax.serving.updates.measure_drift", measure_and_write)
    with pytest.raises(ValueError, match="expected the same while it was read and measured, found it changed"):
        update(workdir, path)
    assert read_updates(workdir) == []


def test_of_two_updates_at_once_one_is_refused_and_the_router_loads(workdir, held_out, tmp_path, monkeypatch):
    """The second comes while the first measures, when it has read which updates there are."""
    measure, refused = updates.measure_drift, []

    def measure_twice(*arguments):
        for path in (tmp_path / "first.jsonl", tmp_path / "second.jsonl"):
            with pytest.raises(Busy, match="expected no other command that writes here"):
                update(workdir, path)
            refused.append(path)
        return measure(*arguments)

    first = _write(tmp_path / "first.jsonl", held_out)
    second = _write(tmp_path / "second.jsonl", [held_out[0] | {"user_id": "new"}])
    monkeypatch.setattr(updates, "measure_drift", measure_twice)
    update(workdir, first)
    assert refused == [first, second]
    monkeypatch.setattr(updates, "measure_drift", measure)
    update(workdir, second)
    Router.load(workdir)
    assert [record.number for record in read_updates(workdir)] == [1, 2]
    with lock_folder(workdir), pytest.raises(Busy):
        train_experiment(from_json((workdir / "config.json").read_text()), workdir)


def test_training_and_its_data_are_as_they_were(workdir, experiment, held_out, tmp_path):
    before = {name: (workdir / name).read_bytes() for name in files_below(workdir)}
    update(workdir, _write(tmp_path / "new.jsonl", held_out))
    assert {name for name in before if (workdir / name).read_bytes() != before[name]} == {"root.json"}
    train_experiment(experiment, workdir)  # it goes on from where it was: there is nothing to do


def test_all_seeds_are_updated_and_an_updated_one_is_skipped(workdir, held_out, tmp_path):
    runs, path = tmp_path / "runs", _write(tmp_path / "new.jsonl", held_out)
    for seed in (0, 2, 10):
        shutil.copytree(workdir, runs / f"seed_{seed}")
    update(runs / "seed_0", path)
    found = update(runs, path)
    assert [one.workdir.name for one in found] == ["seed_0", "seed_2", "seed_10"]
    assert [one.drift is None for one in found] == [True, False, False]
    with pytest.raises(ValueError, match=r"expected a trained router with config\.json, found none"):
        update(tmp_path / "none", path)


def test_the_report_is_written_as_json_and_as_a_page(workdir, held_out, tmp_path):
    (updated,) = update(workdir, _write(tmp_path / "new.jsonl", [*held_out, held_out[0] | {"user_id": "new"}]))
    values = json.loads((updated.folder / "drift.json").read_text())
    assert values == json.loads(to_json(updated.drift))
    assert (values["users"]["new"], values["decisions"]) == (1, updated.drift.decisions)
    assert values["validation"]["decisions"] > 0
    assert values["queries"]["new"] == values["queries"]["queries"] == len({row["query"] for row in held_out})
    page = (updated.folder / "drift.md").read_text()
    assert page == to_markdown(updated.drift, "Update 1: drift since training")
    assert values["advice"] in page
    assert "| users without training decisions | 1 |" in page


def test_decisions_that_were_made_before_are_counted(workdir, held_out, tmp_path):
    update(workdir, _write(tmp_path / "one.jsonl", held_out[:20]))
    (updated,) = update(workdir, _write(tmp_path / "two.jsonl", held_out[10:40]))
    assert updated.drift.repeated == 10


def test_too_few_decisions_give_no_advice(workdir, held_out, tmp_path):
    (result,) = update(workdir, _write(tmp_path / "new.jsonl", held_out[:5]), dry_run=True)
    assert advise(result.drift) == "Too few decisions (5, of at least 30): no advice."


def test_a_run_without_a_recorded_fit_has_no_fit_alarms(workdir, held_out, tmp_path):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    old = [{name: line[name] for name in ("step", "validation_reward", "best_validation_reward")} for line in lines]
    _write(workdir / "metrics.jsonl", old)
    write_root(workdir, "hash")
    (result,) = update(workdir, _write(tmp_path / "new.jsonl", held_out), dry_run=True)
    assert result.drift.validation is None
    assert not [alarm for alarm in find_alarms(result.drift) if "loss" in alarm or "calibration" in alarm]
    assert "| log loss |" in to_markdown(result.drift, "x")


def test_ratings_and_known_queries_are_feedback_too(workdir, tmp_path):
    router = Router.load(workdir)
    rows = [
        {"user_id": user, "query_id": query, "llm": llm, "rating": float(place)}
        for user in ("u00", "rater")
        for query in router.interactions.queries.ids[:20]
        for place, llm in enumerate(router.llms[:3])
    ]
    (result,) = update(workdir, _write(tmp_path / "new.jsonl", rows), dry_run=True)
    assert (result.drift.decisions, result.drift.queries.new, result.drift.queries.far) == (40, 0, 0)
    assert result.drift.choices.shifts[2].found == 1


def test_a_run_in_a_bucket_is_updated_there(workdir, held_out, tmp_path, bucket):
    from prouter_jax.io import files

    for name in files_below(workdir):
        files.write_whole(f"{bucket}/run/{name}", (workdir / name).read_bytes())
    path = _write(tmp_path / "new.jsonl", held_out)
    update(f"{bucket}/run", path)
    assert _answers(Router.load(f"{bucket}/run")) == _answers(Router.load(workdir).with_history(path))


# ---- The command.


def _command(*arguments):
    return [sys.executable, "-m", "launch.update", *(str(argument) for argument in arguments)]


def test_the_command_reports_and_appends(workdir, held_out, tmp_path):
    path = _write(tmp_path / "new.jsonl", held_out)
    command = _command(f"--workdir={workdir}", f"--feedback={path}")
    done = processes.run(command, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, f"update: reading {path} and the router in {workdir}\n")
    new, advice, appended = done.stdout.splitlines()
    assert new.startswith(f"{workdir}: {len(held_out)} decisions of ")
    folder = read_updates(workdir)[0].folder
    assert appended == f"appended: {folder}; drift report: {folder}/drift.md"
    assert advice.removeprefix(f"{workdir}: ") in (folder / "drift.md").read_text()
    done = processes.run([*command, "--dry_run"], cwd=ROOT)
    assert "the same feedback was added before" in done.stdout


def test_the_command_prints_the_whole_report_where_it_is_asked_for(workdir, held_out, tmp_path):
    path = _write(tmp_path / "new.jsonl", held_out)
    command = _command(f"--workdir={workdir}", f"--feedback={path}", "--dry_run")
    assert processes.run(command, cwd=ROOT).stdout.endswith(
        "nothing was written; --full prints the whole drift report\n"
    )
    done = processes.run([*command, "--full"], cwd=ROOT)
    assert done.stdout.startswith(f"# {workdir}: drift since training\n")
    assert done.stdout.endswith("\nnothing was written\n")


@pytest.mark.slow
def test_a_killed_update_leaves_the_old_or_the_new_router(workdir, held_out, tmp_path):
    path = _write(tmp_path / "new.jsonl", held_out)
    old, folder = _answers(Router.load(workdir)), workdir / "updates"
    new, seen = _answers(Router.load(workdir).with_history(path)), []
    flags = [f"--workdir={workdir}", f"--feedback={path}"]
    for changes in itertools.count(0, 2):
        shutil.rmtree(folder, ignore_errors=True)
        done = processes.run_killed("launch.update", folder, changes, *flags)
        found = _answers(Router.load(workdir))
        assert found in (old, new)
        seen.append(found == new)
        if done.returncode != -signal.SIGKILL:
            break
    assert (done.returncode, seen[0], seen[-1]) == (0, False, True)
    assert len(seen) > 5
    update(workdir, path)
    assert _answers(Router.load(workdir)) == new


# ---- Alarms.


@pytest.fixture(scope="module")
def larger(experiment, tmp_path_factory):
    """Three seeds of an experiment with enough users for significant drift, and the test decisions of each."""
    config = copy.deepcopy(experiment)
    config.name, config.seeds, config.data.encoder = "larger", 3, "wordllama"
    config.data.embedded.num_queries, config.data.embedded.num_users = 400, 60
    config.data.embedded.decisions_per_user = 60
    workdir = tmp_path_factory.mktemp("larger") / "run"
    train_experiment(config, workdir)
    return [(workdir / f"seed_{seed}", _rows(config, "test", seed)) for seed in range(3)]


def _alarms(workdir, rows, tmp_path):
    (result,) = update(workdir, _write(tmp_path / "stream.jsonl", rows), dry_run=True)
    return find_alarms(result.drift)


@pytest.mark.slow
def test_an_unchanged_stream_gives_no_alarm_and_planted_drift_does(larger, tmp_path):
    for workdir, rows in larger:
        assert _alarms(workdir, rows, tmp_path) == []
        router = Router.load(workdir)
        topics = [row | {"query": f"Translate verse {i} of the Edda into Basque dialect"} for i, row in enumerate(rows)]
        assert any("far from all training queries" in alarm for alarm in _alarms(workdir, topics, tmp_path))
        scores = router.score([row["user_id"] for row in rows], [row["query"] for row in rows])
        flipped = []
        for row, shares in zip(rows, scores.probabilities, strict=True):
            flipped.append(row | {"llm": min(row["candidates"].split("|"), key=shares.__getitem__)})
        assert any("log loss" in alarm for alarm in _alarms(workdir, flipped, tmp_path))
        people = [row | {"user_id": f"new {row['user_id']}"} if i % 2 else row for i, row in enumerate(rows)]
        assert any("users that have no training decisions" in alarm for alarm in _alarms(workdir, people, tmp_path))
        favourite = router.llms[3]
        fad = [
            row | {"llm": favourite} if i % 3 == 0 and favourite in row["candidates"] else row
            for i, row in enumerate(rows)
        ]
        assert any("moved to other LLMs" in alarm for alarm in _alarms(workdir, fad, tmp_path))


def test_half_a_stream_of_another_kind_is_an_alarm(workdir, held_out, tmp_path):
    """The quick form of the slow test on three seeds."""
    people = [row | {"user_id": f"new {row['user_id']}"} for row in held_out]
    assert any("users that have no training decisions" in alarm for alarm in _alarms(workdir, people, tmp_path))
    assert np.isfinite(
        update(workdir, tmp_path / "stream.jsonl", dry_run=True)[0].drift.calibration.calibration_error_limit
    )
