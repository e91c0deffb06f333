"""The LLM judge: verdicts are of the right LLM, whatever the server does, and nothing is paid for twice."""

import asyncio
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import processes
import pytest
from judge_server import Act, judge_config, longest, make_questions, serving, shown_answers

from prouter_jax.llm.journal import Journal
from prouter_jax.llm.judges import llm_judge
from prouter_jax.llm.judges.base import TOO_FEW_ANSWERS, make_personas
from prouter_jax.llm.judges.llm_judge import BUDGET_SPENT, LlmJudge

PERSONAS = make_personas(9, seed=0)
PRICED = {"input_price": 10.0, "output_price": 100.0}
COST = (100 * 10.0 + 5 * 100.0) / 1e6  # of a reply, by the server's count of tokens


@pytest.fixture
def path(tmp_path):
    return tmp_path / "verdicts.jsonl"


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _choose(path, num_personas=1, num_questions=1, retry_failures=False, **config):
    judge = LlmJudge(judge_config(**config), path, retry_failures)
    return judge.choose(PERSONAS[:num_personas], make_questions(num_questions))


def _after(*acts, then=longest):
    """Does `acts` first, one a request."""
    return lambda messages, number: acts[number] if number < len(acts) else then(messages, number)


def test_a_judge_of_length_finds_the_longest_answers_wherever_they_are_shown(monkeypatch, path):
    with serving(monkeypatch, longest) as server:
        verdicts = _choose(path, 5, 8)
    np.testing.assert_array_equal(verdicts.choice, np.tile(np.arange(8) % 4, (5, 1)))
    assert verdicts.failures == {}
    places = [np.argmax([len(answer) for answer in shown_answers(body["messages"])]) for body in server.requests]
    assert set(places) == {0, 1, 2, 3}  # or nothing was shuffled


def test_a_judge_that_always_says_one_favours_nobody(monkeypatch, path):
    with serving(monkeypatch, lambda *_: Act('{"best": 1}')):
        verdicts = _choose(path, 9, 24)
    shares = np.bincount(verdicts.choice.ravel(), minlength=4) / verdicts.choice.size
    assert np.abs(shares - 0.25).max() < 0.1, shares  # three standard deviations of 216 draws are 0.09


def test_each_persona_sees_all_offered_answers(monkeypatch, path):
    questions = make_questions(2)
    questions.answers[1, 0] = " \n"
    with serving(monkeypatch, longest) as server:
        verdicts = LlmJudge(judge_config(), path).choose(PERSONAS[:3], questions)
    for row in range(3):
        mine = [body for body in server.requests if PERSONAS[row].prompt() in body["messages"][0]["content"]]
        shown = sorted(sorted(shown_answers(body["messages"])) for body in mine)
        assert shown == sorted(sorted(text for text in answers if text.strip()) for answers in questions.answers)
    assert verdicts.choice[:, 1].tolist() == [1, 1, 1]  # columns are counted with the LLM that is not on offer


def test_a_question_without_alternatives_is_not_asked(monkeypatch, path):
    questions = make_questions(2)
    questions.answers[0, 1:] = ""
    with serving(monkeypatch, longest) as server:
        verdicts = LlmJudge(judge_config(), path).choose(PERSONAS[:1], questions)
    assert len(server.requests) == 1
    assert verdicts.choice.tolist() == [[-1, 1]]
    assert verdicts.failures == {(0, 0): TOO_FEW_ANSWERS}


HTML = Act(body=b"<html>busy</html>", content_type="text/html")
PASSING = {
    "too many": Act(status=429, body=b'{"error": {"message": "slow down"}}'),
    "server error": Act(status=500, body=b"oops"),
    "overloaded": Act(status=503, body=b'{"error": {"message": "overloaded"}}'),
    "dropped": Act(drop=True),
    "torn": Act(headers={"Content-Length": "9999"}, body=b'{"id": '),
    "stalled": Act(stall=1000),
    "trickling": Act(trickle=0.05),
    "a page": HTML,
    "broken": Act(body=b"{not json"),
    "another object": Act(body=b'{"hello": "there"}'),
    "no choices": Act(body=b'{"choices": []}'),
    "null": Act(body=b"null"),
}


ENDLESS = ("stalled", "trickling")


@pytest.mark.parametrize("name", PASSING)
def test_transient_errors_are_retried(monkeypatch, path, name):
    if name in ENDLESS:  # the first two replies are given up after a moment, the third one is waited for
        limit, moments = asyncio.timeout, iter((0.2, 0.2))
        monkeypatch.setattr(asyncio, "timeout", lambda seconds: limit(next(moments, seconds)))
    with serving(monkeypatch, _after(PASSING[name], PASSING[name])) as server:
        verdicts = _choose(path)
    assert verdicts.choice.tolist() == [[0]]
    assert len(server.requests) == 3


@pytest.mark.parametrize("name", PASSING)
def test_a_persistent_error_is_a_failure_after_all_attempts(monkeypatch, path, name):
    limits = {"timeout": 0.2} if name in ENDLESS else {}
    with serving(monkeypatch, lambda *_: PASSING[name]) as server:
        verdicts = _choose(path, attempts=2, **limits)
    assert verdicts.choice.tolist() == [[-1]]
    assert verdicts.failures[0, 0].startswith("after 2 attempts: ")
    assert len(server.requests) == 2
    assert [(line["choice"], line["failure"]) for line in _lines(path)] == [(None, verdicts.failures[0, 0])]


def test_a_server_that_is_not_there_is_a_failure_without_cost(monkeypatch, path):
    with serving(monkeypatch, longest):
        pass
    verdicts = _choose(path, attempts=2, **PRICED)
    assert verdicts.failures[0, 0].startswith("after 2 attempts: connection failed")
    assert _lines(path)[0]["cost"] == 0


def test_the_server_says_how_long_to_wait(monkeypatch, path):
    busy = Act(status=429, headers={"Retry-After": "0.4"}, body=b"{}")
    with serving(monkeypatch, _after(busy)) as server:
        _choose(path)
    assert server.times[1] - server.times[0] >= 0.4


def test_a_long_retry_after_is_a_failure(monkeypatch, path):
    busy = Act(status=429, headers={"Retry-After": "7200"}, body=b"{}")
    with serving(monkeypatch, _after(busy)) as server:
        verdicts = _choose(path)
    assert len(server.requests) == 1
    assert verdicts.failures[0, 0].startswith("after 1 attempts: HTTP 429")


def test_waits_grow(monkeypatch, path):
    waits, sleep = [], asyncio.sleep

    def note(seconds, *result):
        waits.append(seconds)
        return sleep(0, *result)

    monkeypatch.setattr(asyncio, "sleep", note)
    with serving(monkeypatch, lambda *_: PASSING["server error"]):
        _choose(path, attempts=4, backoff=0.1)
    longest = np.array([0.1, 0.2, 0.4])
    found = np.array([seconds for seconds in waits if seconds])
    assert (longest / 2 <= found).all()
    assert (found <= longest).all()


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_other_refusals_fail_at_once_and_alone(monkeypatch, path, status):
    refused = Act(status=status, body=b'{"error": {"message": "too long"}}')
    with serving(monkeypatch, _after(refused)) as server:
        verdicts = _choose(path, num_questions=2, concurrency=1)
    assert verdicts.choice.tolist() == [[-1, 1]]
    assert verdicts.failures[0, 0].startswith(f"HTTP {status}: ")
    assert len(server.requests) == 2


NO_CREDIT = Act(status=429, body=b'{"error": {"message": "no credit", "code": "insufficient_quota"}}')
NO_MODEL = Act(status=404, body=b'{"error": {"message": "no such model"}}')


@pytest.mark.parametrize("act", [NO_CREDIT, NO_MODEL], ids=["credit", "model"])
def test_a_fatal_error_stops_the_run_and_is_not_stored(monkeypatch, path, act):
    with (
        serving(monkeypatch, _after(Act(), then=lambda *_: act)) as server,
        pytest.raises(ValueError, match=r"^judge: the server refuses every request: HTTP "),
    ):
        _choose(path, num_questions=9, concurrency=1)
    assert len(server.requests) == 2
    assert [line["failure"] for line in _lines(path)] == [None]


NONSENSE = ("Number two!", '{"best": 0}', '{"best": 5}', '{"best": "1"}', "", '```json\n{"best": 1}\n```')


@pytest.mark.parametrize("text", NONSENSE)
def test_an_invalid_reply_is_sent_back_once(monkeypatch, path, text):
    with serving(monkeypatch, _after(Act(text))) as server:
        verdicts = _choose(path)
    assert verdicts.choice.tolist() == [[0]]
    first, second = (body["messages"] for body in server.requests)
    assert second[:2] == first
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[2]["content"] == (text or "(nothing)")
    assert "expected" in second[3]["content"]


def test_two_invalid_replies_are_a_failure(monkeypatch, path):
    with serving(monkeypatch, lambda *_: Act("I like them all")) as server:
        verdicts = _choose(path)
    assert len(server.requests) == 2
    assert verdicts.choice.tolist() == [[-1]]
    assert verdicts.failures[0, 0].startswith("after one repair: expected one JSON object")


def test_no_more_requests_at_a_time_than_allowed(monkeypatch, path):
    together = threading.Barrier(3)  # no answer before three are waited for
    with serving(monkeypatch, lambda *_: together.wait(processes.HANG) < 0 or Act(stall=0.05)) as server:
        _choose(path, 1, 12, concurrency=3)
    assert server.most_at_once == 3


def test_a_second_run_sends_no_request_and_has_the_same_verdicts(monkeypatch, path):
    with serving(monkeypatch, longest) as server:
        first = _choose(path, 2, 3)
        asked, before = len(server.requests), path.read_bytes()
        monkeypatch.delenv("OPENAI_API_KEY")
        monkeypatch.delenv("OPENAI_BASE_URL")
        second = _choose(path, 2, 3)
        assert len(server.requests) == asked
    np.testing.assert_array_equal(first.choice, second.choice)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", ["model", "seed", "persona", "query", "answer", "price"])
def test_a_changed_question_is_requested_again(monkeypatch, path, change):
    config, questions, personas = judge_config(), make_questions(1), make_personas(10, seed=0)[9:]
    with serving(monkeypatch, longest) as server:
        LlmJudge(config, path).choose(personas, questions)
        if change == "model":
            config.model = "other"
        elif change == "seed":
            config.seed = 1
        elif change == "persona":
            personas = PERSONAS[1:2]
        elif change == "query":
            questions.texts[0] += "!"
        elif change == "price":
            questions.cost[0, 0] = 0.5
        else:
            questions.answers[0, 0] += "!"
        LlmJudge(config, path).choose(personas, questions)
    assert len(server.requests) == 2


def test_changed_prices_matter_only_to_personas_that_see_them(monkeypatch, path):
    questions = make_questions(1)
    with serving(monkeypatch, longest) as server:
        for price in (0.1, 0.2):
            questions.cost[:] = price
            LlmJudge(judge_config(), path).choose(PERSONAS[:1], questions)
    assert len(server.requests) == 1


def test_failures_are_requested_again_only_with_retry_failures(monkeypatch, path):
    refused = Act(status=400, body=b"{}")
    with serving(monkeypatch, _after(refused)) as server:
        assert _choose(path).choice.tolist() == [[-1]]
        assert _choose(path).choice.tolist() == [[-1]]
        assert len(server.requests) == 1
        assert _choose(path, retry_failures=True).choice.tolist() == [[0]]
        assert _choose(path).choice.tolist() == [[0]]
        assert len(server.requests) == 2


def _pairs(path):
    return {(line["user"], line["query"]) for line in _lines(path)}


def _asked(requests):
    """Who was asked what, by name."""
    found = []
    for body in requests:
        system, user = (message["content"] for message in body["messages"][:2])
        person = next(persona.name for persona in PERSONAS if persona.prompt() in system)
        found.append((person, f"q{user.split('What is ')[1].split('?')[0]}"))
    return found


def test_a_failed_run_continues_where_it_stopped(monkeypatch, path):
    kept = Journal.add

    async def break_off(self, verdict):
        if len(self.records) == 4:
            raise OSError("no space left")
        await kept(self, verdict)

    with serving(monkeypatch, longest) as server:
        monkeypatch.setattr(Journal, "add", break_off)
        with pytest.raises(OSError, match="no space left"):
            _choose(path, 3, 4, concurrency=2)
        monkeypatch.setattr(Journal, "add", kept)
        stored, first = _pairs(path), len(server.requests)
        assert len(stored) == 4
        assert first <= 6  # nothing new was begun after the break
        verdicts = _choose(path, 3, 4)
    assert not stored & set(_asked(server.requests[first:]))
    np.testing.assert_array_equal(verdicts.choice, np.tile(np.arange(4), (3, 1)))


def test_a_killed_run_continues_where_it_stopped(monkeypatch, path):
    script = (
        "import sys; sys.path[:0] = ['tests']\n"
        "from judge_server import judge_config, make_questions\n"
        "from prouter_jax.llm.judges.llm_judge import LlmJudge\n"
        "from prouter_jax.llm.judges.base import make_personas\n"
        "LlmJudge(judge_config(concurrency=2), sys.argv[1]).choose(make_personas(9, 0)[:3], make_questions(4))\n"
    )
    child: list[subprocess.Popen] = []
    ready = threading.Event()

    def decide(messages, number):
        ready.wait(processes.HANG)
        if number == 6:
            os.kill(child[0].pid, signal.SIGKILL)
        return longest(messages, number)

    with serving(monkeypatch, decide) as server:
        root = pathlib.Path(__file__).parents[2]
        child.append(subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=root))
        ready.set()
        assert child[0].wait(processes.HANG) == -signal.SIGKILL
        with open(path, "ab") as file:
            file.write(b'{"key": "abc", "us')  # as a kill in the middle of a line would leave it
        stored, first = _pairs_of_whole_lines(path), len(server.requests)
        assert 4 <= len(stored) <= 6
        verdicts = _choose(path, 3, 4)
    again = _asked(server.requests[first:])
    assert not stored & set(again)
    assert len(again) == 12 - len(stored)
    np.testing.assert_array_equal(verdicts.choice, np.tile(np.arange(4), (3, 1)))
    assert len(_lines(path)) == 12


def test_requests_under_way_at_a_kill_count_as_spent_and_are_asked_again(monkeypatch, path, capsys):
    """The killed run had sent three requests; one was answered, one had failed for good, which is not asked again."""
    sent = path.with_name("verdicts.sent.jsonl")
    with serving(monkeypatch, _after(Act("no"), Act("no"))) as server:
        _choose(path, 1, 3, concurrency=1, **PRICED)
        assert not sent.exists()
        failed, answered, lost = _lines(path)
        path.write_text("".join(json.dumps(line) + "\n" for line in (failed, answered)))
        under_way = {"choice": None, "failure": "under way when the run was killed", "cost": 0.5}
        records = [failed | under_way, failed | under_way | {"cost": 0.0}, answered | under_way, lost | under_way]
        sent.write_text("".join(json.dumps(line) + "\n" for line in records))
        first = len(server.requests)
        capsys.readouterr()
        verdicts = _choose(path, 1, 3, concurrency=1, **PRICED)
        said = capsys.readouterr().err
    assert "verdicts.jsonl: 1 requests were under way when an earlier run was killed" in said
    assert "at most 0.5000 USD are paid twice" in said
    assert len(server.requests) == first + 1
    assert verdicts.choice.tolist() == [[-1, 1, 2]]
    assert [line["cost"] for line in _lines(path)[2:]] == [0.5, pytest.approx(COST)]
    assert not sent.exists()


def test_what_was_under_way_at_a_kill_is_in_a_file(monkeypatch, path):
    """Before a request is sent, its failure by a kill is on disk, with the most that it can cost."""
    found = []

    def decide(messages, number):
        found.extend(_lines(path.with_name("verdicts.sent.jsonl")))
        return longest(messages, number)

    with serving(monkeypatch, decide):
        _choose(path, 1, 1, **PRICED)
    (record,), (verdict,) = found, _lines(path)
    assert {record[name] == verdict[name] for name in ("key", "user", "query")} == {True}
    assert (record["choice"], record["failure"]) == (None, "under way when the run was killed")
    assert record["cost"] > verdict["cost"] > 0


def _pairs_of_whole_lines(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()[:-1]]
    return {(line["user"], line["query"]) for line in lines}


def test_tokens_are_counted_by_the_server(monkeypatch, path):
    with serving(monkeypatch, _after(Act("nonsense"))):
        _choose(path, 1, 2, concurrency=1, **PRICED)
    repaired, plain = _lines(path)
    assert (plain["input_tokens"], plain["output_tokens"], plain["cost"]) == (100, 5, pytest.approx(COST))
    assert (repaired["input_tokens"], repaired["cost"]) == (200, pytest.approx(2 * COST))


def test_tokens_that_the_server_does_not_count_are_estimated(monkeypatch, path):
    with serving(monkeypatch, lambda *_: Act(usage=None)) as server:
        _choose(path, **PRICED)
    characters = sum(len(message["content"]) for message in server.requests[0]["messages"])
    assert _lines(path)[0]["input_tokens"] == -(-characters // 4)
    assert _lines(path)[0]["cost"] > 0


def test_the_estimate_counts_the_characters_that_are_sent(monkeypatch, path):
    judge, questions = LlmJudge(judge_config(**PRICED), path), make_questions(3)
    before = judge.estimate_cost(PERSONAS[:2], questions)
    assert not path.exists()
    with serving(monkeypatch, lambda *_: Act(usage=None)) as server:
        judge.choose(PERSONAS[:2], questions)
    characters = sum(len(message["content"]) for body in server.requests for message in body["messages"])
    assert (before.total, before.stored) == (6, 0)
    assert before.input_tokens == -(-characters // 4)
    assert before.cost == pytest.approx(sum(line["cost"] for line in _lines(path)), rel=0.5)
    after = judge.estimate_cost(PERSONAS[:2], questions)
    assert (after.total, after.stored, after.cost) == (6, 6, 0)


def test_the_budget_is_not_exceeded_and_a_higher_one_continues_the_run(monkeypatch, path):
    limits = {"max_output_tokens": 50, "concurrency": 4, **PRICED}
    dear = Act(usage={"prompt_tokens": 300, "completion_tokens": 50, "total_tokens": 350})
    with serving(monkeypatch, lambda *_: dear) as server:
        verdicts = _choose(path, 2, 10, max_cost=0.06, **limits)
        spent = sum(line["cost"] for line in _lines(path))
        assert len(server.requests) == len(_lines(path))
        assert 0.03 < spent <= 0.06
        assert set(verdicts.failures.values()) == {BUDGET_SPENT}
        assert (verdicts.choice >= 0).sum() == len(server.requests) == 20 - len(verdicts.failures)
        again = _choose(path, 2, 10, max_cost=0.06, **limits)
        assert len(again.failures) == len(verdicts.failures)  # earlier runs count
        assert _choose(path, 2, 10, max_cost=1.0, **limits).failures == {}
        assert len(server.requests) == 20


def test_the_key_is_in_no_log_and_no_file(monkeypatch, path, caplog, capfd):
    key = "sk-very-secret"
    echo = f'{{"error": {{"message": "Incorrect API key provided: {key}"}}}}'.encode()
    caplog.set_level(logging.DEBUG)
    with serving(monkeypatch, _after(Act(status=400, body=echo), Act(status=500, body=echo)), key) as server:
        verdicts = _choose(path, num_questions=2, concurrency=1)
        assert server.authorization == [f"Bearer {key}"] * 3
        assert "[key]" in verdicts.failures[0, 0]
    with (
        serving(monkeypatch, lambda *_: Act(status=401, body=echo), key),
        pytest.raises(ValueError, match="refuses every request") as caught,
    ):
        _choose(path, num_questions=3)
    told = [str(caught.value), str(verdicts.failures), caplog.text, *capfd.readouterr(), path.read_text()]
    assert not [text for text in told if key in text]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_server_of_ones_own_needs_no_key(monkeypatch, path):
    with serving(monkeypatch, longest):
        monkeypatch.delenv("OPENAI_API_KEY")
        assert _choose(path).choice.tolist() == [[0]]
        monkeypatch.delenv("OPENAI_BASE_URL")
        with pytest.raises(ValueError, match=r"^environment: expected OPENAI_API_KEY, or OPENAI_BASE_URL"):
            _choose(path, num_questions=2)


def test_without_the_package_it_says_what_to_install(monkeypatch, path):
    monkeypatch.setitem(sys.modules, "openai", None)
    with serving(monkeypatch, longest), pytest.raises(ValueError, match=r"pip install 'prouter-jax\[judge\]'"):
        _choose(path)


def test_progress_shows_verdicts_failures_and_money(monkeypatch, path, capfd):
    with serving(monkeypatch, _after(Act(status=400, body=b"{}"))):
        _choose(path, 1, 4, concurrency=1, **PRICED)
    assert capfd.readouterr().err == (
        "judge: 0/4 verdicts, 0.0000 USD spent, ? left\n"
        f"judge: 4/4 verdicts, 1 failed, {3 * COST:.4f} USD spent, 00:00 left\n"
    )


def test_prices_are_shown_to_personas_with_a_cost_weight(monkeypatch, path):
    questions = make_questions(1)
    questions.cost[0] = [0.01, 0.02, np.nan, 0.04]
    personas = [PERSONAS[0], make_personas(10, seed=0)[9]]
    with serving(monkeypatch, longest) as server:
        LlmJudge(judge_config(concurrency=1), path).choose(personas, questions)
    asked = [body["messages"][1]["content"] for body in server.requests]
    assert [text.count("US cents") for text in asked] == [0, 3]
    assert 'price="4 US cents">\nanswer of 3' in asked[1]


PERSONA = make_personas(1, seed=0)[0]


def test_the_reply_names_one_of_the_answers():
    assert llm_judge.reply_format(3).parse('{"best": 3}') == 3
    with pytest.raises(ValueError, match="from 1 to 3, found 4"):
        llm_judge.reply_format(3).parse('{"best": 4}')


def test_answers_are_numbered_from_one_in_the_given_order():
    messages = llm_judge.build_messages(PERSONA, "Why?", ["a", "b", "c"], [0.1] * 3, np.array([2, 0, 1]))
    text = messages[1]["content"]
    assert "<answer 1>\nc\n</answer 1>\n\n<answer 2>\na\n</answer 2>\n\n<answer 3>\nb\n</answer 3>" in text
    assert "answers 1 to 3" in text
    assert "<question>\nWhy?\n</question>" in text
    assert PERSONA.prompt() in messages[0]["content"]


def test_orders_are_permutations_that_differ_by_person_query_and_seed():
    seeds = [llm_judge.order_seed(*parts) for parts in ((0, "u", "q"), (1, "u", "q"), (0, "v", "q"), (0, "u", "r"))]
    assert len(set(seeds)) == 4
    assert llm_judge.order_seed(0, "u", "q") == seeds[0]
    orders = {tuple(llm_judge.draw_order(seed, 10)) for seed in seeds}
    assert len(orders) == 4
    assert all(sorted(order) == list(range(10)) for order in orders)


def test_different_verdicts_have_different_keys():
    persona, question = (
        llm_judge.persona_digest("m", PERSONA),
        llm_judge.question_digest("q", ["a", "b"], None),
    )
    keys = {
        llm_judge.verdict_key(persona, question, 1),
        llm_judge.verdict_key(persona, question, 2),
        llm_judge.verdict_key(llm_judge.persona_digest("n", PERSONA), question, 1),
        llm_judge.verdict_key(llm_judge.persona_digest("m", make_personas(2, 0)[1]), question, 1),
        llm_judge.verdict_key(persona, llm_judge.question_digest("q", ["b", "a"], None), 1),
        llm_judge.verdict_key(persona, llm_judge.question_digest("q", ["ab", ""], None), 1),
        llm_judge.verdict_key(persona, llm_judge.question_digest("q", ["a", "b"], [1.0, 2.0]), 1),
    }
    assert len(keys) == 7
    assert all(len(key) == 64 for key in keys)
