"""The question in a request: the text of the user's last message, in the forms of the usual APIs.

| form | example |
|---|---|
| OpenAI, Anthropic | [{"role": "user", "content": "Hi"}], content may be a list of parts |
| Gemini, OpenTelemetry | [{"role": "user", "parts": [{"text": "Hi"}]}], [{"type": "text", "content": "Hi"}] |
| ShareGPT | [{"from": "human", "value": "Hi"}] |
| a request | {"messages": [...]}, also "input", "contents" and "prompt" |

All may be stored as a text of JSON, or of Python as pandas writes it. A last message without text (an image, a result
of a tool) has no question.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prouter_jax.data import cells
from prouter_jax.data.literals import parse_value

_USERS = ("user", "human")
_REQUEST = ("messages", "input", "contents", "prompt")


def last_question(messages) -> str | None:
    """The question in messages, in a request that holds messages, or in a text of either; None without one."""
    if isinstance(messages, str):
        messages = _parse(messages)
    if isinstance(messages, dict):
        if "role" in messages or "from" in messages:
            return last_question([messages])
        inner = next((messages[key] for key in _REQUEST if messages.get(key)), None)
        return inner if isinstance(inner, str) else last_question(inner)
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, list):  # a batch of conversations
            return last_question(message)
        if isinstance(message, dict) and message.get("role", message.get("from")) in _USERS:
            return _text_of(message)
    return None


def questions(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The question of each cell, null without one; and bool [rows], the present cells that have none."""
    column = cells.decoded(column)
    if cells.is_binary(column.type):
        texts, bad = cells.texts(column)
        found, odd = questions(texts)
        return found, bad | odd
    if _is_plain(column.type):
        return _last_messages(column), np.zeros(len(column), bool)
    found = pa.array([_usable(last_question(cell)) for cell in cells.to_python(column)], pa.large_string())
    present = column.is_valid().to_numpy(zero_copy_only=False)
    return found, present & found.is_null().to_numpy(zero_copy_only=False)


def prompts(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Texts of questions, as `questions`; a text that is JSON of messages counts as these, any other as it is."""
    column = cells.decoded(column)
    if not (cells.is_text(column.type) or cells.is_binary(column.type)):
        return questions(column) if pa.types.is_nested(column.type) else cells.texts(column)
    found, bad = cells.texts(column)
    may_be = pc.match_substring_regex(found, r"""^\s*[\[{](?s:.*)["'](role|from)["']""")  # pyright: ignore[reportAttributeAccessIssue]
    rows = np.flatnonzero(may_be.fill_null(False).to_numpy(zero_copy_only=False))
    if len(rows):
        texts = found.to_pylist()
        for row in rows:
            if _is_conversation(value := _parse(texts[row])):
                texts[row] = _usable(last_question(value))
        found = pa.array(texts, pa.large_string())
    return found, bad


def drop_blank(texts: pa.Array) -> pa.Array:
    """Texts without a character that can be seen become null."""
    empty = pc.equal(pc.binary_length(texts), 0)  # pyright: ignore[reportAttributeAccessIssue]
    blank = pc.or_(empty, pc.utf8_is_space(texts))  # pyright: ignore[reportAttributeAccessIssue]
    return pc.if_else(blank, None, texts)  # pyright: ignore[reportAttributeAccessIssue]


def _is_conversation(value) -> bool:
    """Whether a JSON value is a list of messages or a request that holds one."""
    if isinstance(value, dict):
        return any(_is_conversation(value.get(key)) for key in _REQUEST)
    return isinstance(value, list) and any(
        isinstance(one, dict) and isinstance(one.get("role", one.get("from")), str) for one in value
    )


def _text_of(message: dict) -> str | None:
    content = next((message[key] for key in ("content", "parts", "value") if message.get(key) is not None), None)
    if isinstance(content, list):
        texts = [_text_of_part(part) for part in content]
        return "\n".join(text for text in texts if isinstance(text, str)) or None
    return content if isinstance(content, str) else None


def _text_of_part(part) -> str | None:
    if isinstance(part, dict):
        return part.get("text", part.get("content") if part.get("type") == "text" else None)
    return part


def _usable(text: str | None) -> str | None:
    """The text, None if it has lone surrogates, which UTF-8 lacks."""
    return text if text and cells.is_utf8(text) else None


def _parse(text: str):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return parse_value(text) if text.lstrip()[:1] in ("[", "{") else None


def _is_plain(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
        return False
    fields = {field.name: field.type for field in kind.value_type}
    return all(name in fields and cells.is_text(fields[name]) for name in ("role", "content"))


def _last_messages(column: pa.Array) -> pa.Array:
    parent, flat = column.value_parent_indices().to_numpy(), column.flatten()
    role, content = (
        pc.struct_field(flat, [flat.type.get_field_index(name)])  # pyright: ignore[reportAttributeAccessIssue]
        for name in ("role", "content")
    )
    of_user = pc.equal(role, "user").fill_null(False).to_numpy(zero_copy_only=False)  # pyright: ignore[reportAttributeAccessIssue]
    last = np.full(len(column), -1)
    last[parent[of_user]] = np.flatnonzero(of_user)  # of several assignments to a row, the last one counts
    return content.cast(pa.large_string()).take(pa.array(last, mask=last < 0))
