"""Live routing: states equal those of histories in files, feedback is heeded at once and forgotten without a trace."""

import dataclasses
import json

import numpy as np
import pytest
from router_cases import PRESETS, small_router

from prouter_jax.model.one_user import AskedQuery, OneHistory
from prouter_jax.serving.live import LiveRouter
from prouter_jax.serving.live_feedback import LiveFeedback, query_text
from prouter_jax.serving.live_query import CostChange
from prouter_jax.serving.offer import Offer
from prouter_jax.serving.router import Router

TEXTS = ["Name three rivers of Africa.", "Sort the words by length.", "Is 91 a prime number?", "Write a haiku on rain."]


@pytest.fixture(scope="module", params=PRESETS)
def router(request, dataset, tiny_model) -> Router:
    return small_router(dataset, tiny_model, request.param)


def _feedback(router: Router, user: str) -> list[LiveFeedback]:
    a, b, c = router.llms[:3]
    known = router.world.interactions.queries
    return [
        LiveFeedback(user, TEXTS[0], kind="choice", llm=a),
        LiveFeedback(user, TEXTS[1], kind="vote", llm=b, candidates=(a, b)),
        LiveFeedback(user, known.texts[0], kind="choice", llm=b, candidates=(a, b, c)),
        LiveFeedback(user, query_id=known.ids[1], kind="choice", llm=c),
        LiveFeedback(user, TEXTS[2], kind="vote", llm="", candidates=(b, c)),
        LiveFeedback(user, TEXTS[3], kind="choice", llm=a),
    ]


def _by_file(router: Router, said: list[LiveFeedback], folder) -> Router:
    for number, one in enumerate(said):
        path = folder / f"{number}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in one.table_rows()))
        router = router.with_history(path)
    return router


@pytest.mark.parametrize("user", ["a new user", "u0"])
def test_states_equal_those_of_the_same_history_in_a_file(router, tmp_path, user):
    user = router.interactions.users.ids[0] if user == "u0" else user
    live, said = LiveRouter(router), _feedback(router, user)
    for one in said:
        live.observe(one)
    expected = _by_file(router, said, tmp_path)
    for query in (*TEXTS, "Something else entirely"):
        found = live.route(user, query)
        scores = expected.score([user], [query]).probabilities[0]
        np.testing.assert_allclose(found.probabilities, [scores[name] for name in found.llms], atol=1e-5)
        assert found.basis == "history"


def test_thumbs_and_ratings_equal_those_in_files(router, tmp_path):
    live, (a, b) = LiveRouter(router), router.llms[:2]
    said = [LiveFeedback("v", text, kind="thumb", llm=a, value=1.0) for text in TEXTS[:2]]
    said += [LiveFeedback("v", TEXTS[2], kind="rating", llm=b, value=0.2)]
    said += [LiveFeedback("v", TEXTS[3], kind="rating", llm=a, value=0.9)]
    for one in said:
        live.observe(one)
    expected = _by_file(router, said, tmp_path).score(["v"], ["Any question"]).probabilities[0]
    found = live.route("v", "Any question")
    np.testing.assert_allclose(found.probabilities, [expected[name] for name in found.llms], atol=1e-5)


def test_a_request_is_ranked_as_by_score(router):
    live = LiveRouter(router)
    user, offered = router.interactions.users.ids[2], router.llms[1:4]
    found = live.route(user, [{"role": "user", "content": TEXTS[0]}], candidates=offered)
    expected = router.score([user], [TEXTS[0]], candidates=[offered])
    assert found.llms[0] == expected.llm[0]
    np.testing.assert_allclose(found.probabilities, [expected.probabilities[0][x] for x in found.llms], atol=1e-6)
    assert found.probabilities == sorted(found.probabilities, reverse=True)
    known = router.world.interactions.queries
    by_id, by_text = live.route(user, query_id=known.ids[0]), live.route(user, known.texts[0])
    assert by_id == by_text


def test_feedback_moves_its_user_alone_and_is_forgotten(router):
    live = LiveRouter(router)
    before = {user: live.route(user, TEXTS[0]) for user in ("fan", "other")}
    for text in TEXTS:
        live.observe(LiveFeedback("fan", text, kind="choice", llm=router.llms[3]))
    after = live.route("fan", TEXTS[0])
    place = [found.probabilities[found.llms.index(router.llms[3])] for found in (before["fan"], after)]
    assert place[1] != place[0]
    if router.trained.model.preset != "paper":  # after six steps its layers have not learnt to read histories
        assert place[1] > place[0] + 0.01
    assert live.route("other", TEXTS[0]) == before["other"]
    assert live.forget("fan")
    assert not live.forget("fan")
    assert live.route("fan", TEXTS[0]) == before["fan"]


def test_other_prices_are_those_of_a_router_with_these_prices(router):
    live, llm = LiveRouter(router), router.llms[1]
    for query in (live.find(TEXTS[0]), live.find(None, router.world.interactions.queries.ids[0])):
        prepared = live.prepare([query])[0]
        before, after = live.rank("ann", prepared), live.rank("ann", prepared, costs=CostChange({llm: 3.0}))
        costs = [dict(zip(found.llms, found.costs, strict=True)) for found in (before, after)]
        assert costs[1] == pytest.approx(costs[0] | {llm: 3 * costs[0][llm]})
        assert live.rank("ann", prepared, costs=CostChange({llm: 1.0})) == before
        cheap = CostChange({name: 0.0 for name in router.llms if name != llm})
        assert llm not in live.rank("ann", prepared, Offer(max_cost=costs[0][llm] / 2), costs=cheap).llms
    with pytest.raises(ValueError, match="prices: expected LLMs among"):
        live.rank("ann", prepared, costs=CostChange({"nobody": 2.0}))
    weighs = dict.fromkeys(set(live.weights("ann")) & {"cost"}, -5.0)
    if weighs and router.scorer.unseen_queries is None:
        found = [live.rank("ann", prepared, weights=weighs, costs=CostChange({llm: by})) for by in (0.0, 1e6)]
        assert found[0].llms.index(llm) < found[1].llms.index(llm)


def test_what_a_session_has_cached_costs_the_other_llms_their_input_price(router):
    live, (kept, *_) = LiveRouter(router), router.llms
    prepared = live.prepare([live.find(TEXTS[0])])[0]
    before, after = live.rank("ann", prepared), live.rank("ann", prepared, costs=CostChange({}, 30_000, kept))
    costs = [dict(zip(found.llms, found.costs, strict=True)) for found in (before, after)]
    llms = router.interactions.llms
    prices = dict(zip(router.llms, np.nan_to_num(llms.input_price) * 30_000 / 1e6, strict=True))
    assert max(prices.values()) > 0
    assert costs[1] == pytest.approx({llm: costs[0][llm] + (llm != kept) * prices[llm] for llm in router.llms})
    assert live.rank("ann", prepared, costs=CostChange({}, 30_000, None)) == before  # a session that has no LLM
    weighs = dict.fromkeys(set(live.weights("ann")) & {"cost"}, -5.0)
    if weighs and router.scorer.unseen_queries is None:
        found = [live.rank("ann", prepared, weights=weighs, costs=CostChange({}, n, kept)) for n in (0, 1e9)]
        assert found[1].probabilities[found[1].llms.index(kept)] > found[0].probabilities[found[0].llms.index(kept)]


def test_slow_llms_are_left_out_once_their_latency_is_known(router):
    live, (slow, *others) = LiveRouter(router), router.llms
    assert slow in live.route("ann", TEXTS[0], max_latency=1.0).llms
    for seconds in (0.1, 3.0, 3.0):  # the median counts
        live.latencies.note(slow, seconds)
    assert sorted(live.route("ann", TEXTS[0], max_latency=1.0).llms) == sorted(others)
    assert slow in live.route("ann", TEXTS[0], max_latency=3.0).llms
    assert slow in LiveRouter(router).route("ann", TEXTS[0], max_latency=1.0).llms
    assert slow not in LiveRouter(router, live.latencies).route("ann", TEXTS[0], max_latency=1.0).llms
    for _ in range(100):  # earlier ones are forgotten
        live.latencies.note(slow, 0.5)
    assert slow in live.route("ann", TEXTS[0], max_latency=1.0).llms
    with pytest.raises(ValueError, match="max_latency: no candidate is expected to answer within"):
        live.route("ann", TEXTS[0], candidates=[slow], max_latency=0.1)


def test_weights_that_a_user_set_stand_in_place_of_the_learnt_ones(router):
    live, pool = LiveRouter(router), router.pool
    query, learnt = live.prepare([live.find(TEXTS[0])])[0], live.weights("ann")
    free = live.rank("ann", query)
    assert live.rank("ann", query, weights={"no such property": 1.0}) == free
    if not learnt:
        return  # states are no weights
    assert live.rank("ann", query, weights={name: mine for name, (mine, _) in learnt.items()}) == free
    name = next(name for name in learnt if name.startswith("style"))
    moved = live.rank("ann", query, weights={name: 5.0})
    state = pool.users[-1].copy()
    state[pool.scorer.named[name]] = 5.0
    zero = np.zeros(1, np.int64)
    logits = pool.temperature * pool.scorer.logits(state[None], query.batch, zero, zero)[0]
    expected = dict(zip(live.llms, np.exp(logits) / np.exp(logits).sum(), strict=True))
    np.testing.assert_allclose(moved.probabilities, [expected[llm] for llm in moved.llms], atol=1e-5)
    assert moved.probabilities != free.probabilities
    assert live.rank("ann", query) == free


def test_weights_are_those_of_the_state_and_those_of_a_new_user_where_nothing_was_said(router):
    live, scorer = LiveRouter(router), router.scorer
    new = live.weights("fan")
    assert bool(new) == bool(scorer.named)
    assert all(mine == of_new_user for mine, of_new_user in new.values())
    live.observe(LiveFeedback("fan", TEXTS[0], kind="choice", llm=router.llms[3]))
    for name, (mine, of_new_user) in live.weights("fan").items():
        assert mine == live._states["fan"][scorer.named[name]][0]
        assert of_new_user == new[name][1]


def test_a_replay_gives_the_same_states(router):
    first, second = LiveRouter(router), LiveRouter(router)
    said = [*_feedback(router, "ann"), *_feedback(router, "bob")]
    for one in said:
        first.observe(one)
    for one in said:
        second.replay(LiveFeedback.from_row(json.loads(json.dumps(one.to_row()))))
    for user in ("ann", "bob"):
        assert first.route(user, TEXTS[0]) == second.route(user, TEXTS[0])
    second.forget("bob")
    assert second.route("bob", TEXTS[0]).basis == "cold_start"


def test_a_replay_reads_nobody_until_asked_and_refuses_what_cannot_be_read(router, monkeypatch):
    live, read = LiveRouter(router), []
    states = live._user_states
    monkeypatch.setattr(states, "read", lambda user, said, real=states.read: read.append(user) or real(user, said))
    said = _feedback(router, "ann")
    for one in said:
        live.replay(one)
    assert not read
    live.route("ann", TEXTS[0])
    live.weights("ann")
    assert read == ["ann"]
    with pytest.raises(ValueError, match="features: expected"):
        live.replay(dataclasses.replace(said[0], query=None, features=b"1234"))
    assert live.route("ann", TEXTS[1]).basis == "history"
    assert read == ["ann"]


def test_features_take_the_place_of_a_text(router):
    if router.scorer.applied is None or router.scorer.applied.one_user_reader() is None:
        pytest.skip("the network of this preset reads whole tables")
    by_text, by_features = LiveRouter(router), LiveRouter(router)
    for text in (TEXTS[0], router.world.interactions.queries.texts[0]):
        said = LiveFeedback("ann", text, kind="choice", llm=router.llms[2])
        by_text.observe(said)
        columns = by_features.prepare([by_features.find(text)])[0].columns
        by_features.observe(dataclasses.replace(said, query=None, **columns))
    assert by_text.route("ann", TEXTS[1]) == by_features.route("ann", TEXTS[1])


def test_a_bad_piece_of_feedback_changes_nothing(router):
    live, llm = LiveRouter(router), router.llms[0]
    wrong = [
        (LiveFeedback("", TEXTS[0], llm=llm), "user: expected an id"),
        (LiveFeedback("u", TEXTS[0], llm="nobody"), "llm: expected LLMs among"),
        (LiveFeedback("u", "", llm=llm), "query: expected a text"),
        (LiveFeedback("u", TEXTS[0], kind="thumb", llm=llm, value=2.0), "value: expected 1"),
        (LiveFeedback("u", TEXTS[0], kind="rating", llm=llm, value=float("nan")), "value: expected a finite"),
        (LiveFeedback("u", TEXTS[0], kind="rating", llm=llm, value=1e7), r"1,000,000\], found 10000000"),
        (LiveFeedback("u", TEXTS[0], kind="vote", llm=llm, candidates=(llm,)), "the two LLMs"),
        (LiveFeedback("u", TEXTS[0], llm=llm, candidates=tuple(router.llms[1:])), "one of the candidates"),
        (LiveFeedback("u", TEXTS[0], llm=llm, task_id="unheard of"), "task_id: expected a task"),
    ]
    for feedback, message in wrong:
        with pytest.raises(ValueError, match=message):
            live.observe(feedback)
    assert live.route("u", TEXTS[0]).basis == "cold_start"
    with pytest.raises(ValueError, match="max_cost"):
        live.route("u", TEXTS[0], max_cost=1e-30)
    with pytest.raises(ValueError, match="candidates"):
        live.route("u", TEXTS[0], candidates=["nobody"])


def test_a_history_grows_beyond_its_first_arrays():
    history, rng = OneHistory(2, 3, 5), np.random.default_rng(0)
    answers, weights = rng.normal(size=(70, 2, 3)).astype(np.float32), rng.normal(size=(70, 5)).astype(np.float32)
    for row in range(70):
        history.append(AskedQuery(answers[row], weights[row] if row % 2 else None), {"target": np.eye(2)[row % 2]})
    assert len(history.answers) == 128
    assert len(history.at) == 64
    np.testing.assert_array_equal(history.answers[:70], answers)
    np.testing.assert_array_equal(history.weights[:35], weights[1::2])
    np.testing.assert_array_equal(history.at[:35], np.arange(1, 70, 2))
    assert (history.at[35:] == -1).all()
    np.testing.assert_array_equal(history.columns["target"][:70, 1], np.arange(70) % 2)


def test_the_query_of_messages_is_the_last_text_of_the_user():
    parts = [{"type": "text", "text": "Look: "}, {"type": "image_url", "image_url": {"url": "x"}}]
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "First question"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "42"},
    ]
    assert query_text(messages) == "First question"
    assert query_text([*messages, {"role": "user", "content": parts}]) == "Look:"
    assert query_text([*messages, {"role": "user", "content": parts[1:]}]) == "First question"
    for bad in ([], [{"role": "user", "content": ""}], [3], {"role": "user"}):
        with pytest.raises(ValueError, match="messages: expected"):
            query_text(bad)
