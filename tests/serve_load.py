"""A service in a process of its own, under load, that is killed at random moments."""

import collections
import json
import random
import signal
import subprocess
import sys
import threading
import time

import httpx2
from processes import HANG, ROOT

_CLIENTS = 8


class Running:
    """A service in a process."""

    def __init__(self, state: str):
        command = [sys.executable, str(ROOT / "tests" / "serve_process.py"), state]
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


def load(url: str, client: int, acknowledged: dict[str, dict], sent: dict[str, dict], stop: threading.Event) -> None:
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


def kill_under_load(state: str, times: int, seed: int) -> tuple[dict, dict]:
    rng, acknowledged, sent = random.Random(seed), {}, {}
    for _ in range(times):
        running, stop = Running(state), threading.Event()
        before = len(acknowledged)
        threads = [
            threading.Thread(target=load, args=(running.url, client, acknowledged, sent, stop))
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


def check_nothing_is_lost_or_doubled(open_service, state: str, times: int, seed: int) -> None:
    """Kills a service under load, and checks what another one finds.

    Args:
      open_service: makes a `Service` on the state.
    """
    acknowledged, sent = kill_under_load(state, times, seed)
    service = open_service()
    told = [one for user in service.live.said.values() for one in user]
    rows = [row for client in range(_CLIENTS) for row in service.history(f"u{client}").result()[1]]
    service.close()
    counts = collections.Counter(row.id for row in rows)
    assert set(acknowledged) <= set(counts) <= set(sent)
    assert set(counts.values()) == {1}
    assert len(told) == len(rows)  # what the router was told is what is stored
    assert len(acknowledged) > 20 * times
