"""A service that takes feedback into FOLDER/state.sqlite: `python -m faults.live FOLDER`.

It prints an id once the feedback is acknowledged. A request that the service cannot write is sent again, as clients do,
so that an error may hide neither a loss nor a double. All requests of an earlier run are sent again as well.
"""

import contextlib
import pathlib
import sys

from serve_cases import Client, client_of, open_service

from prouter_jax.serving.service import sqlite
from prouter_jax.serving.service.service import Service

STATE = "state.sqlite"
DELETED = "somebody who leaves"
USERS = ("ann", "bob", DELETED)
_KEY, _ATTEMPTS = "the gateway's key", 3


def main() -> None:
    path = pathlib.Path(sys.argv[1]) / STATE
    try:
        with sqlite.only_service(path), contextlib.closing(open_service(path)) as service, client_of(service) as client:
            _send_all(client)
            check_router(service)
    except (ValueError, OSError) as error:  # as launch.entry does
        sys.exit(f"live: {error}")


def check_router(service: Service) -> None:
    """Raises AssertionError unless the router was told exactly what the tables have."""
    for user in USERS:
        stored = [row.content for row in service.history(user).result()[1]]
        told = [said.to_row() for said in service.live.said.get(user, [])]
        assert told == stored, f"{user}: the router was told {told}, stored is {stored}"


def _send_all(client: Client) -> None:
    for number in range(4):
        for user in USERS:
            thumb = {"user": user, "query": f"{user} {number}", "model": "birch", "thumb": "up"}
            _acknowledged(client, "POST", "/v1/feedback", thumb | {"id": f"{user}.{number}"})
            print(f"acknowledged: {user}.{number}", flush=True)
        _acknowledged(client, "POST", "/v1/route", {"user": "ann", "query": "What is next?", "session": "s"})
    _acknowledged(client, "PUT", "/v1/users/bob", {"pin": "cedar"})
    print("pinned", flush=True)
    print("deleting", flush=True)
    _acknowledged(client, "DELETE", f"/v1/users/{DELETED}", None)
    print("deleted", flush=True)
    for number in range(4, 6):
        thumb = {"id": f"ann.{number}", "user": "ann", "query": f"ann {number}", "model": "alder", "thumb": "down"}
        _acknowledged(client, "POST", "/v1/feedback", thumb)
        print(f"acknowledged: ann.{number}", flush=True)


def _acknowledged(client: Client, method: str, path: str, body: dict | None) -> None:
    """Sends a request until it is answered.

    Raises:
      OSError: if the service cannot write it, again and again.
    """
    for _ in range(_ATTEMPTS):
        answer = client(method, path, json=body, key=_KEY)
        if answer.status_code == 200:
            return
        assert answer.status_code == 503, answer.text
    raise OSError(answer.json()["error"]["message"])


if __name__ == "__main__":
    main()
