"""Decisions, feedback and users over restarts: what is kept, what is forgotten, what changes a pick."""

import random
import sqlite3

import pytest
from scipy import stats
from serve_cases import CountingRouter, client_of, open_service

from prouter_jax.serving.exploration import Exploration
from prouter_jax.serving.service import sqlite, store
from prouter_jax.serving.service.arrange import is_tool_loop
from prouter_jax.serving.service.errors import ApiError
from prouter_jax.serving.service.requests import FeedbackRequest, RouteRequest, ServedRequest, UserRequest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.sqlite"


@pytest.fixture
def service(path):
    service = open_service(path)
    yield service
    service.close()


def _route(service, user="ann", **request):
    return service.route(user, RouteRequest(**{"query": "Hello"} | request))


def _say(service, user="ann", **request):
    return service.feedback(user, FeedbackRequest(**request)).result()


def test_feedback_outlives_the_process_and_counts_once_more_in_no_restart(path):
    service = open_service(path)
    decision = _route(service).decision
    _say(service, decision_id=decision.decision_id, choice="cedar", first="alder")
    _say(service, query="Bye", model="birch", rating=3)
    said = service.live.said
    service.close()
    for _ in range(2):
        service = open_service(path)
        assert service.live.said == said
        assert len(said["ann"]) == 2
        service.close()


def test_texts_are_stored_only_if_that_is_asked(path, tmp_path):
    for store_prompts in (False, True):
        service = open_service(path, store_prompts=store_prompts)
        decision = _route(service, query="a private text").decision
        _say(service, decision_id=decision.decision_id, thumb="up")
        _say(service, query="a private text", model="birch", thumb="up")
        said = service.live.said["ann"][-1]
        assert (said.query, said.features is None) == (("a private text", True) if store_prompts else (None, False))
        service.close()
        found = any(b"private" in file.read_bytes() for file in tmp_path.iterdir())
        assert found == store_prompts


def test_feedback_that_the_router_lost_the_model_of_is_kept_and_counted(path):
    service = open_service(path)
    _say(service, query="Hello", model="cedar", thumb="up")
    _say(service, query="Hello", model="birch", thumb="up")
    service.close()
    service = open_service(path, CountingRouter(["alder", "birch"]))
    assert service.dropped == 1
    assert [one.llm for one in service.live.said["ann"]] == ["birch"]
    assert service.swap(CountingRouter()) == 0
    assert [one.llm for one in service.live.said["ann"]] == ["cedar", "birch"]
    service.close()


def test_feedback_that_came_back_by_an_export_is_not_counted_twice(path):
    service = open_service(path)
    for model in ("cedar", "birch"):
        _say(service, query="Hello", model=model, thumb="up")
    first, second = service.history("ann").result()[1]
    assert second.time > first.time
    service.close()
    service = open_service(path, CountingRouter(known={"ann": first.time}))
    assert [one.llm for one in service.live.said["ann"]] == ["birch"]
    service.close()
    service = open_service(path, CountingRouter(known={"bob": first.time}))  # of another user
    assert [one.llm for one in service.live.said["ann"]] == ["cedar", "birch"]
    service.close()


def test_feedback_that_cannot_be_written_is_not_heeded(path, monkeypatch):
    service = open_service(path)
    _say(service, query="Hello", model="cedar", thumb="up")
    service.set("ann", UserRequest(ban=["birch"])).result()

    def full(database, feedback):
        database.execute("ROLLBACK")  # as SQLite does when the disk is full

    with monkeypatch.context() as patch:
        patch.setattr(store, "add_feedback", full)
        with pytest.raises(sqlite3.OperationalError):
            _say(service, query="Hello", model="birch", thumb="up")
    assert not service.healthy
    assert [one.llm for one in service.live.said["ann"]] == ["cedar"]
    assert service.settings("ann").ban == ("birch",)
    _say(service, query="Hello", model="birch", thumb="up")
    assert service.healthy
    assert [one.llm for one in service.live.said["ann"]] == ["cedar", "birch"]
    service.close()


def test_deletion_leaves_nothing_of_a_user_in_any_file(path, tmp_path):
    service = open_service(path, CountingRouter(known={"zoe": 1.0}), store_prompts=True)
    for user in ("zoe", "ann"):
        decision = _route(service, user, query=f"of {user}", session="s").decision
        for number in range(50):
            _say(service, user, id=f"{user}{number}", decision_id=decision.decision_id, thumb="up")
        service.set(user, UserRequest(pin="cedar")).result()
        service.served(user, ServedRequest(decision_id=decision.decision_id, model="cedar", cost=0.1)).result()
    expected = {"decisions": 1, "feedback": 50, "served": 1, "users": 1}
    assert service.delete("zoe").result() == expected
    assert not any(b"zoe" in file.read_bytes() for file in tmp_path.iterdir())
    assert _route(service, "zoe", session="s").reason == "best"
    assert "zoe" not in service.live.said
    assert len(service.live.said["ann"]) == 50
    assert service.settings("ann").pin == "cedar"
    assert service.is_known("zoe")  # of training, which the state does not hold
    service.close()
    service = open_service(path)
    assert service.delete("ann").result() == expected
    assert service.delete("ann").result() == dict.fromkeys(expected, 0)
    service.close()
    assert not any(b"ann" in file.read_bytes() for file in tmp_path.iterdir())


def test_deletion_while_an_export_reads_is_finished_after_it(path, service):
    _say(service, "zoe", query="Hello", model="cedar", thumb="up")
    reading = sqlite.connect(path)
    reading.execute("BEGIN")
    assert len(list(store.feedback_of(reading))) == 1
    service.delete("zoe").result()
    reading.execute("COMMIT")
    _say(service, "ann", query="Hello", model="cedar", thumb="up")
    reading.close()
    assert not any(b"zoe" in file.read_bytes() for file in path.parent.iterdir())


def test_a_session_keeps_its_model_until_the_gain_is_worth_it(path):
    service = open_service(path, switch_gain=0.2)
    assert _route(service, session="s").decision.llm == "alder"
    for _ in range(2):
        _say(service, query="Hello", model="cedar", thumb="up")
        if _route(service).ranking.probabilities[0] < 0.55:
            assert (_route(service).reason, _route(service).decision.llm) == ("best", "cedar")
    _say(service, query="Hello", model="alder", thumb="up")  # alder 2, birch 1, cedar 3: a gain of 1/6
    kept = _route(service, session="s")
    assert (kept.decision.llm, kept.reason, kept.ranking.llms) == ("alder", "session", ["alder", "cedar", "birch"])
    assert _route(service, session="s", switch_gain=0.1).decision.llm == "cedar"
    assert _route(service, session="t").decision.llm == "cedar"
    service.close()


def test_a_session_heeds_what_the_others_would_have_to_read_anew(path):
    service = open_service(path)
    assert _route(service, session="s", candidates=["birch"]).decision.llm == "birch"
    plain = _route(service, session="s", cached_tokens=500_000)  # a dollar per million tokens, here
    assert plain.ranking.costs == pytest.approx([0.01, 0.501, 0.6])
    assert _route(service, session="s", switch_gain=0, max_cost=0.5, cached_tokens=500_000).decision.llm == "birch"
    assert max(_route(service, cached_tokens=500_000).ranking.costs) == 0.1  # no session, nothing cached
    service.close()


def test_latencies_that_were_served_limit_the_next_picks_also_of_another_router(path):
    service = open_service(path)
    decision = _route(service, max_latency=0.5).decision
    assert decision.llm == "alder"
    service.served("ann", ServedRequest(decision_id=decision.decision_id, model="alder", latency=2.0)).result()
    assert _route(service, max_latency=0.5).decision.llm == "birch"
    service.swap(CountingRouter())
    assert _route(service, max_latency=0.5).decision.llm == "birch"
    assert _route(service, max_latency=2.0).decision.llm == "alder"
    service.served("ann", ServedRequest(decision_id=decision.decision_id, model="oak", latency=2.0)).result()
    assert service.live.latencies.expected("oak") is None
    with pytest.raises(ApiError, match="max_latency: no candidate is expected to answer within"):
        _route(service, candidates=["alder"], max_latency=0.5)
    service.close()


def test_a_session_is_known_after_a_restart(path):
    service = open_service(path)
    assert _route(service, session="s", candidates=["birch"]).decision.llm == "birch"
    service.close()
    service = open_service(path)
    assert _route(service, session="s").decision.llm == "birch"
    assert _route(service, "bob", session="s").decision.llm == "alder"  # of another user
    service.close()


def test_the_model_is_never_changed_while_it_waits_for_a_tool(service):
    asked = {"role": "user", "content": "What is the weather?"}
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "rain"}
    assert _route(service, query=None, messages=[asked], session="s", candidates=["birch"]).decision.llm == "birch"
    service.set("ann", UserRequest(pin="cedar")).result()
    for messages in ([asked, calls], [asked, calls, result]):
        routed = _route(service, query=None, messages=messages, session="s", switch_gain=0)
        assert (routed.decision.llm, routed.reason) == ("birch", "tool_loop")
    assert _route(service, query=None, messages=[asked], session="s").reason == "pinned"
    assert _route(service, query=None, messages=[asked, calls, result]).reason == "pinned"  # no session, no loop
    assert is_tool_loop([{"role": "user", "content": [{"type": "tool_result", "content": "rain"}]}])
    assert not is_tool_loop([asked])


def test_a_user_pins_and_bans_models(path):
    with client_of(open_service(path)) as client:
        key = "ann's key"
        found = client.ok("PUT", "/v1/users/me", {"pin": "cedar", "ban": ["alder"]}, key)
        assert (found["pin"], found["ban"]) == ("cedar", ["alder"])
        assert found["summary"] == ["Always uses cedar where it is on offer.", "Never uses alder."]
        routed = client.ok("POST", "/v1/route", {"query": "Hello"}, key)
        assert ([one["model"] for one in routed["models"]], routed["reason"]) == (["cedar", "birch"], "pinned")
        assert client.ok("POST", "/v1/route", {"query": "Hello", "max_cost": 0.05}, key)["model"] == "birch"
        only = {"query": "Hello", "candidates": ["alder"]}
        assert "has not banned" in client("POST", "/v1/route", only, key).json()["error"]["message"]
        assert client("PUT", "/v1/users/me", {"pin": "oak"}, key).json()["error"]["param"] == "pin"
        assert client.ok("PUT", "/v1/users/me", {"ban": []}, key)["pin"] == "cedar"  # what is left out stays
        client.ok("POST", "/v1/feedback", {"query": "Hello", "model": "birch", "thumb": "up"}, key)
        found = client.ok("PUT", "/v1/users/me", {"pin": None, "reset": True}, key)
        assert (found["pin"], found["feedback"], found["decisions"], found["basis"]) == (None, 0, 0, "cold_start")
        assert client.ok("POST", "/v1/route", {"query": "Hello"}, key)["model"] == "alder"


def test_a_user_sets_weights_on_properties_that_the_router_has(path):
    with client_of(open_service(path)) as client:
        key = "ann's key"
        found = client.ok("PUT", "/v1/users/me", {"weights": {"length": -2.5}}, key)
        assert found["weights"] == {"length": -2.5}
        assert found["summary"] == ["Wants length to be weighed by -2.50."]
        assert client.ok("PUT", "/v1/users/me", {"pin": "cedar"}, key)["weights"] == {"length": -2.5}
        answer = client("PUT", "/v1/users/me", {"weights": {"colour": 1.0}}, key)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "weights")
        assert "expected properties among length, cost; found 'colour'" in answer.json()["error"]["message"]
        assert client("PUT", "/v1/users/me", {"weights": {"length": 1e9}}, key).status_code == 400
    with client_of(open_service(path)) as client:  # a restart
        assert client.ok("GET", "/v1/users/me", key=key)["weights"] == {"length": -2.5}
        assert client.ok("PUT", "/v1/users/me", {"weights": None}, key)["weights"] == {}


def test_a_profile_says_what_a_user_likes_and_how_sure_that_is(path):
    with client_of(open_service(path)) as client:
        for number in range(8):
            thumb = {"query": "Hello", "model": "birch", "thumb": "down" if number < 2 else "up"}
            client.ok("POST", "/v1/feedback", thumb, "ann's key")
        client.ok("POST", "/v1/feedback", {"query": "Hello", "model": "cedar", "rating": 4}, "ann's key")
        client.ok("POST", "/v1/feedback", {"query": "Hello", "choice": "alder"}, "ann's key")
        found = client.ok("GET", "/v1/users/ann", key="ann's key")
        birch = found["models"][0]
        assert (birch["model"], birch["liked"], birch["judged"], birch["share"]) == ("birch", 6, 9 - 1, 0.75)
        assert birch["low"] == pytest.approx(0.4093, abs=1e-4)  # Wilson's interval of 6 of 8
        assert birch["high"] == pytest.approx(0.9285, abs=1e-4)
        assert "Liked birch in 6 of 8 cases (41% to 93% with 95 % certainty)." in found["summary"]
        assert "Rated cedar 4 in the mean of 1." in found["summary"]
        assert found["properties"] == [{"name": "length", "weight": 10.0, "new_user_weight": 0.0}]
        assert "Weighs length by +10.00, a new user by +0.00." in found["summary"]


def test_an_export_has_everything_of_a_user_and_of_no_other(path):
    with client_of(open_service(path)) as client:
        decision = client.ok("POST", "/v1/route", {"query": "Hello"}, "ann's key")["decision_id"]
        client.ok("POST", "/v1/feedback", {"decision_id": decision, "thumb": "up"}, "ann's key")
        client.ok("POST", "/v1/route", {"query": "Hello"}, "bob's key")
        found = client.ok("GET", "/v1/users/ann?export=true", key="ann's key")
        assert [row["decision_id"] for row in found["decisions"]] == [decision]
        assert [row["content"]["kind"] for row in found["feedback"]] == ["thumb"]
        assert "bob" not in str(found)


def test_a_damaged_state_and_one_in_use_are_told_in_a_line(path):
    path.write_bytes(b"this is no database, but it is long enough to be taken for one" * 10)
    with pytest.raises(ValueError, match=r"state\.sqlite: expected an SQLite database, found none"):
        sqlite.connect(path)
    with sqlite.only_service(path), pytest.raises(ValueError, match="expected no other"), sqlite.only_service(path):
        pass


def test_a_service_that_ended_takes_nothing(path):
    service = open_service(path)
    service.close()
    with pytest.raises(ApiError) as raised:
        _route(service)
    assert raised.value.status == 503


def test_the_propensity_of_a_pick_is_its_share_of_all_draws(path):
    explore = Exploration("epsilon", 0.3, uniform=random.Random(3).random)
    service = open_service(path, explore=explore)
    picks = [_route(service, user=f"user {number}").decision for number in range(300)]
    chances = {one.llm: one.propensity for one in picks}
    assert chances == pytest.approx({"alder": 0.8, "birch": 0.1, "cedar": 0.1})
    count = [sum(one.llm == llm for one in picks) for llm in chances]
    assert stats.chisquare(count, [300 * chances[llm] for llm in chances]).pvalue > 0.001
    _say(service, query="Hello", choice="cedar")
    first = _route(service, session="talk").decision
    # a draw that is not likelier by the switching cost leaves the session where it is
    again = [_route(service, session="talk", switch_gain=1.0) for _ in range(20)]
    assert {(one.decision.llm, one.decision.propensity) for one in again} == {(first.llm, 1.0)}
    service.set("bob", UserRequest(pin="birch")).result()
    assert {_route(service, user="bob").decision.propensity for _ in range(20)} == {1.0}
    service.close()
