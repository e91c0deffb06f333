"""CPU time of a request with a new text, by the number of known queries; their text vectors are random.

The text is encoded before. All else that the router computes for it is timed: expected answers and costs, kernel
values, and the choice probabilities of the user.
"""

import functools
import time
from collections.abc import Callable, Iterator

import numpy as np

from .figures import Figure, Setting

_KNOWN = (449, 2800, 10_000, 100_000)
_LLMS, _FEATURES, _TASKS, _WIDTH, _STYLE = 10, 54, 5, 256, 12  # those of the default network with 10 LLMs
_REQUESTS = 200  # of a run


def measure(setting: Setting) -> Iterator[Figure]:
    """Milliseconds of a user's first request and of the next ones, and how these depend on the known queries."""
    rng = np.random.default_rng(0)
    scorers, texts = [_make_scorer(rng, known) for known in _KNOWN], _draw_queries(rng, _REQUESTS)
    runs = [[_run(scorer, texts, run) for scorer in scorers] for run in range(setting.runs + 1)][1:]  # one compiles
    for number, known in enumerate(_KNOWN):
        what = f"{known:,} known queries: CPU time of a request with a new text, without encoding"
        yield Figure(f"request_{known}", what, "ms", [run[number][1] for run in runs], at_most=2.0)
        yield Figure(f"first_request_{known}", f"{what}, the first of its user", "ms", [run[number][0] for run in runs])
    ratios = [run[-1][1] / run[1][1] for run in runs]
    yield Figure("requests_ratio", f"such a later request over that with {_KNOWN[1]:,}", "times", ratios, at_most=1.2)


def _run(scorer, texts, user: int) -> tuple[float, float]:
    """CPU milliseconds of a user's first request, and of each later one."""
    state, zero = scorer.users[user][None], np.zeros(1, int)

    def request(text: int) -> None:
        scorer.logits(state, scorer.ask(texts.take([text])), zero, zero)

    def later() -> None:
        for text in range(_REQUESTS):
            request(text)

    return _cpu(functools.partial(request, 0)), _cpu(later) / _REQUESTS


def _cpu(function: Callable[[], None]) -> float:
    begun = time.process_time()
    function()
    return 1000 * (time.process_time() - begun)


def _make_scorer(rng: np.random.Generator, known: int):
    """A scorer with random users and answers, and the default kernel."""
    import jax

    from prouter_jax.config import QueryKernel
    from prouter_jax.data.query_features import in_parts
    from prouter_jax.model import query_kernel as kernels
    from prouter_jax.model.inference import Scorer
    from prouter_jax.model.landmarks import choose_landmarks
    from prouter_jax.model.share_predictor import SharePredictor

    config, places = QueryKernel(), _draw_queries(rng, known)
    scales = kernels.scales_of(config)
    landmarks = choose_landmarks(places, _TASKS, scales, config.landmarks)
    kernel = kernels.make_query_kernel(places, _TASKS, scales, config.noise, landmarks)
    answers = rng.standard_normal((known, _LLMS, _FEATURES), np.float32)
    weights, means = (
        kernels.coefficients(kernel, answers),
        jax.device_put(np.zeros((_TASKS + 1, *answers.shape[1:]), np.float32)),
    )
    users = rng.normal(size=(100, _FEATURES)).astype(np.float32)

    def predict(some):
        expected, nearness = in_parts(lambda part: kernels.predict_values(kernel, means, weights, part), some)
        return expected, expected[..., 0], nearness

    shares = SharePredictor(kernel, jax.device_put(answers), 1.0).logits
    return Scorer(users, users[0], answers, answers[..., 0], predict, shares, None, 1.0)


def _draw_queries(rng: np.random.Generator, number: int):
    from prouter_jax.data.query_features import make_query_features

    vectors = rng.normal(size=(number, _WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return make_query_features(vectors, rng.normal(size=(number, _STYLE)), rng.integers(0, _TASKS, number), _TASKS)
