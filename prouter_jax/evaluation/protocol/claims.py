"""Measures the claims of the paper (arXiv 2511.16883): the router against baselines of the paper's kind alone."""

from collections.abc import Callable, Mapping, Sequence

from prouter_jax.evaluation.protocol.definition import Size
from prouter_jax.evaluation.protocol.measure import measure_new_llms, measure_new_users, measure_split
from prouter_jax.evaluation.protocol.rows import PUBLISHED
from prouter_jax.evaluation.protocol.table import ORACLE
from prouter_jax.report.types import ROUTER

COMPARED = ("cascade", "switch", "contrastive", "graph_router")
_MEASURES: Mapping[str, Callable] = {
    "split": measure_split,
    "new users": measure_new_users,
    "new LLMs": measure_new_llms,
}


def measure_claim(measured: str, published: str, size: Size, **arguments) -> Sequence[dict]:
    """Measures one setting and keeps the router, the baselines of `COMPARED`, and the oracle.

    Args:
      measured: what the claim is about: "split" (known users), "new users" or "new LLMs".
      published: the paper's number, for the column beside ours.
      arguments: those of the function in `measure`.
    """
    found = _MEASURES[measured](size=size, **arguments)
    measurements = found if isinstance(found, list) else [found]
    for one in measurements:
        one["policies"] = {
            name: one["policies"][name] for name in (ROUTER, *COMPARED, ORACLE) if name in one["policies"]
        }
        one["facts"][PUBLISHED] = published
    return measurements
