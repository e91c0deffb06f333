"""Lines on stderr, where a terminal may still show a line that is not finished."""

import sys


def log_line(line: str, end: str = "\n") -> None:
    """Prints a line over what a terminal shows there; an empty one clears that alone."""
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    if line or clear:
        print(f"{clear}{line}", end=end, file=sys.stderr, flush=True)
