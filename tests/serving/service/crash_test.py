"""The service in a process of its own: killed at random moments under load, and ended by SIGTERM."""

import functools
import signal
import threading
import time

import pytest
from serve_cases import open_service
from serve_load import Running, check_nothing_is_lost_or_doubled, load


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.sqlite"


def test_no_acknowledged_feedback_is_lost_or_counted_twice(path):
    check_nothing_is_lost_or_doubled(functools.partial(open_service, path), str(path), 3, seed=0)


@pytest.mark.slow
def test_no_acknowledged_feedback_is_lost_or_counted_twice_in_20_kills(path):
    check_nothing_is_lost_or_doubled(functools.partial(open_service, path), str(path), 20, seed=1)


def test_sigterm_answers_what_runs_and_ends_with_0(tmp_path):
    running = Running(str(tmp_path / "state.sqlite"))
    acknowledged, sent, stop = {}, {}, threading.Event()
    threads = [
        threading.Thread(target=load, args=(running.url, client, acknowledged, sent, stop)) for client in range(2)
    ]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 20:
        time.sleep(0.001)
    assert running.end(signal.SIGTERM) == 0
    for thread in threads:
        thread.join()
    service = open_service(tmp_path / "state.sqlite")
    assert sum(map(len, service.live.said.values())) >= len(acknowledged)
    service.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.sqlite"]  # no log, no lock is left
