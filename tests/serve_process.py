"""A service over a `CountingRouter` in a process of its own: `python serve_process.py STATE`; it says its port."""

import os
import sys

from serve_cases import CountingRouter

from prouter_jax.serving.service.app import make_app
from prouter_jax.serving.service.databases import find_database
from prouter_jax.serving.service.decide import Options
from prouter_jax.serving.service.identity import Identity, read_keys
from prouter_jax.serving.service.server import run
from prouter_jax.serving.service.service import Service
from prouter_jax.serving.service.state import Settings
from prouter_jax.serving.service.telemetry import Log

if __name__ == "__main__":
    database = find_database(".", sys.argv[1])
    with database.only_service():
        options = Options(shared=database.shared)
        service = Service(CountingRouter(), database.connect, options, database.purge)
        log = Log()
        identity = Identity(read_keys(None, os.environ.get("PROUTER_KEYS")), trust_body=True)
        run(make_app(service, Settings(identity), log), "127.0.0.1", 0, log)
