"""Queries by content: equal texts are one query, near ones may be, and each is new once."""

import numpy as np
import pyarrow as pa
import pytest

from prouter_jax.data.logs import queries as module
from prouter_jax.data.logs.queries import Merged, SeenIds, merge_near, query_ids


def _ids(tasks, texts):
    return query_ids(pa.array(tasks, pa.string()), pa.array(texts, pa.string()))


def test_an_id_is_that_of_text_and_task():
    found = _ids([None, None, "t", None, "t"], ["a", "a", "a", "b", "a"])
    assert found[0] == found[1]
    assert found[2] == found[4]
    assert len(set(found.tolist())) == 3
    assert (found >= 0).all()
    assert _ids(["a"], ["bc"]) != _ids(["ab"], ["c"])


@pytest.mark.parametrize("recent", [0, 10, 1 << 20])
def test_each_id_is_new_once(monkeypatch, recent):
    monkeypatch.setattr(module, "_RECENT", recent)
    seen, before, rng = SeenIds(), set(), np.random.default_rng(0)
    for _ in range(30):
        ids = rng.integers(0, 200, 20)
        expected = [row for row, id_ in enumerate(ids) if id_ not in before and id_ not in ids[:row]]
        assert seen.first(ids).tolist() == expected
        before |= set(ids.tolist())


def test_near_texts_follow_the_earliest_and_others_lead():
    texts = [
        "How do I sort a list of dictionaries by two keys?",
        "Write a poem about the sea.",
        "how do I sort a list of dictionaries by two keys",
        "Write a poem about the sea!",
        "The train leaves at 12. How do I sort a list of 3 things by their names in Python, step by step?",
        "The train leaves at 12. How do I sort a list of 4 things by their names in Python, step by step?",
    ]
    ids = np.arange(10, 16)
    merged = merge_near(ids, [None] * 6, texts, 0.9)
    assert merged.of(ids).tolist() == [10, 11, 10, 11, 14, 15]
    apart = merge_near(ids, ["a", "a", "b", "b", "a", "a"], texts, 0.9)
    assert apart.of(ids).tolist() == ids.tolist()


def test_no_leader_follows_and_followers_are_near_theirs(monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    vectors = np.random.default_rng(0).normal(size=(60, 2))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    leader = module._leaders(vectors, 0.9)
    for row, place in enumerate(leader):
        assert leader[place] == place <= row
        assert vectors[row] @ vectors[place] >= 0.9 - 1e-9
        earlier = [other for other in range(row) if leader[other] == other and vectors[other] @ vectors[row] >= 0.9]
        assert place == (earlier[0] if earlier else row)


def test_more_than_can_be_compared_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_TO_MERGE", 1)
    with pytest.raises(ValueError, match="at most 1 different queries, found 2"):
        merge_near(np.arange(2), [None, None], ["a", "b"], 0.9)


def test_what_stands_for_an_id():
    merged = Merged(np.array([5, 3, 9]), np.array([5, 5, 9]))
    assert merged.of(np.array([9, 3, 3, 5])).tolist() == [9, 5, 5, 5]
