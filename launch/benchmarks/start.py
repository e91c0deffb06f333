"""A whole run of train on 9 users and one seed, compilation included; a new process each time."""

import subprocess
import tempfile
import time
from collections.abc import Iterator

from ..entry import module_command
from .figures import Figure, Setting

_MOST_RUNS = 3


def measure(setting: Setting) -> Iterator[Figure]:
    """Seconds from start to report."""
    seconds = []
    for _ in range(min(setting.runs, _MOST_RUNS)):
        with tempfile.TemporaryDirectory() as workdir:
            command = [*module_command("train"), "--config=alpaca_route"]
            command += [f"--workdir={workdir}/run", f"--config.data.path={setting.data}/alpaca_route"]
            begun = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - begun)
    yield Figure("start", "9 users, one seed, from start to report, compilation included", "s", seconds)
