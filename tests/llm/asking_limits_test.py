"""Places are shared fairly, and requests keep their pace."""

import asyncio
import collections

import pytest

from prouter_jax.asking.limits import Pace, Places


def _run(scenario):
    async def limited():
        async with asyncio.timeout(10):
            return await scenario()

    return asyncio.run(limited())


def test_no_more_at_a_time_than_places():
    async def scenario():
        places, now, most = Places(3), 0, 0

        async def request():
            nonlocal now, most
            async with places.take("a"):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.001)
                now -= 1

        await asyncio.gather(*(request() for _ in range(20)))
        return most, places._free

    assert _run(scenario) == (3, 3)


def test_an_llm_that_takes_long_keeps_its_share_and_no_more():
    async def scenario():
        places, done = Places(4), collections.Counter()

        async def request(llm, seconds):
            async with places.take(llm):
                await asyncio.sleep(seconds)
            done[llm] += 1

        slow = [asyncio.create_task(request("slow", 0.2)) for _ in range(8)]
        await asyncio.sleep(0)
        quick = [asyncio.create_task(request("quick", 0.001)) for _ in range(50)]
        await asyncio.gather(*quick)
        found = done["slow"], places._taken["slow"]
        await asyncio.gather(*slow)
        return found

    done, running = _run(scenario)
    assert done <= 4  # those that were there first; one after the other the eight would take 0.4 s
    assert running <= 4
    assert done + running <= 8


def test_a_place_goes_to_who_has_the_fewest():
    async def scenario():
        places, order = Places(2), []
        held = asyncio.Event()

        async def hold():
            async with places.take("a"):
                await held.wait()

        async def request(llm):
            async with places.take(llm):
                order.append(llm)

        holding = asyncio.create_task(hold())
        async with places.take("b"):
            await asyncio.sleep(0)
            waiting = [asyncio.create_task(request(llm)) for llm in ("a", "a", "b")]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        held.set()
        await holding
        return order

    assert _run(scenario) == ["b", "a", "a"]


@pytest.mark.parametrize(("per_minute", "least", "most"), [(1200, 0.2, 0.35), (0, 0.0, 0.05)])
def test_requests_keep_their_distance(per_minute, least, most):
    async def scenario():
        pace, loop = Pace(per_minute), asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(5):
            await pace.wait()
        return loop.time() - begun

    assert least - 0.01 <= _run(scenario) <= most
