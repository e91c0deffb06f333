"""Sizes, times and rates of requests."""

import asyncio

import pytest
from serve_cases import client_of, open_service

from prouter_jax.serving.service.errors import ApiError
from prouter_jax.serving.service.limits import RateLimit, read_body


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(tmp_path):
    with client_of(open_service(tmp_path / "state.sqlite"), max_body=1000) as client:
        assert client("POST", "/v1/route", {"query": "x" * 2000}, "ann's key").status_code == 413
        assert client("POST", "/v1/route", {"query": "x" * 900}, "ann's key").status_code == 200
    read = 0

    async def endless():
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    with pytest.raises(ApiError, match="at most 1000 bytes"):
        asyncio.run(read_body(endless, 1000))
    assert read == 11


def test_a_body_that_does_not_come_ends_the_request():
    async def never():
        await asyncio.Event().wait()

    with pytest.raises(ApiError, match="expected it within") as raised:
        asyncio.run(read_body(never, 1000, seconds=0.01))
    assert raised.value.status == 408


def test_a_caller_has_a_rate_and_twice_as_many_at_once():
    now = 0.0
    limit = RateLimit(2.0, lambda: now)
    for _ in range(4):
        limit.take("ann")
    with pytest.raises(ApiError, match="at most 2 requests a second") as raised:
        limit.take("ann")
    assert (raised.value.status, raised.value.headers["Retry-After"]) == (429, "1")
    limit.take("bob")
    now = 0.5
    limit.take("ann")
    with pytest.raises(ApiError):
        limit.take("ann")
    now = 1000.0
    for _ in range(4):
        limit.take("ann")
    with pytest.raises(ApiError):
        limit.take("ann")


def test_too_many_requests_are_refused_over_http(tmp_path):
    with client_of(open_service(tmp_path / "state.sqlite"), rate=0.001) as client:
        assert client("GET", "/v1/models", key="ann's key").status_code == 200
        answer = client("GET", "/v1/models", key="ann's key")
        assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")
        assert int(answer.headers["Retry-After"]) > 1
        assert client("GET", "/v1/models", key="bob's key").status_code == 200
