"""Scoring: known pairs, new texts, and requests with a new text by the number of known queries."""

import functools
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from ..config_flag import load_experiment
from .figures import Figure, Setting

_PAIRS = 1_000_000
_PAIR_USERS = 1000  # so many that a pair hardly comes twice

_TEXT_USERS, _COPIES = 9, 20

_KNOWN = (449, 2800, 10_000, 100_000)
_LLMS, _FEATURES, _TASKS, _WIDTH, _STYLE = 10, 54, 5, 256, 12  # those of the default network with 10 LLMs
_REQUESTS = 200  # of a run


def alpaca_config(setting: Setting, num_users: int):
    """The experiment of `num_users` users who weigh quality and cost."""
    config = load_experiment("alpaca_route")
    config.data.path = str(setting.data / "alpaca_route")
    config.data.num_users = num_users
    return config


def quick_router(setting: Setting, num_users: int):
    """A router of that experiment after two steps."""
    from prouter_jax.experiment import run_experiment
    from prouter_jax.serving.router import Router

    config = alpaca_config(setting, num_users)
    config.train.num_train_steps, config.train.eval_every_steps = 2, 2
    config.train.refit = False
    with tempfile.TemporaryDirectory() as workdir:
        run_experiment(config, workdir)
        return Router.load(workdir)


def score_rates(setting: Setting, router, columns: dict) -> list[float]:
    """Rows a second from Parquet to Parquet, for each run; cached texts are cleared before each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from prouter_jax.serving.batch.score import score_file

    rates = []
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.table(columns), f"{folder}/pairs.parquet")
        for _ in range(setting.runs + 1):
            router.forget_texts()
            begun = time.perf_counter()
            counts = score_file(router.score_columns, f"{folder}/pairs.parquet", f"{folder}/scored.parquet")
            rates.append(counts.rows / (time.perf_counter() - begun))
    return rates[1:]


def measure_pairs(setting: Setting) -> Iterator[Figure]:
    """Pairs a second from stored vectors."""
    import numpy as np

    router, rng = quick_router(setting, _PAIR_USERS), np.random.default_rng(0)
    known = {"user_id": router.interactions.users.ids, "query_id": router.world.interactions.queries.ids}
    rates = score_rates(setting, router, {name: rng.choice(list(ids), _PAIRS) for name, ids in known.items()})
    yield Figure("pairs", "scoring pairs from stored vectors, Parquet to Parquet", "pairs/s", rates, at_least=1e6)


def measure_texts(setting: Setting) -> Iterator[Figure]:
    """Texts a second, encoding included."""
    import numpy as np

    from prouter_jax.dataset import read_interactions

    router = quick_router(setting, _TEXT_USERS)
    queries = read_interactions(alpaca_config(setting, _TEXT_USERS).data).queries.texts
    texts = [f"{text} ({copy})" for copy in range(_COPIES) for text in queries]
    users = np.random.default_rng(0).choice(list(router.interactions.users.ids), len(texts))
    rates = score_rates(setting, router, {"user_id": users, "query": texts})
    name = "scoring different raw texts of alpaca_route's length, Parquet to Parquet"
    yield Figure("texts", name, "texts/s", rates)


def measure_new_queries(setting: Setting) -> Iterator[Figure]:
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
