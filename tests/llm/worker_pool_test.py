"""The worker pool: results are stored, and after an error of all requests no new one is sent."""

import asyncio

import pytest

from prouter_jax.llm.client import RefusedError, TransientError
from prouter_jax.llm.replies import FormatError
from prouter_jax.llm.worker_pool import process_all


def _run(errors, number=10, concurrency=3):
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
    stopped, begun, kept = _run({})
    assert stopped is None
    assert begun == list(range(10))
    assert kept == {ask: (ask * 10, None, 0.5 * (ask % 2)) for ask in range(10)}


@pytest.mark.parametrize("kind", [TransientError, RefusedError, FormatError])
def test_a_failed_request_is_stored_and_the_others_continue(kind):
    stopped, begun, kept = _run({4: kind("why")})
    assert (stopped, len(begun), kept[4]) == (None, 10, (None, "why", 0.0))


@pytest.mark.parametrize(("ask", "told"), [(3, {3: (None, "stopped half-way: all over", 0.5)}), (4, {})])
def test_an_error_of_all_requests_ends_the_run_and_charged_ones_are_stored(ask, told):
    error = ValueError("all over")
    stopped, begun, kept = _run({ask: error})
    assert stopped is error
    assert len(begun) <= ask + 3
    assert {asked: kept[asked] for asked in kept if asked == ask} == told
    assert set(begun) - {ask} == {asked for asked in kept if kept[asked][1] is None}
