"""Removes an API key from texts of servers: whole or cut, plain, percent-encoded, in base64 or hexadecimal."""

import base64
import string
import urllib.parse

KEY = "[key]"
"""Replacement of a key, or of a part of one."""
_WINDOW = 10  # characters in a row that nobody writes by chance
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Redactor:
    """Finds every run of `_WINDOW` or more characters of a key, or of one of its encodings, without regard to case."""

    def __init__(self, key: str):
        self._key = key
        forms = [form.translate(_LOWER) for form in _forms(key)] if len(key) >= _WINDOW else []
        self._parts = {form[start : start + _WINDOW] for form in forms for start in range(len(form) - _WINDOW + 1)}

    def redact(self, text: str) -> str:
        """The text with `KEY` in place of the key."""
        if self._key and len(self._key) < _WINDOW:
            return text.replace(self._key, KEY)
        lower, pieces, end = text.translate(_LOWER), [], 0
        start = self._find(lower, 0)
        while start >= 0:
            pieces += [text[end:start], KEY]
            end = start + _WINDOW
            while lower[end + 1 - _WINDOW : end + 1] in self._parts and end < len(text):
                end += 1
            start = self._find(lower, end)
        return "".join([*pieces, text[end:]])

    def _find(self, lower: str, start: int) -> int:
        """The place of the first part of a key from `start` on, -1 if there is none."""
        if not self._parts:
            return -1
        places = range(start, len(lower) - _WINDOW + 1)
        return next((place for place in places if lower[place : place + _WINDOW] in self._parts), -1)


def _forms(key: str) -> list[str]:
    data = key.encode()
    quoted = urllib.parse.quote(key, safe="")
    # base64 of a text that has the key within: it starts at one of three places in a group of three bytes
    shifted = [
        base64.b64encode(bytes(shift) + data).decode()[-(-4 * shift // 3) :].rstrip("=")[:-1] for shift in range(3)
    ]
    urls = [text.translate(str.maketrans("+/", "-_")) for text in shifted]
    return [key, quoted, urllib.parse.quote(quoted, safe=""), data.hex(), *shifted, *urls]
