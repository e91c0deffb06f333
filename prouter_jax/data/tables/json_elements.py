"""The elements of a JSON array one after the other, whatever the length of the file.

A window of the text is decoded value by value and moves on; only what does not fit into it makes it wider.
"""

import json
import pathlib
from collections.abc import Generator
from typing import Any

from prouter_jax.io.paths import open_text

_CHARACTERS = 1 << 20
_LONGEST_TOKEN = 16  # characters: what is wrong before that many from the window's end is not cut off but wrong
_AFTER_VALUES = tuple(" \t\n\r,:]}")


def json_elements(path: pathlib.Path, name: str = "") -> Generator[tuple[Any, int], None, None]:
    """The elements of the array that the file is, or that an object calls `name`, each with its length in characters.

    Broken UTF-8 comes through as surrogates, so that the cell with it can be named.

    Raises:
      ValueError: naming the file and the element, on anything but such a JSON text.
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


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of which no name stands twice, for `object_pairs_hook`."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"expected each name once, found {max(names, key=names.count)!r} twice")
    return values


def _named(window: "_Window", name: str) -> Generator[tuple[Any, int], None, None]:
    """The elements of one member of an object; the others are passed over."""
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
        begun = window.position()
        yield window.value(), window.position() - begun


class _Window:
    """The part of a text that is being decoded."""

    def __init__(self, file):
        self._file, self._text, self._at, self._before = file, "", 0, 0
        self._decode = json.JSONDecoder(object_pairs_hook=once).raw_decode

    def position(self) -> int:
        """Characters decoded so far."""
        return self._before + self._at

    def peek(self) -> str:
        """The next character that is not white space, "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\n\r":
                    return self._text[self._at]
                self._at += 1
            if not self._read():
                return ""

    def take(self, character: str, expected: str) -> None:
        """Passes over a character that must come next."""
        found = self.peek()
        if found != character:
            raise ValueError(
                f"expected {expected}, found {found!a}" if found else f"expected {expected}, found the end"
            )
        self._at += 1

    def separated(self, end: str) -> Generator[None, None, None]:
        """Stops before each of the values between commas, up to the character `end`."""
        if self.peek() != end:
            yield
            while self.peek() == ",":
                self._at += 1
                yield
        self.take(end, f"a comma or {end}")

    def value(self) -> Any:
        """The next value; a number may go on beyond the window."""
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
        """Moves the window on by as much as is not decoded yet, at least some; whether the file went on."""
        rest = self._text[self._at :]
        more = self._file.read(max(_CHARACTERS, len(rest)))
        self._before += self._at
        self._text, self._at = rest + more, 0
        return bool(more)
