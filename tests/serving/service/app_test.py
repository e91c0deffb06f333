"""Requests and answers: routes, feedback that counts at once and once, errors in one shape, what is logged."""

import json

import pytest
from serve_cases import LLMS, client_of, open_service

ANN = "ann's key"


@pytest.fixture
def client(tmp_path):
    with client_of(open_service(tmp_path / "state.sqlite"), max_body=10_000) as client:
        yield client


def test_a_route_ranks_all_models_and_feedback_on_it_counts_at_once(client):
    first = client.ok("POST", "/v1/route", {"query": "What is 2 + 2?"}, ANN)
    assert [one["model"] for one in first["models"]] == LLMS
    assert first["model"] == LLMS[0]
    assert sum(one["probability"] for one in first["models"]) == pytest.approx(1)
    assert first["models"][1]["expected_cost"] == 0.01
    assert (first["basis"], first["reason"], first["propensity"]) == ("cold_start", "best", 1.0)
    thumb = {"decision_id": first["decision_id"], "thumb": "up", "model": "cedar"}
    assert client.ok("POST", "/v1/feedback", thumb, ANN)["duplicate"] is False
    second = client.ok("POST", "/v1/route", {"messages": [{"role": "user", "content": "Hello"}]}, ANN)
    assert (second["model"], second["basis"]) == ("cedar", "history")
    assert client.ok("POST", "/v1/route", {"query": "Hello"}, "bob's key")["basis"] == "cold_start"


def test_the_pick_is_in_the_header_that_envoy_reads(client):
    answer = client("POST", "/v1/route", {"query": "Hello", "candidates": ["birch"]}, ANN)
    assert answer.headers["x-ai-eg-model"] == "birch" == answer.json()["model"]


def test_feedback_under_one_id_counts_once_and_other_feedback_under_it_is_refused(client):
    asked = {"id": "f1", "query": "Hello", "model": "birch", "thumb": "up"}
    assert client.ok("POST", "/v1/feedback", asked, ANN) == {"id": "f1", "duplicate": False}
    assert client.ok("POST", "/v1/feedback", asked, ANN) == {"id": "f1", "duplicate": True}
    assert client.ok("GET", "/v1/users/me", key=ANN)["feedback"] == 1
    answer = client("POST", "/v1/feedback", asked | {"thumb": "down"}, ANN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "id_in_use")
    assert client.ok("POST", "/v1/feedback", asked, "bob's key")["duplicate"] is False  # ids are those of a user


def test_what_was_served_is_noted_by_decision(client):
    decision = client.ok("POST", "/v1/route", {"query": "Hello"}, ANN)["decision_id"]
    told = {"decision_id": decision, "model": "birch", "cost": 0.5, "latency": 2, "input_tokens": 7}
    for cost in (0.5, 0.25):  # the last word counts
        client.ok("POST", "/v1/served", told | {"cost": cost}, ANN)
    (row,) = client.ok("GET", "/v1/users/me?export=true", key=ANN)["served"]
    assert (row["llm"], row["cost"], row["latency"], row["output_tokens"]) == ("birch", 0.25, 2, None)
    assert client("POST", "/v1/served", told, "bob's key").status_code == 404
    assert client("POST", "/v1/served", told | {"cost": -1}, ANN).json()["error"]["param"] == "cost"


def test_a_decision_of_another_user_is_unknown(client):
    decision = client.ok("POST", "/v1/route", {"query": "Hello"}, ANN)["decision_id"]
    answer = client("POST", "/v1/feedback", {"decision_id": decision, "thumb": "up"}, "bob's key")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_decision")
    assert client.ok("GET", "/v1/users/me", key="bob's key")["feedback"] == 0


@pytest.mark.parametrize(
    "said",
    [
        {"thumb": "up", "model": "birch"},
        {"rating": 4.5, "model": "birch"},
        {"choice": "birch", "candidates": ["alder", "birch"]},
        {"vote": {"model_a": "alder", "model_b": "birch", "winner": "b"}},
    ],
)
def test_every_kind_of_feedback_moves_the_user(client, said):
    client.ok("POST", "/v1/feedback", {"query": "Hello"} | said, ANN)
    assert client.ok("POST", "/v1/route", {"query": "Hello"}, ANN)["model"] == "birch"


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        ("route", {}, None, "expected query or messages, found neither"),
        ("route", {"query": "x", "messages": [{"role": "user", "content": "x"}]}, None, "found both"),
        ("route", {"query": " "}, "query", "expected a text, found none"),
        ("route", {"query": 5}, "query", "expected a valid string"),
        ("route", {"query": "x", "candidates": []}, "candidates", "at least 1"),
        ("route", {"query": "x", "candidates": ["oak"]}, "candidates", "found 'oak'"),
        ("route", {"query": "x", "max_cost": 0}, "max_cost", "greater than 0"),
        ("route", {"query": "x", "max_cost": 1e-9}, "max_cost", "no candidate"),
        ("route", {"query": "x", "task_id": "nope"}, "task_id", "expected a task"),
        ("route", {"query": "x", "temperature": 1}, "temperature", "unknown field"),
        ("route", {"messages": [{"role": "assistant", "content": "x"}]}, "messages", "expected a message of the user"),
        ("feedback", {"query": "x", "model": "birch"}, None, "expected one of thumb, rating, choice, vote, found none"),
        ("feedback", {"query": "x", "model": "oak", "thumb": "up"}, "llm", "found 'oak'"),
        ("feedback", {"query": "x", "model": "birch", "rating": 1e7}, "rating", "less than or equal to 1000000"),
        ("served", {"decision_id": "d", "model": "birch", "cost": 1e7}, "cost", "less than or equal to 1000000"),
        ("feedback", {"query": "x", "thumb": "up"}, None, "expected a model"),
        ("feedback", {"model": "birch", "thumb": "up"}, None, "expected a decision_id, a query or messages"),
        ("feedback", {"query": "x", "choice": "birch", "candidates": ["alder"]}, "llm", "one of the candidates"),
    ],
)
def test_a_bad_request_gets_one_clear_line(client, path, body, param, words):
    answer = client("POST", f"/v1/{path}", body, ANN)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert words in error["message"]
    assert "\n" not in error["message"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 9000, b'{"query": NaN}', b"1" * 9000, b'{"query": "\\ud800"}']
)
def test_a_body_that_is_no_request_is_refused(client, content):
    answer = client("POST", "/v1/route", content=content, key=ANN, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/route", 405), ("GET", "/v2", 404), ("POST", "/v1/nothing", 404)]
)
def test_an_unknown_path_or_method_is_told_in_the_same_shape(client, method, path, status):
    answer = client(method, path, key=ANN)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


def test_health_metrics_and_the_page_on_the_interface_need_no_key(client):
    client.ok("POST", "/v1/route", {"query": "Hello"}, ANN)
    assert client.ok("GET", "/healthz") == {"status": "ok"}
    assert client.ok("GET", "/readyz") == {"status": "ready"}
    metrics = client("GET", "/metrics").text
    assert 'prouter_decisions_total{basis="cold_start",model="alder",reason="best"} 1.0' in metrics
    assert 'prouter_requests_total{endpoint="/v1/route",status="200"} 1.0' in metrics
    page = client("GET", "/docs").text
    assert "POST /v1/feedback" in page
    assert "switch_gain" in page
    assert "http" not in page.replace("httpx", "")  # nothing comes from elsewhere
    assert "/v1/users/{user_id}" in client.ok("GET", "/openapi.json")["paths"]


def test_log_lines_have_decisions_but_no_prompt_user_or_key(client):
    decision = client.ok("POST", "/v1/route", {"query": "a secret prompt"}, ANN)["decision_id"]
    client.ok("POST", "/v1/feedback", {"decision_id": decision, "thumb": "down"}, ANN)
    client("POST", "/v1/route", {"query": "a secret prompt", "candidates": ["secret"]}, "secret key")
    text = client.lines.getvalue()
    events = [json.loads(line) for line in text.splitlines()]
    assert [event["event"] for event in events] == ["route", "feedback", "refused"]
    assert {event.get("decision_id") for event in events[:2]} == {decision}
    assert not any(word in text for word in ("secret", "ann"))


def test_an_error_of_the_service_is_told_without_what_was_sent(client, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("about a secret prompt")

    monkeypatch.setattr(client.app.state.shared.service.live, "rank", fail)
    answer = client("POST", "/v1/route", {"query": "a secret prompt"}, ANN)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    assert "secret" not in answer.text + client.lines.getvalue()
    assert '"kind": "RuntimeError"' in client.lines.getvalue()
