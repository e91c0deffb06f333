"""Reads a JSON array element by element, so that memory does not grow with the file.

A window of the text is decoded value by value and moves along the file. It widens only for a value that does not fit.
Why not ijson: version 3.6.0 rejects NaN, which pandas and Python write, rejects a file for one byte that is not UTF-8,
and crashes the process on a number of 5,000 digits or 100,000 open brackets.
"""

import json
import pathlib
from collections.abc import Generator
from typing import Any

from prouter_jax.io.paths import open_text

_CHARACTERS = 1 << 20
_LONGEST_TOKEN = 16  # characters: an error further from the window's end than this is not caused by the cut
_AFTER_VALUES = tuple(" \t\n\r,:]}")


def json_elements(path: pathlib.Path, name: str = "") -> Generator[tuple[Any, int], None, None]:
    """Yields the elements of an array, each with its length in characters.

    Bytes that are not UTF-8 become surrogates, so that later checks can name the cell if it is used.

    Args:
      path: a JSON file.
      name: the key of the array if the file is an object; "" if the file is the array itself.

    Raises:
      ValueError: naming the file and the element, if the text is not JSON of this form or an object repeats a key.
    """
    row = 0
    try:
        with open_text(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            window = _Window(file)
            for element in _named(window, name) if name else _array(window):
                yield element
                row += 1
            window.take("", "the end of the file")
    except ValueError as error:
        raise ValueError(f"table {path.name}, row {row}: {error}") from error
    except OSError as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {error.strerror or error}") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dictionary; an `object_pairs_hook` for `json` that refuses repeated keys.

    Raises:
      ValueError: naming a repeated key.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"expected each name once, found {max(names, key=names.count)!r} twice")
    return values


def _named(window: "_Window", name: str) -> Generator[tuple[Any, int], None, None]:
    """The elements of the array under one key of an object; other keys are skipped."""
    window.take("{", "an object")
    found = False
    for _ in window.separated("}"):
        key = window.value()
        window.take(":", "a colon")
        if key != name:
            window.value()
        elif found:
            raise ValueError(f"expected {name!r} once, found it twice")
        else:
            found = True
            yield from _array(window)
    if not found:
        raise ValueError(f"expected an array {name!r}, found none")


def _array(window: "_Window") -> Generator[tuple[Any, int], None, None]:
    window.take("[", "an array")
    for _ in window.separated("]"):
        window.peek()
        start = window.position()
        yield window.value(), window.position() - start


class _Window:
    """A part of a text file that moves forward as values are decoded."""

    def __init__(self, file):
        self._file, self._text, self._at, self._before = file, "", 0, 0
        self._decode = json.JSONDecoder(object_pairs_hook=unique_keys).raw_decode

    def position(self) -> int:
        """The number of characters decoded so far."""
        return self._before + self._at

    def peek(self) -> str:
        """The next character that is not white space, "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\n\r":
                    return self._text[self._at]
                self._at += 1
            if not self._read():
                return ""

    def take(self, character: str, expected: str) -> None:
        """Skips the next character, which must be `character`."""
        found = self.peek()
        if found != character:
            raise ValueError(
                f"expected {expected}, found {found!a}" if found else f"expected {expected}, found the end"
            )
        self._at += 1

    def separated(self, end: str) -> Generator[None, None, None]:
        """Yields before each of the values separated by commas, up to the character `end`."""
        if self.peek() != end:
            yield
            while self.peek() == ",":
                self._at += 1
                yield
        self.take(end, f"a comma or {end}")

    def value(self) -> Any:
        """Decodes the next value; the file is read on where the window may have cut it."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos + _LONGEST_TOKEN > len(self._text) or error.msg.startswith("Unterminated string")
                if not cut or not self._read():
                    raise ValueError(f"expected readable JSON, found {error.msg}") from error
            except RecursionError as error:
                raise ValueError("expected readable JSON, found it nested too deeply") from error
            else:
                if self._text[end : end + 1] in _AFTER_VALUES or not self._read():
                    self._at = end
                    return value

    def _read(self) -> bool:
        """Drops the decoded text and reads on, at least doubling the rest; returns False at the end of the file."""
        rest = self._text[self._at :]
        more = self._file.read(max(_CHARACTERS, len(rest)))
        self._before += self._at
        self._text, self._at = rest + more, 0
        return bool(more)
