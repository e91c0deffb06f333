"""The queue of requests: what waits is computed together, each gets its own answer, and nothing is left at the end."""

import asyncio
import threading

import pytest

from prouter_jax.serving.service.route_queue import RouteQueue


class Doubling:
    """Doubles numbers; the first call waits until the test lets it go on."""

    def __init__(self):
        self.calls, self.go_on = [], threading.Event()

    def __call__(self, numbers):
        self.calls.append(list(numbers))
        self.go_on.wait()
        if 13 in numbers:
            raise RuntimeError("thirteen")
        return [2 * number if number >= 0 else ValueError(f"{number}") for number in numbers]


def _ask(numbers):
    doubling = Doubling()
    queue = RouteQueue(doubling)

    async def ask():
        waiting = [asyncio.ensure_future(queue.ask(number)) for number in numbers]
        while not doubling.calls:
            await asyncio.sleep(0)
        doubling.go_on.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    try:
        return asyncio.run(ask()), doubling.calls
    finally:
        queue.close()


def test_each_gets_its_answer_and_those_that_wait_are_computed_together():
    answers, calls = _ask([1, 2, 3, 4, 5, 6, 7])
    assert answers == [2, 4, 6, 8, 10, 12, 14]
    assert max(map(len, calls)) <= 4
    assert len(calls) < 7


def test_an_error_is_that_of_its_request():
    answers, _ = _ask([1, -2, 3])
    assert answers[::2] == [2, 6]
    with pytest.raises(ValueError, match="-2"):
        raise answers[1]


def test_an_error_of_the_function_is_that_of_all_its_requests_and_later_ones_are_answered():
    answers, calls = _ask([13, 1, 2, 3, 4, 5, 6, 7])
    failed = next(len(call) for call in calls if 13 in call)
    assert [isinstance(answer, RuntimeError) for answer in answers] == [True] * failed + [False] * (8 - failed)


def test_what_waits_is_answered_before_the_end():
    queue = RouteQueue(lambda numbers: numbers)

    async def ask():
        waiting = asyncio.ensure_future(queue.ask(1))
        await asyncio.sleep(0)
        await asyncio.to_thread(queue.close)
        return await waiting

    assert asyncio.run(ask()) == 1
