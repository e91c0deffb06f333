"""Gives the feedback of a state to a router."""

from collections.abc import Callable, Iterable
from typing import Any

from prouter_jax.serving.live import LiveRouter
from prouter_jax.serving.live_feedback import LiveFeedback
from prouter_jax.serving.service.store import StoredFeedback
from prouter_jax.serving.service.trained import counted


def replay(live: LiveRouter, rows: Iterable[StoredFeedback]) -> int:
    """Gives stored feedback to a router, except what it was trained on.

    Returns:
      number of pieces that the router cannot use, such as those on a model that it lost.
    """
    rows = list(rows)
    old = counted(live.router.interactions, min((row.time for row in rows), default=0.0))
    said = (LiveFeedback.from_row(row.content) for row in rows if (row.user_id, row.time) not in old)
    return sum(_fails(live.replay, one) for one in said)


def _fails(function: Callable[[Any], None], argument: Any) -> bool:
    try:
        function(argument)
    except ValueError:
        return True
    return False
