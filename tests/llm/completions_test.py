"""What servers send back: parts of a content, thoughts, token counts, and errors under HTTP 200."""

import types

import pytest

from prouter_jax.data.thoughts import strip_thoughts
from prouter_jax.llm.completions import TransientError, find_error, read_reply


def _response(message: dict, **others) -> dict:
    return {"choices": [{"message": {"role": "assistant"} | message, "finish_reason": "stop"}]} | others


def _read(message: dict, **others):
    return read_reply(_response(message, **others), lambda text: text)


MESSAGES = {
    "text": {"content": "Four"},
    "parts": {"content": [{"type": "text", "text": "Fo"}, {"type": "text", "text": "ur"}]},
    "texts": {"content": ["Fo", "ur"]},
    "output parts": {"content": [{"type": "output_text", "text": "Four", "annotations": []}]},
    "thinking part": {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "2+2? #### 5"}]},
            {"type": "text", "text": "Four"},
        ]
    },
    "thinking text": {
        "content": [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Four"}]
    },
    "reasoning_content": {"content": "Four", "reasoning_content": "hm"},
    "reasoning": {"content": "Four", "reasoning": "hm, </think> closes"},
    "tags": {"content": "<think>hm</think>\n\nFour"},
    "refusal": {"content": None, "refusal": "Four"},
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_answer_is_found_wherever_it_stands(name):
    reply = _read(MESSAGES[name])
    assert strip_thoughts(reply.text) == "Four"
    thinks = "hm" in str(MESSAGES[name]) or "####" in str(MESSAGES[name])
    assert ("<think>" in reply.text) == thinks


@pytest.mark.parametrize("content", [None, "", [], [{"type": "image_url", "image_url": {"url": "x"}}], 4, {}])
def test_a_message_without_text_has_none(content):
    assert _read({"content": content}).text == ""


def test_thoughts_alone_are_no_answer():
    reply = _read({"content": None, "reasoning_content": "hm"})
    assert reply.text
    assert strip_thoughts(reply.text) == ""


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7}, (5, 7)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 0}, (5, None)),
        ({"prompt_tokens": "5", "completion_tokens": 7.0}, (5, 7)),
        ({"prompt_tokens": True, "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": 5.5, "completion_tokens": "many"}, (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
    ],
)
def test_a_text_without_counted_tokens_is_not_free(usage, expected):
    reply = _read({"content": "Four"}, usage=usage)
    assert (reply.input_tokens, reply.output_tokens) == expected


def test_no_text_may_have_no_tokens():
    reply = _read({"content": ""}, usage={"prompt_tokens": 5, "completion_tokens": 0})
    assert (reply.input_tokens, reply.output_tokens) == (5, 0)


@pytest.mark.parametrize(
    ("body", "message", "status"),
    [
        ({"error": {"message": "rate limited", "code": 429}}, "rate limited", 429),
        ({"error": {"message": "no", "code": "403"}}, "no", 403),
        ({"error": {"message": "odd", "type": "server_error"}}, "odd", 0),
        ({"error": "plain words"}, "plain words", 0),
        (_response({"content": ""}) | {"error": None}, "", -1),
        ({"choices": [{"message": {"content": ""}, "error": {"message": "upstream", "code": 502}}]}, "upstream", 502),
    ],
)
def test_an_error_under_http_200_keeps_its_message(body, message, status):
    found = find_error(body)
    assert (found.message, found.status) == (message, status) if found else status == -1
    objects = types.SimpleNamespace(**body)
    assert find_error(objects) == found


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}, "<html>bad gateway</html>", {"choices": [3]}])
def test_anything_else_is_no_completion(body):
    assert find_error(body) is None
    with pytest.raises(TransientError, match="not a chat completion"):
        read_reply(body, lambda text: text)
