"""The service in a process of its own: killed at random moments under load, and ended by SIGTERM."""

import collections
import json
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import httpx2
import pytest
from processes import HANG, ROOT
from serve_cases import open_service

_CLIENTS = 8


class Running:
    """A service in a process."""

    def __init__(self, path: pathlib.Path):
        command = [sys.executable, str(ROOT / "tests" / "serve_process.py"), str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = json.loads(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{line['port']}"
        self._reader = threading.Thread(target=self.process.stdout.read)  # so that nobody waits to write
        self._reader.start()

    def end(self, number: signal.Signals) -> int:
        """Sends a signal; returns the exit code."""
        self.process.send_signal(number)
        self._reader.join()
        self.process.stdout.close()
        return self.process.wait(HANG)


def _load(url: str, client: int, acknowledged: dict[str, dict], sent: dict[str, dict], stop: threading.Event) -> None:
    """Sends feedback, on decisions and on queries, until the service is gone; a failed one is sent again later."""
    session = httpx2.Client(base_url=url, timeout=HANG)
    again = [id_ for id_ in list(sent) if id_.startswith(f"{client}.") and id_ not in acknowledged]
    number = sum(id_.startswith(f"{client}.") for id_ in list(sent))
    try:
        while not stop.is_set():
            id_ = again.pop() if again else f"{client}.{number}"
            number += id_ not in sent
            body = sent.setdefault(
                id_, {"id": id_, "user": f"u{client}", "query": id_, "model": "birch", "thumb": "up"}
            )
            answer = session.post("/v1/feedback", json=body)
            assert answer.status_code == 200, answer.text
            acknowledged[id_] = answer.json()
            if number % 5 == 0:
                session.post("/v1/route", json={"user": f"u{client}", "query": "x", "session": "s"})
    except httpx2.TransportError:
        pass


def _kill_under_load(path: pathlib.Path, times: int, seed: int) -> tuple[dict, dict]:
    rng, acknowledged, sent = random.Random(seed), {}, {}
    for _ in range(times):
        running, stop = Running(path), threading.Event()
        before = len(acknowledged)
        threads = [
            threading.Thread(target=_load, args=(running.url, client, acknowledged, sent, stop))
            for client in range(_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        while len(acknowledged) < before + 20:  # it is at work
            assert running.process.poll() is None
            assert all(thread.is_alive() for thread in threads)
            time.sleep(0.001)
        time.sleep(rng.random() * 0.3)
        running.end(signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join()
    return acknowledged, sent


def _check_nothing_is_lost_or_doubled(path, times, seed):
    acknowledged, sent = _kill_under_load(path, times, seed)
    service = open_service(path)
    told = [one for user in service.live.said.values() for one in user]
    rows = [row for client in range(_CLIENTS) for row in service.history(f"u{client}").result()[1]]
    service.close()
    counts = collections.Counter(row.id for row in rows)
    assert set(acknowledged) <= set(counts) <= set(sent)
    assert set(counts.values()) == {1}
    assert len(told) == len(rows)  # what the router was told is what is stored
    assert len(acknowledged) > 20 * times


def test_no_acknowledged_feedback_is_lost_or_counted_twice(tmp_path):
    _check_nothing_is_lost_or_doubled(tmp_path / "state.sqlite", 3, seed=0)


@pytest.mark.slow
def test_no_acknowledged_feedback_is_lost_or_counted_twice_in_20_kills(tmp_path):
    _check_nothing_is_lost_or_doubled(tmp_path / "state.sqlite", 20, seed=1)


def test_sigterm_answers_what_runs_and_ends_with_0(tmp_path):
    running = Running(tmp_path / "state.sqlite")
    acknowledged, sent, stop = {}, {}, threading.Event()
    threads = [
        threading.Thread(target=_load, args=(running.url, client, acknowledged, sent, stop)) for client in range(2)
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
