"""Made-up data through every reader; `python -m tests.faults fuzz` reads 10,000 inputs."""

import collections

import pytest
from faults.doors_of_data import doors_of_data
from faults.doors_of_llms import doors_of_llms
from faults.doors_of_routers import doors_of_router
from faults.fuzz import Fuzzed, fuzz
from judge_server import JudgeServer

from prouter_jax import Router


def _check(found: Fuzzed) -> None:
    assert not found.wrong, "\n\n".join(found.wrong)
    ended = sum(found.ended.values(), collections.Counter())
    assert min(ended["read"], ended["refused"]) > ended.total() / 10  # neither too mild nor too wild


def test_readers_of_data(tmp_path):
    _check(fuzz(doors_of_data(), range(60), tmp_path))


def test_readers_of_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with JudgeServer(None) as server:
        _check(fuzz(doors_of_llms(server), range(60), tmp_path))


@pytest.fixture(scope="module")
def router(experiment_workdir):
    return Router.load(experiment_workdir)


def test_readers_of_a_router(router, tmp_path):
    _check(fuzz(doors_of_router(router), range(40), tmp_path))
