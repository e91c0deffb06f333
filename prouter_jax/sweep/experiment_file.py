"""A configuration as an experiment file: Python with `get_config`, in the style of experiments/."""

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from prouter_jax.config import ExperimentConfig

_WIDTH = 120
_INDENT = 4
_PIECE = 10  # characters of a text that is broken into several: an escaped one takes up to ten


def experiment_text(config: ExperimentConfig, docstring: Iterable[str]) -> str:
    """The file: `get_config()` returns a configuration equal to `config`, whatever the experiment it came from becomes.

    Args:
      docstring: its lines, of any length.
    """
    lines = [part for line in docstring for part in _wrapped(line)]
    body = [f"    {line}" for path, value in _differences(config) for line in _assignment(f"config.{path}", value)]
    parts = [
        f'"""{chr(10).join(lines)}\n"""',
        "",
        "from prouter_jax.config import ExperimentConfig",
        "",
        "",
        "def get_config() -> ExperimentConfig:",
        "    config = ExperimentConfig()",
        *body,
        "    return config",
    ]
    return "\n".join(parts) + "\n"


def _differences(config: ExperimentConfig) -> Iterator[tuple[str, Any]]:
    """Path and value of each field that has not its default, in the order of the dataclasses."""
    yield from _compare(dataclasses.asdict(config), dataclasses.asdict(ExperimentConfig()), "")


def _compare(found: dict, default: dict, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _compare(value, default[name], f"{prefix}{name}.")
        elif value != default[name]:
            yield f"{prefix}{name}", value


def _assignment(target: str, value: Any) -> list[str]:
    """As ruff formats it: a text that is too long goes between parentheses, in pieces if need be."""
    literal = _literal(value)
    if len(f"{target} = {literal}") + _INDENT <= _WIDTH or not isinstance(value, str):
        return [f"{target} = {literal}"]
    fits = len(literal) + 2 * _INDENT <= _WIDTH
    pieces = [value] if fits else [value[start : start + _PIECE] for start in range(0, len(value), _PIECE)]
    return [f"{target} = (", *(f"    {_literal(piece)}" for piece in pieces), ")"]


def _literal(value: Any) -> str:
    """Python's text of a value, ASCII alone; of a text in double quotes unless single ones take fewer backslashes."""
    if not isinstance(value, str):
        return repr(value).replace("e+", "e")
    quote = "'" if value.count('"') > value.count("'") else '"'
    return f"{quote}{_ascii(value).replace(quote, chr(92) + quote)}{quote}"


def _ascii(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def _wrapped(line: str) -> list[str]:
    escaped = _ascii(line).replace('"', chr(92) + '"')
    return textwrap.wrap(escaped, _WIDTH - 3, break_long_words=False, break_on_hyphens=False) or [""]
