"""Collection: every answer is stored when it arrives and requested once, whatever a server does."""

import dataclasses
import json
import threading
import time

import pytest
from collect_cases import echo, lines, make_llm, make_queries
from judge_server import Act, JudgeServer
from processes import HANG

from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.llm.answers import open_answers
from prouter_jax.llm.collect import collect, estimate_costs

COST = (100 * 10.0 + 5 * 100.0) / 1e6  # of an answer, by the server's count of tokens


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def _collect(path, queries, llms, budget=0.0, concurrency=8):
    return collect(queries, llms, path, budget, concurrency)


def _asked(server):
    return [(body["model"], body["messages"][-1]["content"]) for body in server.requests]


def test_every_llm_answers_every_query_and_the_tables_can_be_read(tmp_path):
    with JudgeServer(echo) as server:
        llms = [make_llm(server, "a", family="f"), make_llm(server, "b")]
        found = _collect(tmp_path, make_queries(5), llms)
        assert len(server.requests) == len(set(_asked(server))) == 10
    assert (found.answers, found.wanted, found.cut_off, found.estimated_tokens) == (10, 10, 0, 0)
    assert found.spent == pytest.approx(10 * COST)
    data = read_tables(tmp_path)
    assert data.llms.ids.tolist() == ["a", "b"]
    assert data.llms.families.tolist() == ["f", ""]
    for query, llm, response in zip(data.outcomes.query, data.outcomes.llm, data.outcomes.response, strict=True):
        assert response == f"You asked: {data.queries.texts[query]}", llm
    assert data.outcomes.cost == pytest.approx([COST] * 10)
    assert set(data.outcomes.input_tokens) == {100}


def test_a_second_run_sends_no_request_and_needs_no_key(tmp_path):
    with JudgeServer(echo) as server:
        first = _collect(tmp_path, make_queries(3), [make_llm(server)])
        before = (tmp_path / "answers.jsonl").read_bytes()
        again = _collect(tmp_path, make_queries(3), [make_llm(server)])
        assert len(server.requests) == 3
        more = _collect(tmp_path, make_queries(4), [make_llm(server)])
        assert _asked(server)[3:] == [("model-a", "What is 3")]
    assert first == again
    assert (tmp_path / "answers.jsonl").read_bytes().startswith(before)
    assert more.answers == 4


def test_llms_of_one_server_model_and_parameters_share_answers(tmp_path):
    with JudgeServer(echo) as server:
        llms = [make_llm(server, "a"), dataclasses.replace(make_llm(server, "a"), name="b", input_price=20.0)]
        found = _collect(tmp_path, make_queries(2), llms)
        assert len(server.requests) == 2
    assert (found.answers, found.wanted) == (4, 4)
    assert read_tables(tmp_path).outcomes.cost == pytest.approx([COST, COST, COST + 0.001, COST + 0.001])


def test_failures_are_stored_apart_and_requested_again_in_the_next_run(tmp_path):
    refuse = True

    def decide(messages, number):
        return (
            Act(status=400, body=b"{}") if refuse and messages[-1]["content"] == "What is 1" else echo(messages, number)
        )

    with JudgeServer(decide) as server:
        found = _collect(tmp_path, make_queries(3), [make_llm(server)])
        assert (found.answers, sum(found.failures.values())) == (2, 1)
        (failure,) = lines(tmp_path / "failures.jsonl")
        assert (failure["llm"], failure["query_id"], failure["cost"]) == ("a", "q1", 0.0)
        assert failure["reason"].startswith("HTTP 400")
        assert len(lines(tmp_path / "answers.jsonl")) == 2
        assert read_tables(tmp_path).outcomes.query.tolist() == [0, 2]
        refuse = False
        again = _collect(tmp_path, make_queries(3), [make_llm(server)])
        assert _asked(server)[3:] == [("model-a", "What is 1")]
    assert (again.answers, again.failures) == (3, {})


def test_one_server_that_refuses_everything_does_not_stop_the_others(tmp_path):
    echoed = b'{"error": {"message": "wrong key"}}'
    with JudgeServer(echo) as good, JudgeServer(lambda *_: Act(status=401, body=echoed)) as bad:
        llms = [make_llm(bad, "bad"), make_llm(good, "good")]
        found = _collect(tmp_path, make_queries(20), llms, concurrency=2)
        assert len(bad.requests) <= 2
    assert found.answers == 20
    assert list(found.stopped) == ["bad"]
    with pytest.raises(ValueError, match=r"^bad: the server refuses every request: HTTP 401"):
        found.raise_errors()
    assert len(read_tables(tmp_path).outcomes.query) == 20


def test_requests_under_way_at_a_kill_count_against_the_budget(tmp_path, capsys):
    """The killed run had asked q0, q1 and q2; q0 was answered and q1 had failed."""
    with JudgeServer(echo) as server:
        llm = make_llm(server)
        answered = llm.keys(["What is 0", "What is 1", "What is 2"])
        _collect(tmp_path, make_queries(1), [llm])
        assert not (tmp_path / "sent.jsonl").exists()
        for key, ended in zip(answered, (False, True, False), strict=True):
            sent = {"key": key, "llm": "a", "query_id": "q", "cost": 0.0 if ended else 0.02, "ended": ended}
            with open(tmp_path / "sent.jsonl", "a") as file:
                file.write(json.dumps(sent) + "\n")
        capsys.readouterr()
        found = _collect(tmp_path, make_queries(3), [llm], budget=COST + 0.02 + 2 * COST + 0.01)
        assert "1 requests were under way when an earlier run was killed" in (said := capsys.readouterr().err)
        assert "at most 0.0200 USD are paid twice" in said
        assert found.answers == 3
        assert found.spent == pytest.approx(3 * COST + 0.02)
        assert [line["reason"] for line in lines(tmp_path / "failures.jsonl")] == ["under way when the run was killed"]
        again = _collect(tmp_path, make_queries(3), [llm])
        assert (again.spent, capsys.readouterr().err) == (found.spent, "")


def test_no_answer_at_all_is_an_error(tmp_path):
    with JudgeServer(lambda *_: Act(status=400, body=b"{}")) as server:
        found = _collect(tmp_path, make_queries(3), [make_llm(server)])
    with pytest.raises(ValueError, match=r"^expected an answer, found none: a: HTTP 400"):
        found.raise_errors()


def test_nobody_else_may_read_the_answers(tmp_path):
    (tmp_path / "answers.jsonl").write_text("")
    with JudgeServer(echo) as server:
        _collect(tmp_path, make_queries(1), [make_llm(server)])
    assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("*.jsonl")} == {
        "answers.jsonl": 0,
        "failures.jsonl": 0,
    }


def test_after_a_fatal_error_no_request_is_sent(tmp_path):
    with JudgeServer(lambda *_: Act(status=401, body=b"{}")) as server:
        begun = time.monotonic()
        found = _collect(tmp_path, make_queries(200), [make_llm(server, requests_per_minute=60)])
        assert len(server.requests) <= 2  # the others were waiting for their turn
        assert time.monotonic() - begun < 100  # all would take 200 seconds
    assert found.failures == {}


def test_a_missing_key_is_found_before_any_request(tmp_path):
    with JudgeServer(echo) as server:
        llms = [make_llm(server, "a"), make_llm(server, "b", key_variable="NOT_SET")]
        with pytest.raises(ValueError, match=r"^environment: expected NOT_SET, found none$"):
            _collect(tmp_path, make_queries(2), llms)
        assert server.requests == []


def test_a_key_is_sent_to_its_own_server_only(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("KEY_A", "sk-secret-a")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-openai")
    tell = Act(status=400, body=b'{"error": {"message": "I was told sk-secret-a"}}')
    with JudgeServer(lambda *_: tell) as first, JudgeServer(echo) as second:
        llms = [make_llm(first, "a", key_variable="KEY_A"), make_llm(second, "b")]
        found = _collect(tmp_path, make_queries(2), llms)
        assert set(first.authorization) == {"Bearer sk-secret-a"}
        assert "secret" not in str(second.authorization)
    texts = [path.read_bytes().decode(errors="replace") for path in tmp_path.iterdir()]
    assert not [text for text in [*texts, str(found), *capfd.readouterr()] if "sk-secret" in text]
    assert "[key]" in str(found.failures)


def test_the_budget_is_not_exceeded_and_a_higher_one_continues_the_run(tmp_path):
    with JudgeServer(echo) as server:
        llms = [make_llm(server, "a"), make_llm(server, "b")]
        found = _collect(tmp_path, make_queries(20), llms, budget=0.03)
        assert found.answers == len(server.requests)
        assert 0.02 < found.spent <= 0.03
        assert set(found.stopped) == {"a", "b"}
        found.raise_errors()  # an empty purse is no error
        assert _collect(tmp_path, make_queries(20), llms, budget=0.03).spent == found.spent
        rest = _collect(tmp_path, make_queries(20), llms, budget=1.0)
        assert len(server.requests) == rest.answers == 40


def test_lost_answers_are_charged_at_their_maximum_length(tmp_path):
    with JudgeServer(lambda messages, number: Act(drop=True) if number == 0 else echo(messages, number)) as server:
        found = _collect(tmp_path, make_queries(1), [make_llm(server)])
    lost = (3 * 10.0 + 50 * 100.0) / 1e6  # "What is 0" is three tokens or so
    assert found.spent == pytest.approx(COST + lost)
    assert read_tables(tmp_path).outcomes.cost == pytest.approx(
        [COST]
    )  # an answer costs what it costs without bad luck


def test_cut_off_answers_and_missing_token_counts_are_reported(tmp_path):
    cut = b'{"choices": [{"message": {"content": "So far"}, "finish_reason": "length"}]}'
    with JudgeServer(lambda *_: Act(body=cut)) as server:
        found = _collect(tmp_path, make_queries(1), [make_llm(server)])
    assert (found.cut_off, found.estimated_tokens) == (1, 1)
    (line,) = lines(tmp_path / "answers.jsonl")
    assert (line["text"], line["finish_reason"], line["counted"]) == ("So far", "length", False)
    assert (line["input_tokens"], line["output_tokens"]) == (3, 2)
    assert read_tables(tmp_path).outcomes.response == ["So far"]


def test_limits_hold_for_each_llm_and_for_all(tmp_path):
    pairs, triples = threading.Barrier(2), threading.Barrier(3)  # no answer before so many are waited for

    def slowly(together):
        return lambda messages, number: together.wait(HANG) < 0 or Act(stall=0.03)

    with JudgeServer(slowly(pairs)) as one, JudgeServer(slowly(triples)) as other:
        _collect(tmp_path, make_queries(12), [make_llm(one, "a", concurrency=2), make_llm(other, "b")], concurrency=5)
        assert one.most_at_once == 2
        assert 3 <= other.most_at_once <= 5


def test_the_rate_limit_of_an_llm_holds(tmp_path):
    with JudgeServer(echo) as server:
        begun = time.monotonic()
        _collect(tmp_path, make_queries(5), [make_llm(server, requests_per_minute=300)])
        assert max(server.times) - begun >= 0.79


def test_a_slow_llm_does_not_hold_up_the_others(tmp_path):
    served, waits = threading.Event(), []

    def until_the_other_is_served(messages, number):
        waits.append(served.wait(HANG))
        return Act()

    def at_once(messages, number):
        if number == 23:
            served.set()
        return echo(messages, number)

    with JudgeServer(until_the_other_is_served) as slow, JudgeServer(at_once) as quick:
        # all of the quick one's requests wait at once, so that none of its slots is free while it stores an answer
        llms = [make_llm(slow, "slow"), make_llm(quick, "quick", concurrency=24)]
        _collect(tmp_path, make_queries(24), llms, concurrency=8)
    assert len(waits) == 24
    assert all(waits)


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    with JudgeServer(echo) as server:
        _collect(tmp_path, make_queries(1), [make_llm(server)])
        with open_answers(tmp_path), pytest.raises(ValueError, match="in use by another run"):
            _collect(tmp_path, make_queries(1), [make_llm(server)])


def test_the_estimate_is_close_to_the_cost(tmp_path):
    with JudgeServer(lambda *_: Act("x" * 200, usage=None)) as server:
        llms = [make_llm(server)]
        before = estimate_costs(make_queries(10), llms, tmp_path / "new")["a"]
        assert not (tmp_path / "new").exists()
        _collect(tmp_path / "new", make_queries(4), llms)
        after = estimate_costs(make_queries(10), llms, tmp_path / "new")["a"]
        found = _collect(tmp_path / "new", make_queries(10), llms)
        nothing = estimate_costs(make_queries(10), llms, tmp_path / "new")["a"]
    assert (before.total, before.stored, before.output_tokens) == (10, 0, 500)
    assert (after.stored, after.output_tokens) == (4, 6 * 51)
    assert after.cost == pytest.approx(found.spent * 6 / 10, rel=0.05)
    assert before.max_cost > before.cost > found.spent * 0.9
    assert nothing.format("answers") == "10 answers, 10 of them stored; nothing to pay"


def test_after_a_full_disk_stored_answers_are_not_requested_again(small_disk):
    folder, filler = small_disk / "out", small_disk / "filler"
    filler.write_bytes(b"x" * (6 * 2**20))
    with JudgeServer(lambda *_: Act("x" * 200_000)) as server:
        with pytest.raises(OSError, match="No space left"):
            _collect(folder, make_queries(30), [make_llm(server)], concurrency=2).raise_errors()
        whole = (folder / "answers.jsonl").read_text().rpartition("\n")[0]
        stored = {json.loads(line)["query_id"] for line in whole.splitlines()}
        assert 1 <= len(stored) < 12
        filler.unlink()
        before = len(server.requests)
        assert before < 15
        assert _collect(folder, make_queries(30), [make_llm(server)], concurrency=2).answers == 30
        assert not {f"q{content.split()[-1]}" for _, content in _asked(server)[before:]} & stored
    assert len(read_tables(folder).outcomes.query) == 30
