"""A kill, a full disk or an I/O error at any file operation of a command: the next run ends as if undisturbed.

`python -m tests.faults kills` does it at every operation.
"""

import pytest
from faults.cases import collect_case, echo, file_cases, router_cases
from faults.cases_of_service import serve_case
from faults.cases_of_training import train_case
from faults.sweep import Found, sweep
from faults.system_calls import is_supported
from faults.warm import Warm
from judge_server import JudgeServer

pytestmark = pytest.mark.skipif(not is_supported(), reason="calls are counted on Linux and x86-64 with seccomp")


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    with Warm(tmp_path_factory.mktemp("warm")) as warm:
        yield warm


def _check(found: Found) -> None:
    assert not found.wrong, "\n".join(found.wrong)
    assert found.operations >= 5
    assert found.ended["killed"] == found.runs["kill"] > 0
    assert found.ended["one line"] > 0


@pytest.mark.parametrize("name", ["logs", "convert"])
def test_some_faults_of_commands_on_tables(warm, tmp_path, name):
    _check(sweep(warm, file_cases()[name], tmp_path, most=3))


def test_some_faults_of_collect(warm, tmp_path):
    with JudgeServer(echo) as server:
        _check(sweep(warm, collect_case(server), tmp_path, most=3))


def test_some_faults_of_serve(warm, tmp_path):
    _check(sweep(warm, serve_case(), tmp_path, most=3))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logs", "convert"])
def test_all_faults_of_commands_on_tables(warm, tmp_path, name):
    _check(sweep(warm, file_cases()[name], tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["update", "score", "join"])
def test_some_faults_of_commands_on_a_router(warm, tmp_path, experiment_workdir, name):
    _check(sweep(warm, router_cases(experiment_workdir, warm)[name], tmp_path, most=5))


@pytest.mark.slow
def test_some_faults_of_train(warm, tmp_path):
    _check(sweep(warm, train_case(), tmp_path, most=3))
