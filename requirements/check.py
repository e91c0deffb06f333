"""Checks that this environment has the packages of requirement files alone, in their versions.

python requirements/check.py requirements/make.txt [FILE ...]
"""

import importlib.metadata
import pathlib
import re
import sys
from collections.abc import Iterable

_OURS = {"prouter-jax", "pip"}  # this project; and what installed all of it, which comes with Python
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([^\s;]+)", re.M)


def read_pins(texts: Iterable[str]) -> dict[str, set[str]]:
    """The versions of each package in requirement files; several for different platforms."""
    pins: dict[str, set[str]] = {}
    for text in texts:
        for name, version in _PIN.findall(text):
            pins.setdefault(_normal(name), set()).add(version)
    return pins


def find_unpinned(installed: dict[str, str], pins: dict[str, set[str]]) -> list[str]:
    """A line for each package of an environment that is not pinned, or in another version."""
    lines = []
    for name, version in sorted(installed.items()):
        if _normal(name) not in _OURS and version not in pins.get(_normal(name), ()):
            expected = " or ".join(sorted(pins.get(_normal(name), ()))) or "none"
            lines.append(f"{name}: expected {expected}, found {version}")
    return lines


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    found = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    unpinned = find_unpinned(found, read_pins(pathlib.Path(path).read_text() for path in sys.argv[1:]))
    sys.exit("\n".join(unpinned) or 0)
