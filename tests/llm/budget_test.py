"""Estimates, costs and the budget of concurrent requests."""

import asyncio
import io
import sys

import pytest
from processes import HANG

from prouter_jax.llm.budget import (
    Budget,
    BudgetError,
    Estimate,
    Progress,
    Usage,
    charge,
    count_characters,
    estimate_tokens,
)
from prouter_jax.llm.completions import Reply
from prouter_jax.llm.pool import RemoteLlm

LLM = RemoteLlm("a", "m", input_price=2.0, output_price=10.0, max_output_tokens=50)
MESSAGES = [{"role": "user", "content": "x" * 4001}]


def test_a_cost_is_price_times_tokens():
    assert LLM.cost(1_000_000, 0) == 2.0
    assert LLM.cost(1000, 500) == pytest.approx(0.007)


def test_the_servers_token_counts_are_preferred_to_estimates():
    usage = Usage()
    assert charge(LLM, usage, MESSAGES, Reply("y", 700, 3)) == pytest.approx(LLM.cost(700, 3))
    assert charge(LLM, usage, MESSAGES, Reply("y" * 40, None, None)) == pytest.approx(LLM.cost(1001, 11))
    assert charge(LLM, usage, MESSAGES, None) == pytest.approx(LLM.cost(1001, 50))
    assert (usage.input_tokens, usage.output_tokens) == (2702, 64)
    assert usage.cost == pytest.approx(LLM.cost(2702, 64))


def test_an_estimate_as_text():
    assert Estimate(12).format("verdicts") == "12 verdicts; nothing to pay"
    found = Estimate(1200, 200, 3000, 40, 0.125).format("answers")
    assert found == "1,200 answers, 200 of them stored; about 3,000 tokens in and 40 out, 0.1250 USD"
    assert Estimate(12, 0, 3000, 40, 0.125, 0.5).format("answers").endswith(", 0.1250 USD, at most 0.5000 USD")


def test_characters_of_all_messages_count():
    assert count_characters([*MESSAGES, {"role": "system", "content": "äö"}]) == 4003


def test_tokens_are_estimated_at_four_characters_each():
    assert [estimate_tokens(characters) for characters in (0, 1, 4, 5, 4001)] == [0, 1, 1, 2, 1001]


def test_the_maximum_cost_holds_if_every_byte_is_a_token():
    assert LLM.max_cost(MESSAGES) >= LLM.cost(4001, 50)
    assert LLM.max_cost([{"role": "user", "content": "ü" * 4000}]) >= LLM.cost(8000, 50)


def _run(scenario):
    async def limited():
        async with asyncio.timeout(HANG):
            return await scenario()

    return asyncio.run(limited())


def test_a_reservation_waits_for_what_running_requests_may_return():
    async def scenario():
        budget, told = Budget(limit=1.0, spent=0.2), []

        async def request(name, most, cost):
            await budget.reserve(most)
            told.append(f"{name} starts")
            await asyncio.sleep(0.01)
            await budget.settle(most, cost)

        await asyncio.gather(request("a", 0.7, 0.1), request("b", 0.6, 0.1))
        return told, budget.spent

    told, spent = _run(scenario)
    assert told == ["a starts", "b starts"]
    assert spent == pytest.approx(0.4)


def test_requests_that_do_not_fit_together_run_one_after_the_other():
    async def scenario():
        budget, now, most_at_once = Budget(limit=1.0, spent=0.0), 0, 0

        async def request():
            nonlocal now, most_at_once
            await budget.reserve(0.6)
            now += 1
            most_at_once = max(now, most_at_once)
            await asyncio.sleep(0.01)
            now -= 1
            await budget.settle(0.6, 0.1)

        await asyncio.gather(request(), request(), request())
        return most_at_once

    assert _run(scenario) == 1


def test_a_reservation_beyond_the_budget_is_refused():
    async def scenario():
        budget = Budget(limit=1.0, spent=0.5)
        await budget.reserve(0.5)
        waiting = asyncio.create_task(budget.reserve(0.1))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await budget.settle(0.5, 0.45)
        with pytest.raises(BudgetError, match=r"^the budget of 1 USD is spent$"):
            await waiting

    _run(scenario)


def test_no_limit_is_no_limit():
    async def scenario():
        budget = Budget(limit=0.0, spent=1e9)
        await budget.reserve(1e9)
        await budget.settle(1e9, 1.0)

    _run(scenario)


@pytest.mark.parametrize("limit", [float("nan"), -1.0])
def test_a_budget_that_limits_nothing_is_refused(limit):
    with pytest.raises(ValueError, match=rf"^the budget: expected USD of at least 0, found {limit:g}$"):
        Budget(limit=limit, spent=0.0)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("kind", "separator"), [(_Terminal, "\r"), (io.StringIO, "\n")])
def test_replies_failures_and_money_are_shown(monkeypatch, kind, separator):
    monkeypatch.setattr(sys, "stderr", kind())
    with Progress("collect", "answers", total=4, stored=1, spent=0.5) as progress:
        progress.mininterval = 0  # a status for each reply
        progress.step(False, 0.75)
        progress.step(True, 1.0)
    shown = sys.stderr.getvalue()
    assert shown.endswith("\n")
    lines = [line.strip() for line in shown.strip().split(separator)]
    assert "1/4 answers, 0.5000 USD spent, ? left" in lines[0]
    assert "2/4 answers, 0.7500 USD spent, " in lines[1]
    assert "3/4 answers, 1 failed, 1.0000 USD spent, " in lines[-1]
    assert ("%|" in shown) == (kind is _Terminal)


def test_no_money_is_shown_if_nothing_costs_any(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress("grade", "answers", total=2, stored=0) as progress:
        progress.step(False)
    assert "USD" not in sys.stderr.getvalue()
    assert "grade: 1/2 answers, " in sys.stderr.getvalue()
