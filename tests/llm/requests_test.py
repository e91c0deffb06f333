"""Slots are shared fairly, the rate limit holds, and transient errors are retried with growing delays."""

import asyncio

import pytest
from processes import HANG

from prouter_jax.llm.budget import Budget, Usage
from prouter_jax.llm.completions import RefusedError, Reply, TransientError
from prouter_jax.llm.pool import RemoteLlm
from prouter_jax.llm.replies import FormatError
from prouter_jax.llm.requests import FairSemaphore, Requester, process_all, retry_delay


def _run(scenario):
    async def limited():
        async with asyncio.timeout(HANG):
            return await scenario()

    return asyncio.run(limited())


def test_no_more_requests_than_slots():
    async def scenario():
        semaphore, now, most = FairSemaphore(3), 0, 0

        async def request():
            nonlocal now, most
            async with semaphore.acquire("a"):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.001)
                now -= 1

        await asyncio.gather(*(request() for _ in range(20)))
        return most, semaphore._free

    assert _run(scenario) == (3, 3)


def test_an_llm_that_takes_long_leaves_slots_to_the_others():
    async def scenario():
        semaphore, others_are_done = FairSemaphore(4), asyncio.Event()

        async def slow():
            async with semaphore.acquire("slow"):
                await others_are_done.wait()

        async def quick():
            async with semaphore.acquire("quick"):
                await asyncio.sleep(0)

        waiting = [asyncio.create_task(slow()) for _ in range(8)]
        await asyncio.gather(*(quick() for _ in range(50)))  # would wait for ever if the slow LLM had all four slots
        running = semaphore._running["slow"]
        others_are_done.set()
        await asyncio.gather(*waiting)
        return running

    assert 1 <= _run(scenario) <= 4


def test_a_slot_goes_to_the_llm_with_the_fewest_requests():
    async def scenario():
        semaphore, order = FairSemaphore(2), []
        held = asyncio.Event()

        async def hold():
            async with semaphore.acquire("a"):
                await held.wait()

        async def request(llm):
            async with semaphore.acquire(llm):
                order.append(llm)

        holding = asyncio.create_task(hold())
        async with semaphore.acquire("b"):
            await asyncio.sleep(0)
            waiting = [asyncio.create_task(request(llm)) for llm in ("a", "a", "b")]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        held.set()
        await holding
        return order

    assert _run(scenario) == ["b", "a", "a"]


class _FakeClient:
    """Raises the given errors one after the other, then replies."""

    def __init__(self, *errors):
        self.errors, self.times = list(errors), []

    async def complete(self, messages):
        self.times.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return Reply("yes", 1, 1)


def _make_requester(client, **limits):
    options = {"base_url": "http://localhost/v1", "attempts": 3, "backoff": 0.0} | limits
    requester = Requester(RemoteLlm("a", "m", 1.0, 1.0, **options), Budget(0, 0), FairSemaphore(8))
    requester.client = client
    return requester


@pytest.mark.parametrize(("per_minute", "least"), [(1200, 0.2), (0, 0.0)])
def test_requests_keep_their_distance(per_minute, least):
    async def scenario():
        client = _FakeClient()
        requester, begun = _make_requester(client, requests_per_minute=per_minute), asyncio.get_running_loop().time()
        await asyncio.gather(*(requester.complete([], Usage()) for _ in range(5)))
        return len(client.times), max(client.times) - begun

    sent, seconds = _run(scenario)
    assert sent == 5
    assert seconds >= least - 0.01


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (19, 60)])
def test_delays_double_up_to_a_minute_and_half_is_random(attempt, longest):
    delays = [retry_delay(attempt, 0.0, 1.0) for _ in range(1000)]
    assert longest / 2 <= min(delays) < 0.55 * longest
    assert 0.95 * longest < max(delays) <= longest


def test_the_servers_delay_is_added():
    delays = [retry_delay(1, 30.0, 1.0) for _ in range(100)]
    assert min(delays) >= 30
    assert max(delays) <= 31
    assert retry_delay(1, 0.0, 0.0) == 0


@pytest.mark.parametrize(
    ("errors", "attempts"),
    [
        ([TransientError("busy")] * 2, 3),
        ([TransientError("busy")] * 3, None),
        ([TransientError("busy", 600.0)], 2),
        ([TransientError("busy", 601.0)], None),
    ],
)
def test_transient_errors_are_retried_until_there_is_no_attempt_left(monkeypatch, errors, attempts):
    slept, real = [], asyncio.sleep

    async def sleep(seconds):
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    client = _FakeClient(*errors)

    async def scenario():
        return await _make_requester(client).complete([], Usage())

    if attempts is None:
        with pytest.raises(TransientError, match=rf"^after {len(errors)} attempts: busy$"):
            _run(scenario)
    else:
        assert _run(scenario).text == "yes"
        assert len(client.times) == attempts
        assert slept == [error.retry_after or 0.0 for error in errors]


def _run_all(errors, number=10, concurrency=3):
    """Asks for numbers, of which some end in an error; what was begun and what was kept."""
    begun, kept = [], {}

    async def answer(ask, usage):
        begun.append(ask)
        usage.cost += 0.5 if ask % 2 else 0.0
        await asyncio.sleep(0.001)
        if ask in errors:
            raise errors[ask]
        return ask * 10

    async def keep(ask, had, failure, usage):
        kept[ask] = (had, failure, usage.cost)

    stopped = asyncio.run(process_all(range(number), concurrency, answer, keep))
    return stopped, begun, kept


def test_every_request_is_sent_once_and_stored():
    stopped, begun, kept = _run_all({})
    assert stopped is None
    assert begun == list(range(10))
    assert kept == {ask: (ask * 10, None, 0.5 * (ask % 2)) for ask in range(10)}


@pytest.mark.parametrize("kind", [TransientError, RefusedError, FormatError])
def test_a_failed_request_is_stored_and_the_others_continue(kind):
    stopped, begun, kept = _run_all({4: kind("why")})
    assert (stopped, len(begun), kept[4]) == (None, 10, (None, "why", 0.0))


@pytest.mark.parametrize(("ask", "told"), [(3, {3: (None, "stopped half-way: all over", 0.5)}), (4, {})])
def test_an_error_of_all_requests_ends_the_run_and_charged_ones_are_stored(ask, told):
    error = ValueError("all over")
    stopped, begun, kept = _run_all({ask: error})
    assert stopped is error
    assert len(begun) <= ask + 3
    assert {asked: kept[asked] for asked in kept if asked == ask} == told
    assert set(begun) - {ask} == {asked for asked in kept if kept[asked][1] is None}
