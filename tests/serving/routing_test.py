"""Routing: every kind of bad row has its error, and the other rows are as they would be alone."""

import numpy as np
import pyarrow as pa
import pytest

from prouter_jax import Router
from prouter_jax.serving import routing

TEXT, OTHER = "Name three rivers of Europe, please.", "Sort these words by length: tree, sea, mountain"


@pytest.fixture(scope="module")
def router(experiment_workdir) -> Router:
    return Router.load(experiment_workdir)


@pytest.fixture(scope="module")
def known(router):
    return router.world.interactions.queries.ids.tolist()


@pytest.mark.parametrize("text", ["{0}|{2}", "{2};{0}", "{0}, {2}", '["{2}", "{0}"]', "['{0}', '{2}']"])
def test_joined_names_are_the_same_candidates_as_their_list(router, text):
    scores = router.score(["u00"] * 2, [TEXT] * 2, candidates=[[text.format(*router.llms)], router.llms[:3:2]])
    assert scores.error == [None, None]
    assert scores.probabilities[0] == scores.probabilities[1]
    assert list(scores.probabilities[0]) == router.llms[:3:2]


def _alone(router, row, **constraints):
    return router.score(**{name: [value] for name, value in row.items()}, **constraints)


def _rows(router, known):
    """(row, its error or None); every column in every row."""
    llms, task = router.llms, router.world.interactions.tasks.ids[1]
    row = {"users": "u00", "queries": None, "query_ids": None, "task_ids": None, "candidates": None}
    return [
        (row | {"queries": TEXT}, None),
        (row, "query: expected a text or a query_id, found neither"),
        (row | {"users": "u01", "query_ids": known[0]}, None),
        (row | {"query_ids": "q-nope"}, "query_id: unknown id q-nope, and no text"),
        (row | {"query_ids": "q-nope", "queries": TEXT}, None),
        (row | {"users": None, "queries": TEXT}, "user_id: expected an id, found none"),
        (row | {"queries": TEXT, "task_ids": "no task"}, "task_id: unknown id no task"),
        (row | {"queries": TEXT, "task_ids": task}, None),
        (row | {"queries": OTHER, "candidates": [llms[0], "gpt"]}, f"candidates: unknown LLM in ['{llms[0]}', 'gpt']"),
        (row | {"queries": OTHER, "candidates": [f"{llms[0]}|gpt"]}, f"candidates: unknown LLM in ['{llms[0]}|gpt']"),
        (row | {"queries": OTHER, "candidates": [None]}, "candidates: unknown LLM in [None]"),
        (row | {"queries": OTHER, "candidates": []}, "candidates: expected at least one LLM, found none"),
        (row | {"queries": "", "candidates": llms[:2]}, "query: expected a text or a query_id, found neither"),
        (row | {"users": "no one", "queries": OTHER, "candidates": llms[2:5]}, None),
        (row | {"users": "u02", "query_ids": known[7], "candidates": llms[-1:]}, None),
    ]


def test_a_bad_row_has_its_error_and_the_others_are_as_if_alone(router, known):
    rows = _rows(router, known)
    columns = {name: [row[name] for row, _ in rows] for name in rows[0][0]}
    scores = router.score(**columns)
    assert scores.error == [error for _, error in rows]
    for number, (row, error) in enumerate(rows):
        alone = _alone(router, row)
        assert alone.error == [error]
        assert (alone.llm[0], alone.basis[0]) == (scores.llm[number], scores.basis[number])
        assert alone.probabilities[0] == pytest.approx(scores.probabilities[number], abs=1e-6)
        if error is not None:
            assert (scores.llm[number], scores.basis[number], scores.probabilities[number]) == (None, None, {})
            continue
        shares = scores.probabilities[number]
        assert set(shares) == set(row["candidates"] or router.llms)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
        assert scores.llm[number] == max(shares, key=shares.get)


def test_order_and_other_rows_do_not_matter(router, known):
    rng = np.random.default_rng(0)
    users = rng.choice(["u00", "u01", "u05", "no one"], 60).tolist()
    texts = [f"{TEXT} {number % 7}" if number % 3 else None for number in range(60)]
    ids = [None if text else known[number % 11] for number, text in enumerate(texts)]
    together = router.score(users, texts, query_ids=ids)
    order = rng.permutation(60)
    shuffled = router.score(
        *([column[i] for i in order] for column in (users, texts)), query_ids=[ids[i] for i in order]
    )
    assert shuffled.probabilities == [together.probabilities[i] for i in order]
    router.forget_texts()
    part = router.score(users[:5], texts[:5], query_ids=ids[:5])
    for some, all_of_it in zip(part.probabilities, together.probabilities, strict=False):
        assert some == pytest.approx(all_of_it, abs=1e-6)
    assert len({tuple(row.values()) for row in together.probabilities}) > 20


def test_a_task_an_id_and_a_user_each_count(router, known):
    tasks = router.world.interactions.tasks.ids
    text = router.score(["u00"] * 4, [TEXT] * 4, task_ids=[None, tasks[0], tasks[1], tasks[0]]).probabilities
    assert text[1] == text[3]
    assert text[0] != text[1] != text[2]
    both = router.score(["u00"] * 2, [TEXT, None], query_ids=[known[2]] * 2).probabilities
    assert both[0] == both[1]  # the id goes first


def test_a_text_is_encoded_once(router, monkeypatch):
    encoded = []
    pool = router.pool
    encode = pool.encode
    monkeypatch.setitem(vars(pool), "encode", lambda texts, task: encoded.extend(texts) or encode(texts, task))
    router.forget_texts()
    router.score(["u00", "u01", "u02"], [TEXT, OTHER, TEXT])
    router.score(["u03", "u04"], [TEXT, "something new"])
    assert sorted(encoded) == sorted([TEXT, OTHER, "something new"])


def test_the_oldest_texts_are_forgotten_where_their_features_take_too_many_bytes(router, monkeypatch):
    cache = router.pool.text_cache
    router.forget_texts()
    router.score(["u00"], [TEXT])
    size = sum(column.nbytes for column in cache[TEXT, -1])
    monkeypatch.setattr(routing, "_CACHED_BYTES", 3 * size + 1)
    for number in range(5):
        router.score(["u00"], [f"{TEXT} {number}"])
    assert [text for text, _ in cache] == [f"{TEXT} {number}" for number in (2, 3, 4)]


def test_constraints(router):
    llms, users = router.llms, ["u00", "u03", "no one"]
    free = router.score(users, [TEXT] * 3)
    allowed = router.score(users, [TEXT] * 3, allow=[llms[5], llms[1]])
    for row, before in zip(allowed.probabilities, free.probabilities, strict=True):
        assert set(row) == {llms[1], llms[5]}
        assert row[llms[1]] == pytest.approx(before[llms[1]] / (before[llms[1]] + before[llms[5]]), abs=1e-5)
    offered = [[llms[0], llms[1]], [llms[0]], None]
    mixed = router.score(users, [TEXT] * 3, candidates=offered, allow=[llms[1]])
    assert mixed.error == [None, "no candidate is among the allowed LLMs", None]
    assert mixed.llm == [llms[1], None, llms[1]]
    expensive = router.score(users, [TEXT] * 3, max_cost=1e-15)
    assert expensive.error == ["no candidate is expected to cost at most 1e-15 USD"] * 3
    assert router.score(users, [TEXT] * 3, max_cost=1e6).probabilities == free.probabilities


def test_columns_of_a_file(router, known):
    """As `batch.score.score_file` hands them over: string or large_string, dictionaries decoded, no rows at all."""
    columns = {"user_id": pa.array(["u00", None]), "query_id": pa.array([known[0], known[1]])}
    scored = router.score_columns(columns)
    assert scored.error.to_pylist() == [None, "user_id: expected an id, found none"]
    assert np.isnan(scored.probabilities[1]).all()
    assert scored.probabilities[0].sum() == pytest.approx(1)
    empty = router.score_columns({name: column[:0] for name, column in columns.items()})
    assert empty.probabilities.shape == (0, len(router.llms))
    assert len(empty.llm) == len(empty.error) == 0
    assert router.score([], []).llm == []


def test_a_score_that_is_not_finite_is_an_error_and_no_pick(router, known, monkeypatch):
    logits = type(router.scorer).logits

    def broken(self, *arguments):
        found = logits(self, *arguments)
        found[0, 1] = np.nan
        return found

    monkeypatch.setattr(type(router.scorer), "logits", broken)
    llms = router.llms
    scores = router.score(["u00", "u00"], query_ids=known[:2])
    assert (scores.llm[0], scores.probabilities[0], scores.basis[0]) == (None, {}, None)
    assert scores.error == ["expected finite scores, found others", None]
    assert router.score(["u00"], query_ids=known[:1], candidates=[llms[2:]]).error == [None]  # it is no candidate


def test_a_long_text_is_scored_and_not_kept(router):
    text = "How do rivers flow? " * 1000
    assert router.score(["u00"], [text]).error == [None]
    assert (text, -1) not in router.pool.text_cache
    router.score(["u00"], [TEXT])
    assert (TEXT, -1) in router.pool.text_cache
