"""Two commands at once on one folder; `python -m tests.faults pairs` races those on a router as well, more often."""

import pytest
from faults.cases import echo, race_on_tables
from faults.cases_of_training import race_on_router, race_on_training, train
from faults.pairs import race_all
from faults.warm import Warm
from judge_server import JudgeServer


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    with Warm(tmp_path_factory.mktemp("first")) as first, Warm(tmp_path_factory.mktemp("second")) as second:
        yield first, second


def test_pairs_of_commands_on_tables(warm, tmp_path):
    with JudgeServer(echo) as server:
        prepare, commands, state = race_on_tables(server)
        raced = race_all(warm, prepare, commands, state, tmp_path, 2)
    assert not raced.wrong, "\n".join(raced.wrong)
    assert raced.rounds == 20
    assert raced.ended["one"] > 0


@pytest.mark.slow
def test_two_updates_at_once(warm, tmp_path, experiment_workdir):
    prepare, commands, state = race_on_router(experiment_workdir)
    updates = {name: commands[name] for name in ("update", "other update")}
    raced = race_all(warm, prepare, updates, state, tmp_path, 3)
    assert not raced.wrong, "\n".join(raced.wrong)


@pytest.mark.slow
def test_train_and_update_at_once(warm, tmp_path):
    ended = warm[0].run(train(tmp_path))
    assert ended.code == 0, ended.said
    prepare, commands, state = race_on_training(tmp_path / "run")
    raced = race_all(warm, prepare, commands, state, tmp_path / "raced", 1)
    assert not raced.wrong, "\n".join(raced.wrong)
