"""Replies and errors of one request; more of the client is tested with the LLM judge."""

import asyncio
import datetime
import email.utils

import pytest
from judge_server import Act, JudgeServer, serving
from processes import HANG

from prouter_jax.llm import client
from prouter_jax.llm.client import Client
from prouter_jax.llm.completions import Reply, TransientError
from prouter_jax.llm.pool import RemoteLlm

ASKED = [{"role": "user", "content": "Which?"}]


def _complete(**changes):
    plain = {"model": "m", "input_price": 0.0, "output_price": 0.0, "timeout": HANG, "max_output_tokens": 1000}
    llm = RemoteLlm("a", **(plain | changes))

    async def once():
        async with Client(llm) as speaker:
            return await speaker.complete(ASKED)

    return asyncio.run(once())


def test_a_reply_comes_with_the_tokens_it_took(monkeypatch):
    with serving(monkeypatch, lambda *_: Act("yes")):
        assert _complete() == Reply("yes", 100, 5, "stop")


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": None},
        {"prompt_tokens": -1, "completion_tokens": "many"},
        {"prompt_tokens": 10**400, "completion_tokens": 2**63},
    ],
)
def test_a_count_that_makes_no_sense_is_none(monkeypatch, usage):
    with serving(monkeypatch, lambda *_: Act("yes", usage=usage)):
        assert _complete() == Reply("yes", None, None, "stop")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_model_and_limit_are_sent_under_the_servers_name(monkeypatch, name):
    with serving(monkeypatch, lambda *_: Act("yes")) as server:
        _complete(output_limit=name, max_output_tokens=77, model="some/model")
        _complete(output_limit=name, max_output_tokens=77, model="some/model", temperature=0.5)
    asked = {"model": "some/model", "messages": ASKED, name: 77}
    assert server.requests == [asked, asked | {"temperature": 0.5}]


def test_a_lone_surrogate_is_replaced(monkeypatch):
    half = b'{"choices": [{"message": {"content": "So \\ud83d"}, "finish_reason": "stop"}]}'
    with serving(monkeypatch, lambda *_: Act(body=half)):
        assert _complete().text == "So ?"


def test_the_finish_reason_is_returned(monkeypatch):
    cut = b'{"choices": [{"message": {"content": "So"}, "finish_reason": "length"}]}'
    with serving(monkeypatch, lambda *_: Act(body=cut)):
        assert _complete() == Reply("So", None, None, "length")


def test_a_redirect_is_not_followed(monkeypatch):
    """The other server would get the questions, and with some clients the key."""
    with JudgeServer(lambda *_: Act("yes")) as other:
        away = Act(status=307, headers={"Location": f"{other.url}/chat/completions"}, body=b"")
        with serving(monkeypatch, lambda *_: away), pytest.raises(ValueError, match=r"found a redirect to http://127"):
            _complete()
    assert other.requests == []


def test_variables_of_openai_go_to_its_server_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-mine")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: header-mine")
    with serving(monkeypatch, lambda *_: Act("yes")) as own, JudgeServer(lambda *_: Act("yes")) as other:
        _complete()
        _complete(base_url=other.url)
    assert own.headers[0]["OpenAI-Organization"] == "org-mine"
    assert "mine" not in str(other.headers[0].items())


def test_a_key_that_is_repeated_is_in_no_reply(monkeypatch):
    cut = b'{"choices": [{"message": {"content": "is it sk-very-secret?"}, "finish_reason": "sk-very-secret"}]}'
    with serving(monkeypatch, lambda *_: Act(body=cut)):
        assert _complete() == Reply("is it [key]?", None, None, "[key]")


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://example.org/v1", True),
        ("https://example.org/v1", False),
        ("http://localhost:1/v1", False),
        ("http://127.0.0.1:1/v1", False),
        ("http://127.evil.org/v1", True),
    ],
)
def test_a_key_that_goes_unencrypted_to_another_machine_is_told(monkeypatch, capsys, url, warned):
    monkeypatch.setenv("MINE", "sk-very-secret")
    for variable in ("MINE", ""):
        Client(RemoteLlm("a", "m", 0.0, 0.0, base_url=url, key_variable=variable))
        said = capsys.readouterr().err
        assert ("unencrypted" in said) == (warned and variable == "MINE")
        assert "sk-" not in said


@pytest.mark.parametrize("act", [Act(status=500, body=b"{}"), Act(drop=True), Act(status=429, body=b"{}")])
def test_the_client_does_not_retry(monkeypatch, act):
    with serving(monkeypatch, lambda *_: act) as server, pytest.raises(TransientError):
        _complete()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("act", "paid"),
    [
        (Act(stall=1000), True),
        (Act(drop=True), True),
        (Act(body=b'{"a":' * 50_000), True),  # deeper than Python's reader of JSON goes
        (Act(status=503, body=b"{}"), False),
    ],
)
def test_errors_say_whether_the_request_may_have_been_charged(monkeypatch, act, paid):
    with serving(monkeypatch, lambda *_: act), pytest.raises(TransientError) as caught:
        _complete(timeout=HANG if not act.stall else 0.2)
    assert caught.value.maybe_charged == paid


def test_retry_after_is_seconds_or_a_date():
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    wait = client._parse_retry_after(email.utils.format_datetime(soon, usegmt=True))
    assert wait is not None
    assert 0 < wait <= 30
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    cases = {"7": 7, "0.5": 0.5, "-3": 0, past: 0, "soon": None, "": None, None: None, "nan": None}
    assert {header: client._parse_retry_after(header) for header in cases} == cases
