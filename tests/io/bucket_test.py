"""Everything a run touches in a bucket: it comes to what the same run comes to on a disk."""

import copy
import importlib.util
import json
import pathlib
import shutil
import sys

import jax
import numpy as np
import processes
import pytest

from prouter_jax import Router
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.tables.additions import read_history
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.experiment import evaluate_experiment, run_experiment
from prouter_jax.io import files
from prouter_jax.io.paths import files_below, make_path
from prouter_jax.llm.journal import Journal, read_journal
from prouter_jax.llm.judges.llm_judge import StoredVerdict
from prouter_jax.training.checkpoint import Checkpoints
from prouter_jax.training.run import restore_best

ROOT = pathlib.Path(__file__).parents[2]


def _report(workdir) -> dict:
    report = json.loads((make_path(workdir) / "report" / "report.json").read_text())
    return {name: value for name, value in report.items() if name != "facts"}


def _params(config, workdir):
    return restore_best(config, Router.load(workdir).trained.network, make_path(workdir)).params


def _tables_of(folder):
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def test_a_run_in_a_bucket_is_the_run_on_a_disk(experiment, experiment_workdir, bucket, monkeypatch):
    workdir, save = f"{bucket}/runs/one", Checkpoints.save

    def save_until_8(self, step, *rest):
        if step == 8:
            raise KeyboardInterrupt
        save(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_until_8)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(experiment, workdir)
    run_experiment(experiment, workdir)
    assert _report(workdir) == _report(experiment_workdir)
    jax.tree.map(np.testing.assert_array_equal, _params(experiment, workdir), _params(experiment, experiment_workdir))
    lines = (make_path(workdir) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 8, 12]
    assert _tables_of(make_path(workdir) / "world") == _tables_of(experiment_workdir / "world")
    evaluate_experiment(workdir)
    assert _report(workdir) == _report(experiment_workdir)
    assert not (ROOT / "gs:").exists()


def test_one_of_several_seeds_in_a_bucket_is_named(experiment, bucket):
    files.write_whole(f"{bucket}/runs/ten/seed_3/config.json", "{}")
    with pytest.raises(ValueError, match=r"gs://bucket/runs/ten: expected .* found none; it holds seed_3: name one"):
        Router.load(f"{bucket}/runs/ten")


@pytest.mark.parametrize("scheme", ["file", "bucket"])
def test_tables_and_a_run_on_them_by_url(experiment, bucket, tmp_path, scheme):
    place = bucket if scheme == "bucket" else tmp_path.as_uri()
    data = build_embedded(experiment.data.embedded)
    write_tables(data, f"{place}/tables")
    write_tables(data, tmp_path / "here")
    assert _tables_of(make_path(f"{place}/tables")) == _tables_of(tmp_path / "here")
    again = read_tables(f"{place}/tables")
    np.testing.assert_array_equal(again.queries.ids, data.queries.ids)
    config = copy.deepcopy(experiment)
    config.data.source, config.data.path, config.name = "tables", f"{place}/tables", "by url"
    config.train.num_train_steps = 4
    run_experiment(config, f"{place}/run")
    router = Router.load(f"{place}/run")
    assert router.score(users=[str(data.users.ids[0])], queries=["How?"]).error == [None]


def test_a_history_in_a_bucket(two_users, bucket):
    files.write_whole(f"{bucket}/h.csv", "user_id,query,llm\nw,1+1,b\n")
    assert list(read_history(f"{bucket}/h.csv", two_users).users.ids) == ["u", "v", "w"]


def test_verdicts_stay_on_this_machine(bucket):
    for opens in (Journal, read_journal):
        with pytest.raises(ValueError, match=r"^gs://bucket/v\.jsonl: expected a folder of this machine for a file"):
            opens(f"{bucket}/v.jsonl", StoredVerdict, "a verdict")


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is not None, reason="gcsfs is installed")
@pytest.mark.parametrize(
    "command", ["train --config=experiments/embedded.py", "score --input=experiments/pairs.jsonl --output=b.jsonl"]
)
def test_without_the_extra_a_bucket_is_one_line(command):
    arguments = [sys.executable, "-m", *f"launch.{command} --workdir=gs://bucket/run".split()]
    done = processes.run(arguments, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.endswith("gs://bucket/run: pip install 'prouter-jax[gcs]' to use gs://\n")
    assert len(done.stderr.splitlines()) == 1


def test_a_table_of_the_protocol_needs_this_machine():
    arguments = [sys.executable, "-m", "launch.reproduce", "--table=embedded", "--workdir=gs://bucket/run"]
    done = processes.run(arguments, cwd=ROOT)
    assert done.returncode == 1
    assert "gs://bucket/run: " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_disk_that_fills_up_ends_a_run_in_one_line_and_room_lets_it_go_on(
    experiment, experiment_workdir, small_disk, monkeypatch
):
    workdir, save = small_disk / "run", Checkpoints.save

    def save_and_fill(self, *rest):
        save(self, *rest)
        (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_fill)
        with pytest.raises(OSError, match=rf"{workdir}.*No space left|No space left.*{workdir}") as raised:
            run_experiment(experiment, workdir)
    assert "\n" not in str(raised.value)
    (small_disk / "ballast").unlink()
    run_experiment(experiment, workdir)
    assert _report(workdir) == _report(experiment_workdir)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 8, 12]
