"""Scoring of distinct, new texts of alpaca_route's length."""

from collections.abc import Iterator

from .figures import Figure, Setting
from .routers import alpaca_config, quick_router, score_rates

_USERS, _COPIES = 9, 20


def measure(setting: Setting) -> Iterator[Figure]:
    """Texts a second, encoding included."""
    import numpy as np

    from prouter_jax.dataset import read_interactions

    router = quick_router(setting, _USERS)
    queries = read_interactions(alpaca_config(setting, _USERS).data).queries.texts
    texts = [f"{text} ({copy})" for copy in range(_COPIES) for text in queries]
    users = np.random.default_rng(0).choice(list(router.interactions.users.ids), len(texts))
    rates = score_rates(setting, router, {"user_id": users, "query": texts})
    name = "scoring different raw texts of alpaca_route's length, Parquet to Parquet"
    yield Figure("texts", name, "texts/s", rates)
