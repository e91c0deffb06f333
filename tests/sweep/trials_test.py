"""Validation rewards of runs, and the folder of a sweep: of one sweep, locked by one process, complete records."""

import json
import shutil

import pytest
from sweep_cases import finish, small_config

from prouter_jax.config import ExperimentConfig
from prouter_jax.sweep.space import parse_space
from prouter_jax.sweep.trials import DONE, SweepSpec, Trial, TrialStore, intermediate_rewards, validation_rewards


def test_a_real_run_has_them(experiment, experiment_workdir):
    [reward] = validation_rewards(experiment, experiment_workdir)
    reports = intermediate_rewards(experiment, experiment_workdir)
    assert [step for step, _ in reports] == [4, 8, 12]
    assert reward == pytest.approx(max(best for _, best in reports))
    assert 0 < reward < 1


def test_the_test_set_does_not_matter(experiment, experiment_workdir, tmp_path):
    workdir = shutil.copytree(experiment_workdir, tmp_path / "run")
    before = validation_rewards(experiment, workdir), intermediate_rewards(experiment, workdir)
    report = json.loads((workdir / "report" / "report.json").read_text())
    for policy in report["policies"].values():
        policy["reward"] = {"mean": 1e9, "spread": 0.0, "values": [1e9]}
    (workdir / "report" / "report.json").write_text(json.dumps(report))
    assert (validation_rewards(experiment, workdir), intermediate_rewards(experiment, workdir)) == before
    shutil.rmtree(workdir / "report")
    assert (validation_rewards(experiment, workdir), intermediate_rewards(experiment, workdir)) == before


def test_on_the_way_seeds_follow_one_another_and_the_reward_is_the_mean_so_far(tmp_path):
    config = small_config(seeds=2, steps=3)
    finish(config, tmp_path, {}, lambda values, seed: (0.3, 0.6)[seed], steps=5)
    reports = intermediate_rewards(config, tmp_path)
    assert [step for step, _ in reports] == [1, 2, 3, 4, 5]
    assert [reward for _, reward in reports] == pytest.approx([0.1, 0.2, 0.3, (0.3 + 0.2) / 2, (0.3 + 0.4) / 2])


def test_a_line_that_is_being_written_is_not_read_yet(tmp_path):
    config = small_config(seeds=1)
    finish(config, tmp_path, {}, lambda values, seed: 0.3, steps=2)
    with open(tmp_path / "seed_0" / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "best_vali')
    assert [step for step, _ in intermediate_rewards(config, tmp_path)] == [1, 2]
    assert intermediate_rewards(config, tmp_path / "nothing") == []


def test_a_reward_that_is_missing_or_damaged_is_none(tmp_path):
    config = small_config(seeds=2)
    finish(config, tmp_path, {}, lambda values, seed: 0.3, steps=6)
    assert validation_rewards(config, tmp_path) == [0.3, 0.3]
    best = tmp_path / "seed_1" / "checkpoints" / "best.json"
    best.write_text(best.read_text().replace("0.3", "0.9"))
    with pytest.raises(ValueError, match=r"seed_1/checkpoints/best\.json: SHA-256 differs"):
        validation_rewards(config, tmp_path)
    best.unlink()
    with pytest.raises(ValueError, match=r"seed_1/checkpoints/best\.json: missing"):
        validation_rewards(config, tmp_path)
    with pytest.raises(ValueError, match="expected the configuration of the trial, found another"):
        validation_rewards(small_config(seeds=1), tmp_path)
    with pytest.raises(ValueError, match="expected the configuration of the trial, found none"):
        validation_rewards(config, tmp_path / "seed_1")


CONFIG = ExperimentConfig()
SPACE = parse_space(["model.factor_dim=1,2"], CONFIG)
SPEC = SweepSpec(CONFIG, SPACE, "grid", 0)


def test_trials_are_read_as_they_were_written_and_no_more_than_asked_for(tmp_path):
    store = TrialStore(tmp_path)
    first = Trial(7, {"model.factor_dim": 1, "model.head": "dot"}, DONE, 1, "odd", [0.1, 1 / 3], 12.5)
    store.write(first)
    store.write(Trial(1234, {"model.query_kernel.noise": 0.1}))
    assert store.read(1235) == {7: first, 1234: Trial(1234, {"model.query_kernel.noise": 0.1}, rewards=[])}
    assert list(store.read(1234)) == [7]
    assert store.folder(first) == tmp_path / "trials" / "007"


def test_a_folder_is_of_one_sweep(tmp_path):
    store = TrialStore(tmp_path / "sweep")
    for _ in range(2):
        with store.locked(SPEC):
            pass
    wider, other = parse_space(["model.factor_dim=1,2,3"], CONFIG), ExperimentConfig(seeds=3)
    for changed in ((CONFIG, SPACE, "grid", 1), (CONFIG, SPACE, "random", 0), (CONFIG, wider, "grid", 0),
                    (other, SPACE, "grid", 0)):  # fmt: skip
        with pytest.raises(ValueError, match=r"expected the sweep it was begun with .*name another --workdir"):
            store.check(SweepSpec(*changed))


def test_a_folder_is_of_one_process_at_a_time(tmp_path):
    store = TrialStore(tmp_path)
    first, second = store.locked(SPEC), store.locked(SPEC)
    with first, pytest.raises(ValueError, match="expected a sweep that is not running"), second:
        pass
    with store.locked(SPEC):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.json"}
