"""Progress of requests to LLMs on stderr: replies, failures, money and the time left."""

import sys
from collections.abc import Callable
from typing import Any

import tqdm

_TERMINAL_SECONDS = 1.0  # between updates
_LOG_SECONDS = 30.0


class Progress(tqdm.tqdm):
    """A tqdm bar that counts failures and money; in a log file, where nothing can be overwritten, a line each time."""

    monitor_interval = 0  # no thread that lowers `miniters`: it is 1

    def __init__(self, command: str, noun: str, total: int, stored: int, spent: float | None = None):
        """
        Args:
          command: name of the command that runs.
          noun: name of the replies, in the plural.
          total: replies wanted; `stored` of them exist already.
          spent: USD of earlier runs; None if nothing costs money.
        """
        self.failed, self.spent = 0, spent
        terminal = sys.stderr.isatty()
        bar = "{percentage:3.0f}%|{bar}| " if terminal else ""
        super().__init__(
            desc=command,
            total=total,
            initial=stored,
            bar_format=f"{{desc}}: {bar}{{n_fmt}}/{{total_fmt}} {noun}{{postfix}}, {{remaining}} left",
            postfix=self._counts(),
            mininterval=_TERMINAL_SECONDS if terminal else _LOG_SECONDS,
            maxinterval=_TERMINAL_SECONDS if terminal else _LOG_SECONDS,
            miniters=1,
            dynamic_ncols=True,
        )

    def step(self, failed: bool, spent: float | None = None) -> None:
        """Counts one reply or failure.

        Args:
          spent: USD so far, earlier runs included.
        """
        self.failed += failed
        self.spent = spent
        self.set_postfix_str(self._counts(), refresh=False)
        self.update()

    def _counts(self) -> str:
        failed = [f"{self.failed} failed"] if self.failed else []
        spent = [] if self.spent is None else [f"{self.spent:.4f} USD spent"]
        return ", ".join(failed + spent)

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Prints each status over the last one in a terminal, and on a line of its own elsewhere."""
        if file.isatty():
            return tqdm.tqdm.status_printer(file)
        started = False

        def print_status(status: str) -> None:
            nonlocal started
            file.write(f"\n{status}" if started else status)
            file.flush()
            started = True

        return print_status
