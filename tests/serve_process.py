"""A service over a `CountingRouter` in a process of its own: `python serve_process.py STATE`; it says its port."""

import functools
import os
import pathlib
import sys

from serve_cases import CountingRouter

from prouter_jax.serving.service import sqlite
from prouter_jax.serving.service.app import make_app
from prouter_jax.serving.service.identity import Identity, read_keys
from prouter_jax.serving.service.server import run
from prouter_jax.serving.service.service import Options, Service
from prouter_jax.serving.service.state import Settings
from prouter_jax.serving.service.telemetry import Log

if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1])
    with sqlite.only_service(path):
        service = Service(CountingRouter(), functools.partial(sqlite.connect, path), Options(), sqlite.purge)
        log = Log()
        identity = Identity(read_keys(None, os.environ.get("PROUTER_KEYS")), trust_body=True)
        run(make_app(service, Settings(identity), log), "127.0.0.1", 0, log)
