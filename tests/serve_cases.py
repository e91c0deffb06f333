"""A service over a router that counts, and its HTTP interface in this process."""

import asyncio
import collections
import contextlib
import functools
import hashlib
import io
import types

import httpx2
import numpy as np

from prouter_jax.serving.exploration import Exploration
from prouter_jax.serving.live import Ranking
from prouter_jax.serving.live_query import CostChange
from prouter_jax.serving.offer import EVERYTHING, Latencies
from prouter_jax.serving.service import sqlite
from prouter_jax.serving.service.app import make_app
from prouter_jax.serving.service.decide import Options
from prouter_jax.serving.service.identity import Identity, Keys
from prouter_jax.serving.service.service import Service
from prouter_jax.serving.service.state import Settings
from prouter_jax.serving.service.telemetry import Log

LLMS = ["alder", "birch", "cedar"]
COSTS = {"alder": 0.001, "birch": 0.01, "cedar": 0.1}


class CountingRouter:
    """Has the interface of `LiveRouter`; of the LLMs it ranks those highest that a user liked most often.

    `known` has a user and the time of its only decision in training.
    """

    def __init__(self, llms=LLMS, known=()):
        self.llms = list(llms)
        decisions = types.SimpleNamespace(user=np.arange(len(known)), time=np.array(list(dict(known).values()), float))
        users = types.SimpleNamespace(ids=np.array(list(dict(known)), object))
        self.router = types.SimpleNamespace(interactions=types.SimpleNamespace(users=users, decisions=decisions))
        self.said, self.latencies = collections.defaultdict(list), Latencies()

    def find(self, query, query_id=None, task_id=None):
        if task_id is not None:
            raise ValueError(f"task_id: expected a task of the router or none, found {task_id!r}")
        return query

    def prepare(self, found):
        return [types.SimpleNamespace(columns={"features": hashlib.sha256(text.encode()).digest()}) for text in found]

    def rank(self, user, prepared, offer=EVERYTHING, explore=None, weights=(), costs=None):
        change = costs or CostChange()
        added = {llm: change.cached_tokens / 1e6 if change.cached_by not in (None, llm) else 0 for llm in COSTS}
        usd = {llm: cost * change.factors.get(llm, 1) + added[llm] for llm, cost in COSTS.items()}
        rows = {llm: row for row, llm in enumerate(self.llms)}
        offered = [self.llms[row] for row in offer.rows(rows, [usd[llm] for llm in rows], self.latencies)]
        liked = dict.fromkeys(offered, 1.0)
        for one in self.said.get(user, ()):
            for llm in {one.llm} & set(offered):
                liked[llm] += -0.5 / len(self.said[user]) if one.kind == "thumb" and not one.value else 1
        order = sorted(offered, key=lambda llm: -liked[llm])
        shares = [liked[llm] / sum(liked.values()) for llm in order]
        basis, costs = "history" if user in self.said else "cold_start", [usd[llm] for llm in order]
        pick, chances, reason = (explore or Exploration()).draw(np.log(shares), np.zeros(len(order)))
        place = sorted(range(len(order)), key=lambda i: i != pick)
        columns = ([one[i] for i in place] for one in (order, shares, costs))
        return Ranking(*columns, basis, [float(chances[i]) for i in place], reason)

    def compile_for(self, explore):
        pass

    def observe(self, feedback):
        feedback.check({llm: row for row, llm in enumerate(self.llms)})
        self.said[feedback.user].append(feedback)

    def replay(self, feedback):
        self.observe(feedback)

    def forget(self, user):
        return self.said.pop(user, None) is not None

    needs_texts = False

    def weights(self, user):
        """The share of words in answers weighs more with each piece of feedback."""
        return {"length": (float(len(self.said.get(user, ()))), 0.0), "cost": (-1.0, -1.0)}


def open_service(path, live=None, **options) -> Service:
    """A service on an SQLite file."""
    connect = functools.partial(sqlite.connect, path)
    return Service(live or CountingRouter(), connect, Options(**options), sqlite.purge)


class Client:
    """Sends requests to an application in this process."""

    def __init__(self, app):
        self.app, self.log = app, app.state.shared.log

    def __call__(self, method, path, json=None, key=None, headers=None, content=None):
        given = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}

        async def send():
            transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, json=json, headers=given, content=content)

        return asyncio.run(send())

    def ok(self, *arguments, **named):
        """The body of an answer without error."""
        answer = self(*arguments, **named)
        assert answer.status_code == 200, answer.text
        return answer.json()


KEYS = {"ann's key": "user ann", "bob's key": "user bob", "the gateway's key": "gateway"}


def key_lines() -> str:
    """The lines of a key file."""
    return "\n".join(f"{hashlib.sha256(key.encode()).hexdigest()} {caller}" for key, caller in KEYS.items())


@contextlib.contextmanager
def client_of(service, **settings):
    """A client of a service whose callers have `KEYS`."""
    stream = io.StringIO()
    client = Client(make_application(service, stream, **settings))
    client.lines = stream
    yield client
    service.close()


def make_application(service, stream=None, **settings):
    """The HTTP interface of a service whose callers have `KEYS`."""
    identity = settings.pop("identity", None) or Identity(Keys(key_lines(), "keys"), None, True)
    return make_app(service, Settings(identity, **settings), Log(stream or io.StringIO()))
