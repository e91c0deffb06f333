"""Values written as text: JSON, or what Python's str() and pandas make of lists and dictionaries. Nothing is run."""

import ast
import json
import re
import warnings
from typing import Any

_LONGEST = 1_000_000  # characters: longer texts are no values
_ARRAY = re.compile(r"\barray\((\[[^\[\]]*\])(?:,\s*dtype=\w+)?\)")  # pandas writes NumPy arrays so


def parse_value(text: str) -> Any:
    """The list, dictionary or other value that a text stands for; None if it is no such text."""
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of "\d" and the like
            return ast.literal_eval(_ARRAY.sub(r"\1", text))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
