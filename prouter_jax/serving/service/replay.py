"""Gives the feedback of a state to a router."""

from collections.abc import Callable, Iterable
from typing import Any

from prouter_jax.serving.live import LiveRouter
from prouter_jax.serving.live_feedback import LiveFeedback
from prouter_jax.serving.service.store import StoredFeedback
from prouter_jax.serving.service.trained import counted


def replay(live: LiveRouter, rows: Iterable[StoredFeedback], fresh: bool = False) -> int:
    """Gives stored feedback to a router, except what it was trained on.

    Args:
      fresh: whether the router has no feedback yet; then each user is read once.

    Returns:
      number of pieces that the router cannot use, such as those on a model that it lost.
    """
    rows = list(rows)
    old = counted(live.router.interactions, min((row.time for row in rows), default=0.0))
    said = [LiveFeedback.from_row(row.content) for row in rows if (row.user_id, row.time) not in old]
    llms = {llm: row for row, llm in enumerate(live.llms)}
    usable = [one for one in said if not _fails(one.check, llms)]
    unusable = len(said) - len(usable)
    if fresh and not _fails(live.replay, usable):
        return unusable
    for user in {one.user for one in usable} if fresh else ():
        live.forget(user)  # what was taken before the piece that failed
    return unusable + sum(_fails(live.observe, one) for one in usable)


def _fails(function: Callable[[Any], None], argument: Any) -> bool:
    try:
        function(argument)
    except ValueError:
        return True
    return False
