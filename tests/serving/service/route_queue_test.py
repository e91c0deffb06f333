"""The queue of requests: what waits is computed together, and each gets its own answer."""

import asyncio

import pytest

from prouter_jax.serving.service.route_queue import RouteQueue


class Doubling:
    """Doubles numbers, and remembers which came together."""

    def __init__(self):
        self.calls = []

    def __call__(self, numbers):
        self.calls.append(list(numbers))
        if 13 in numbers:
            raise RuntimeError("thirteen")
        return [2 * number if number >= 0 else ValueError(f"{number}") for number in numbers]


def _ask(numbers):
    doubling = Doubling()

    async def ask():
        queue = RouteQueue(doubling)
        return await asyncio.gather(*map(queue.ask, numbers), return_exceptions=True)

    return asyncio.run(ask()), doubling.calls


def test_each_gets_its_answer_and_those_that_wait_are_computed_together():
    answers, calls = _ask([1, 2, 3, 4, 5, 6, 7])
    assert answers == [2, 4, 6, 8, 10, 12, 14]
    assert calls == [[1, 2, 3, 4], [5, 6, 7]]


def test_an_error_is_that_of_its_request():
    answers, _ = _ask([1, -2, 3])
    assert answers[::2] == [2, 6]
    with pytest.raises(ValueError, match="-2"):
        raise answers[1]


def test_an_error_of_the_function_is_that_of_its_requests_alone():
    answers, _ = _ask([13, 1, 2, 3, 4, 5])
    assert [isinstance(answer, RuntimeError) for answer in answers] == [True] * 4 + [False] * 2
    assert answers[4:] == [8, 10]


def test_one_after_the_other_and_one_that_nobody_waits_for_any_more():
    doubling = Doubling()

    async def ask():
        queue = RouteQueue(doubling)
        gone = asyncio.ensure_future(queue.ask(1))
        await asyncio.sleep(0)
        gone.cancel()
        return await queue.ask(2), await queue.ask(3)

    assert asyncio.run(ask()) == (4, 6)
    assert doubling.calls[-1] == [3]
