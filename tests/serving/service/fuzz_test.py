"""Requests from a grammar, most of them wrong: each gets an answer or one clear line, never an error of the service."""

import asyncio
import json
import random

import httpx2
import pytest
from serve_cases import KEYS, LLMS, client_of, open_service

_NUMBER = 2000
_AT_ONCE = 16
_ODD_TEXTS = [
    "",
    " ",
    "\0",
    "\ud800",
    "x" * 300,
    "é\u202e",
    "'; DROP TABLE users; --",
    "null",
    "%00",
    "\N{GRINNING FACE}" * 40,
    "a/b",
]
_ODD = [None, True, False, 0, -1, 1e308, float("nan"), float("inf"), 10**30, [], {}, [[]], {"a": {}}, [None]]


class Grammar:
    """Draws requests."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.decisions: list[str] = []

    def request(self) -> dict:
        """Method, path, headers and content."""
        path, method, body = self.rng.choice(
            [self.route, self.feedback, self.feedback, self.served, self.user, self.anything]
        )()
        headers = {}
        if self.rng.random() < 0.95:
            headers["Authorization"] = b"Bearer " + self.rng.choice([*KEYS, *KEYS, *KEYS, "nope"]).encode()
        if self.rng.random() < 0.95:
            headers["Content-Type"] = "application/json"
        content = json.dumps(body).encode() if body is not None else b""
        if self.rng.random() < 0.05:
            content = content[: self.rng.randrange(len(content) + 1)] + self.rng.randbytes(self.rng.randrange(3))
        return {"method": method, "url": path, "headers": headers, "content": content}

    def route(self):
        fields = {
            "user": self.user_id, "query": self.text, "messages": self.messages, "candidates": self.models,
            "max_cost": self.number, "session": self.text, "task_id": self.text, "switch_gain": self.number,
            "max_latency": self.number, "cached_tokens": self.number,
        }  # fmt: skip
        return "/v1/route", "POST", self.body(fields, self.rng.choice(["query", "messages"]))

    def feedback(self):
        fields = {
            "id": self.text, "user": self.user_id, "decision_id": self.decision, "query": self.text,
            "messages": self.messages, "model": self.model, "candidates": self.models, "first": self.model,
            "thumb": lambda: self.rng.choice(["up", "down", "sideways"]), "rating": self.number,
            "choice": self.model, "vote": self.vote,
        }  # fmt: skip
        asked = self.rng.choice(["decision_id", "query"])
        kind = self.rng.choice(["thumb", "rating", "choice", "vote"])
        wanted = [asked, kind, *(["model"] if asked == "query" and kind in ("thumb", "rating") else [])]
        return "/v1/feedback", "POST", self.body(fields, *wanted, *(["id"] if self.rng.random() < 0.3 else []))

    def served(self):
        amounts = ("input_tokens", "output_tokens", "cost", "latency")
        fields = {"decision_id": self.decision, "user": self.user_id, "model": self.model}
        return "/v1/served", "POST", self.body(fields | dict.fromkeys(amounts, self.number), "decision_id", "model")

    def user(self):
        path = (
            f"/v1/users/{self.rng.choice(['me', 'ann', 'eve', '', '%ff', 'a/b', '%00', '?export=true', 'me?export=x'])}"
        )
        fields = {"pin": self.model, "ban": self.models, "reset": lambda: self.rng.choice([True, False, 1])}
        return path, self.rng.choice(["GET", "PUT", "PUT", "DELETE"]), self.body(fields)

    def anything(self):
        paths = ["/v1/models", "/v1/route", "/docs", "/metrics", "/healthz", "/v1/", "//", "/v1/users", "/openapi.json"]
        return self.rng.choice(paths), self.rng.choice(["GET", "POST", "PATCH", "HEAD", "OPTIONS"]), self.odd()

    def body(self, fields, *wanted):
        chosen = dict.fromkeys([*wanted, *(name for name in fields if self.rng.random() < 0.08)])  # in a fixed order
        body = {name: self.odd() if self.rng.random() < 0.06 else fields[name]() for name in chosen}
        return body | ({"surplus": 1} if self.rng.random() < 0.02 else {})

    def odd(self):
        return self.rng.choice([*_ODD, *_ODD_TEXTS])

    def text(self):
        return self.rng.choice(["Hello", "What is 2 + 2?", "id 1", "id 2", self.rng.choice(_ODD_TEXTS)])

    def user_id(self):
        return self.rng.choice(["ann", "bob", "eve", self.rng.choice(_ODD_TEXTS)])

    def model(self):
        return self.rng.choice([*LLMS, *LLMS, "oak"])

    def models(self):
        return self.rng.choices([*LLMS, *LLMS, *LLMS, "oak"], k=self.rng.randrange(4))

    def number(self):
        return self.rng.choice([0.5, 1, 5, 1e-9, -3, 1e9, "1"])

    def decision(self):
        return self.rng.choice([*self.decisions[-5:], "nope"])

    def vote(self):
        return {"model_a": self.model(), "model_b": self.model(), "winner": self.rng.choice(["a", "b", "tie", "c"])}

    def messages(self):
        roles, contents = ["user", "user", "assistant", "tool", 5], [self.text, self.odd, self.parts]
        return [
            {"role": self.rng.choice(roles), "content": self.rng.choice(contents)()} | self.calls()
            for _ in range(self.rng.randrange(4))
        ]

    def parts(self):
        return [{"type": self.rng.choice(["text", "image_url", "tool_result"]), "text": self.text()}, self.odd()]

    def calls(self):
        return {"tool_calls": self.odd()} if self.rng.random() < 0.2 else {}


async def _send_all(app, grammar: Grammar) -> list[httpx2.Response]:
    transport, answers = httpx2.ASGITransport(app, raise_app_exceptions=False), []
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        for _ in range(_NUMBER // _AT_ONCE):
            found = await asyncio.gather(*(client.request(**grammar.request()) for _ in range(_AT_ONCE)))
            answers += found
            grammar.decisions += [one.json()["decision_id"] for one in found if b'"decision_id"' in one.content[:20]]
    return answers


def _check(path, seed: int) -> None:
    """Sends requests; each has a right answer or one clear line, and the service works on."""
    with client_of(open_service(path)) as client:
        answers = asyncio.run(_send_all(client.app, Grammar(seed)))
        assert client.ok("GET", "/readyz")
        assert client.ok("POST", "/v1/route", {"user": "zoe", "query": "Hello"}, "the gateway's key")["model"] in LLMS
    codes = [answer.status_code for answer in answers]
    assert len(codes) == _NUMBER
    assert max(codes) < 500, next(answer.text for answer in answers if answer.status_code >= 500)
    for code in (200, 400, 401, 403, 404, 405, 409):  # the grammar reaches all of them
        assert code in codes, code
    assert 0.1 < sum(code == 200 for code in codes) / len(codes) < 0.8
    for answer in answers:
        if answer.status_code != 200 and answer.request.method != "HEAD":
            error = answer.json()["error"]
            assert error["message"]
            assert "\n" not in error["message"]


def test_no_request_makes_an_error_of_the_service(tmp_path):
    _check(tmp_path / "state.sqlite", 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_no_request_makes_an_error_of_the_service_with_other_seeds(tmp_path, seed):
    _check(tmp_path / "state.sqlite", seed)
