"""A sweep's folder: of one sweep, of one process at a time, and whole."""

import pytest

from prouter_jax.config import ExperimentConfig
from prouter_jax.sweep.space import parse_space
from prouter_jax.sweep.trials import DONE, Trial, TrialFolders

CONFIG = ExperimentConfig()
SPACE = parse_space(["model.taste_dim=1,2"], CONFIG)


def test_trials_are_read_as_they_were_written_and_no_more_than_asked_for(tmp_path):
    folders = TrialFolders(tmp_path)
    first = Trial(7, {"model.taste_dim": 1, "model.head": "dot"}, DONE, 1, "odd", [0.1, 1 / 3], 12.5)
    folders.write(first)
    folders.write(Trial(1234, {"model.near.noise": 0.1}))
    assert folders.read(1235) == {7: first, 1234: Trial(1234, {"model.near.noise": 0.1}, rewards=[])}
    assert list(folders.read(1234)) == [7]
    assert folders.folder(first) == tmp_path / "trials" / "007"


def test_a_folder_is_of_one_sweep(tmp_path):
    folders = TrialFolders(tmp_path / "sweep")
    with folders.claim(CONFIG, SPACE, "grid", 0):
        pass
    with folders.claim(CONFIG, SPACE, "grid", 0):
        pass
    wider, other = parse_space(["model.taste_dim=1,2,3"], CONFIG), ExperimentConfig(seeds=3)
    for changed in ((CONFIG, SPACE, "grid", 1), (CONFIG, SPACE, "random", 0), (CONFIG, wider, "grid", 0),
                    (other, SPACE, "grid", 0)):  # fmt: skip
        with pytest.raises(ValueError, match=r"expected the sweep it was begun with .*name another --workdir"):
            folders.check(*changed)


def test_a_folder_is_of_one_process_at_a_time(tmp_path):
    folders = TrialFolders(tmp_path)
    mine, yours = (folders.claim(CONFIG, SPACE, "grid", 0) for _ in range(2))
    with mine, pytest.raises(ValueError, match="expected a sweep that nobody is at"), yours:
        pass
    with folders.claim(CONFIG, SPACE, "grid", 0):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.json"}
