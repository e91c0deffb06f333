"""Scoring of a Parquet file of training users and training queries."""

from collections.abc import Iterator

from .figures import Figure, Setting
from .routers import quick_router, score_rates

_PAIRS = 1_000_000
_USERS = 1000  # so many that a pair hardly comes twice


def measure(setting: Setting) -> Iterator[Figure]:
    """Pairs a second from stored vectors."""
    import numpy as np

    router, rng = quick_router(setting, _USERS), np.random.default_rng(0)
    known = {"user_id": router.interactions.users.ids, "query_id": router.world.interactions.queries.ids}
    rates = score_rates(setting, router, {name: rng.choice(list(ids), _PAIRS) for name, ids in known.items()})
    yield Figure("pairs", "scoring pairs from stored vectors, Parquet to Parquet", "pairs/s", rates, at_least=1e6)
