"""Texts that list names of LLMs: "a|b", "a;b", '["a", "b"]', also where a name holds such a mark itself."""

import json
import re
from collections.abc import Collection

from prouter_jax.data.literals import parse_value


def split_names(text: str, known: Collection[str]) -> list[str] | str:
    """The names that a text lists: one name, a JSON or Python list, or names joined by "|", ";" or ",".

    Names may hold these marks: "a|b" is the LLM of this name where there is one. Spaces around a name do not count.

    Args:
      known: the names.

    Returns:
      The names, none for an empty list; or, if no reading or several fit, what was expected, "" for known names.
    """
    listed = _list_of(text)
    if listed is not None:
        return listed if all(name in known for name in listed) else ""
    readings = {name for name in (text, text.strip()) if name in known}
    found = [[name] for name in sorted(readings, key=len)[-1:]]
    for mark in ("|", ";", ","):
        if mark in text:
            found += _split(text.split(mark), mark, known)
    if len(found) > 1:
        return f"names that can be split in one way (a JSON list, such as {json.dumps(found[-1])})"
    return found[0] if found else ""


def in_any_order(text: str) -> str:
    """A text that is the same for all texts that list the same names, whatever their order and the marks between."""
    names = _list_of(text) or [text]
    return "|".join(sorted(part.strip() for name in names for part in re.split(r"[|;,]", name)))


def _list_of(text: str) -> list[str] | None:
    """The texts of a JSON or Python list; None if the text is no list of texts."""
    if not text.lstrip().startswith("["):
        return None
    found = parse_value(text)
    if not isinstance(found, list) or not all(isinstance(name, str | int) for name in found):
        return None
    return [str(name) for name in found]


def _split(parts: list[str], mark: str, known: Collection[str]) -> list[list[str]]:
    """The ways to join the parts to several known names; one way twice stands for several."""
    longest = 1 + max((name.count(mark) for name in known), default=0)
    ways, before = (
        [1] + [0] * len(parts),
        [0] * (len(parts) + 1),
    )  # of the first parts: how many, and a last name's start
    for end in range(1, len(parts) + 1):
        for start in range(max(0, end - longest), end):
            whole = end - start == len(parts)
            if ways[start] and not whole and mark.join(parts[start:end]).strip() in known:
                ways[end], before[end] = min(ways[end] + ways[start], 2), start
    found, end = [], len(parts) if ways[-1] else 0
    while end:
        found.append(mark.join(parts[before[end] : end]).strip())
        end = before[end]
    return [found[::-1]] * ways[-1]


def first_unknown(text: str, known: Collection[str]) -> str:
    """The first name of a joined text that is unknown, or the text."""
    names = _list_of(text) or text.split("|")
    return next((name for name in names if name.strip() not in known), text)
