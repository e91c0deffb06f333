"""Where a trial's validation rewards come from: what a real run left, and what it would not be without."""

import json
import shutil

import pytest
from sweep_cases import finish, small_config

from prouter_jax.sweep.rewards import read_reports, read_rewards


def test_a_real_run_has_them(experiment, experiment_workdir):
    [reward] = read_rewards(experiment, experiment_workdir)
    reports = read_reports(experiment, experiment_workdir)
    assert [step for step, _ in reports] == [4, 8, 12]
    assert reward == pytest.approx(max(best for _, best in reports))
    assert 0 < reward < 1


def test_the_test_set_does_not_matter(experiment, experiment_workdir, tmp_path):
    workdir = shutil.copytree(experiment_workdir, tmp_path / "run")
    before = read_rewards(experiment, workdir), read_reports(experiment, workdir)
    report = json.loads((workdir / "report" / "report.json").read_text())
    for policy in report["policies"].values():
        policy["reward"] = {"mean": 1e9, "spread": 0.0, "values": [1e9]}
    (workdir / "report" / "report.json").write_text(json.dumps(report))
    assert (read_rewards(experiment, workdir), read_reports(experiment, workdir)) == before
    shutil.rmtree(workdir / "report")
    assert (read_rewards(experiment, workdir), read_reports(experiment, workdir)) == before


def test_on_the_way_seeds_follow_one_another_and_the_reward_is_the_mean_so_far(tmp_path):
    config = small_config(seeds=2, steps=3)
    finish(config, tmp_path, {}, lambda values, seed: (0.3, 0.6)[seed], steps=5)
    reports = read_reports(config, tmp_path)
    assert [step for step, _ in reports] == [1, 2, 3, 4, 5]
    assert [reward for _, reward in reports] == pytest.approx([0.1, 0.2, 0.3, (0.3 + 0.2) / 2, (0.3 + 0.4) / 2])


def test_a_line_that_is_being_written_is_not_read_yet(tmp_path):
    config = small_config(seeds=1)
    finish(config, tmp_path, {}, lambda values, seed: 0.3, steps=2)
    with open(tmp_path / "seed_0" / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "best_vali')
    assert [step for step, _ in read_reports(config, tmp_path)] == [1, 2]
    assert read_reports(config, tmp_path / "nothing") == []


def test_a_reward_that_is_missing_or_damaged_is_none(tmp_path):
    config = small_config(seeds=2)
    finish(config, tmp_path, {}, lambda values, seed: 0.3, steps=6)
    assert read_rewards(config, tmp_path) == [0.3, 0.3]
    best = tmp_path / "seed_1" / "checkpoints" / "best.json"
    best.write_text(best.read_text().replace("0.3", "0.9"))
    with pytest.raises(ValueError, match=r"seed_1/checkpoints/best\.json: SHA-256 differs"):
        read_rewards(config, tmp_path)
    best.unlink()
    with pytest.raises(ValueError, match=r"seed_1/checkpoints/best\.json: missing"):
        read_rewards(config, tmp_path)
    with pytest.raises(ValueError, match="expected the configuration of the trial, found another"):
        read_rewards(small_config(seeds=1), tmp_path)
    with pytest.raises(ValueError, match="expected the configuration of the trial, found none"):
        read_rewards(config, tmp_path / "seed_1")
