"""Live routing: CPU time of a request and of feedback in process, by the default network of 1,000 users who choose."""

import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from ..config_flag import load_experiment
from .figures import Figure, Setting

_REQUESTS, _FEEDBACK, _WORDS = 1000, 200, 50


def measure_live(setting: Setting) -> Iterator[Figure]:
    """Median and 99th percentile of `LiveRouter.route` with a new text, and of `observe` until the next `route`."""
    from prouter_jax.compilation import prepare_for_requests

    prepare_for_requests()
    from prouter_jax.experiment import run_experiment
    from prouter_jax.serving.live import LiveRouter
    from prouter_jax.serving.router import Router

    config = load_experiment("alpaca_choices")
    config.data.path, config.train.refit = str(setting.data / "alpaca_route"), False
    with tempfile.TemporaryDirectory() as name:
        workdir = pathlib.Path(name) / "run"
        run_experiment(config, workdir)
        begun = time.process_time()
        live = LiveRouter(Router.load(workdir))
        loaded = time.process_time() - begun
    yield Figure("live_load", "1,000 users: load for live routing, programs compiled", "CPU s", [loaded])
    rng, words = np.random.default_rng(0), _words(live)
    routed, observed = [], []
    for run in range(setting.runs):
        routed.append(_times(_REQUESTS, lambda _: _route(live, rng, words)))
        observed.append(_times(_FEEDBACK, lambda number, run=run: _observe(live, rng, words, run, number)))
    what = f"a request of {_WORDS} words, a new text"
    yield from _figures("route", what, routed, (1.5, 3.0))
    yield from _figures("observe", f"feedback on {what}, and the user's next request", observed, (5.0, None))


def _route(live, rng, words) -> None:
    """A request of one of 100 known users."""
    live.route(live.router.interactions.users.ids[rng.integers(100)], _text(rng, words))


def _observe(live, rng, words, run: int, number: int) -> None:
    """Feedback of new users, each of whom gives it ten times."""
    from prouter_jax.serving.live_feedback import LiveFeedback

    user = f"new user {number // 10} of run {run}"
    live.observe(LiveFeedback(user, _text(rng, words), llm=live.llms[number % len(live.llms)]))
    live.route(user, _text(rng, words))


def _times(number: int, function: Callable[[int], None]) -> np.ndarray:
    """CPU milliseconds of each call."""
    found = []
    for call in range(number):
        begun = time.process_time()
        function(call)
        found.append(1000 * (time.process_time() - begun))
    return np.array(found)


def _figures(key: str, what: str, times: list[np.ndarray], bounds) -> Iterator[Figure]:
    for share, bound, name in zip((50, 99), bounds, ("median", "99th percentile"), strict=True):
        values = [float(np.percentile(some, share)) for some in times]
        yield Figure(f"{key}_p{share}", f"live: {what}, {name}", "CPU ms", values, at_most=bound)


def _words(live) -> list[str]:
    return sorted({word for text in live.router.interactions.queries.texts for word in text.split()})


def _text(rng: np.random.Generator, words: list[str]) -> str:
    return " ".join(words[i] for i in rng.integers(len(words), size=_WORDS))
