"""More users of the embedded benchmark: drawn once, the same for the same configuration, kept whole or not at all."""

import dataclasses
import os

import numpy as np
import pytest

from prouter_jax.config import Embedded
from prouter_jax.data.history_store import build_store
from prouter_jax.data.synthetic import benchmark as embedded_more
from prouter_jax.data.synthetic.benchmark import build_embedded, open_more_users

CONFIG = Embedded(num_tasks=3, num_queries=60, num_llms=4, num_users=5, decisions_per_user=10, more_users=7)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _columns(store):
    return {field.name: np.array(getattr(store, field.name)) for field in dataclasses.fields(store)}


def test_they_are_other_users_of_the_same_world(monkeypatch):
    monkeypatch.setattr(embedded_more, "_USERS_AT_ONCE", 3)
    store, panel = open_more_users(CONFIG), build_store(build_embedded(CONFIG))
    assert store.num_users == 7
    np.testing.assert_array_equal(np.diff(store.users), 10)
    assert store.query.max() < 60
    asked = [tuple(part) for one in (store, panel) for part in np.split(np.array(one.query), one.users[1:-1])]
    assert len(set(asked)) == 12
    # what was chosen was on offer
    decision = np.repeat(np.arange(70), np.diff(store.feedback_start))
    assert store.offers[store.offer[decision], store.feedback_llm].all()
    np.testing.assert_allclose(np.bincount(decision, store.feedback_value), 1, rtol=1e-6)


def test_they_are_drawn_once(monkeypatch):
    first = _columns(open_more_users(CONFIG))
    monkeypatch.setattr(embedded_more, "draw_histories", None)
    again = _columns(open_more_users(CONFIG))
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)


def test_another_process_that_was_faster_wins(monkeypatch):
    drawn = embedded_more.draw_histories

    def slow(*arguments):
        monkeypatch.setattr(embedded_more, "draw_histories", drawn)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        open_more_users(CONFIG)
        monkeypatch.undo()
        return drawn(*arguments)

    monkeypatch.setattr(embedded_more, "draw_histories", slow)
    cache = os.environ["XDG_CACHE_HOME"]
    open_more_users(CONFIG)
    assert len(os.listdir(f"{cache}/prouter_jax/users")) == 1
