"""Background threads keep order and raise their exceptions."""

import threading

import pytest

from prouter_jax.io.concurrency import in_background, prefetch


def test_items_come_in_order_and_one_ahead():
    made, next_is_made = [], threading.Event()

    def items():
        for number in range(5):
            made.append(number)
            if number == 1:
                next_is_made.set()
            yield number

    following = prefetch(items())
    assert next(following) == 0
    assert next_is_made.wait(5)
    assert [0, *following] == [0, 1, 2, 3, 4]
    assert list(prefetch(iter([]))) == []


def test_what_making_an_item_raises_is_raised_at_its_place():
    def items():
        yield 1
        raise ValueError("the second")

    following = prefetch(items())
    assert next(following) == 1
    with pytest.raises(ValueError, match="the second"):
        next(following)


def test_calls_are_made_in_order_by_another_thread_and_all_are_done_at_the_end():
    seen = []
    with in_background(lambda number: seen.append((number, threading.current_thread()))) as call:
        for number in range(5):
            call(number)
            assert len(seen) >= number  # all before this one are done
    assert [number for number, _ in seen] == [0, 1, 2, 3, 4]
    assert threading.current_thread() not in [thread for _, thread in seen]


@pytest.mark.parametrize("calls", [1, 2])
def test_what_a_call_raises_comes_back(calls):
    def fail(_):
        raise OSError("full disk")

    def work():
        with in_background(fail) as call:
            for number in range(calls):
                call(number)

    with pytest.raises(OSError, match="full disk"):
        work()


def test_a_failure_between_calls_goes_before_one_of_a_call():
    def fail():
        raise OSError("full disk")

    def work():
        with in_background(fail) as call:
            call()
            raise KeyError

    with pytest.raises(KeyError):
        work()
