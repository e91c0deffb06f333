"""What the trained router already counts: histories of users, and feedback of the service that came back by an export.

An export gives each piece of feedback its time, which rises strictly; `prouter update` and `prouter train` keep it. So
user and time say whether the router counts a piece, and it is not given to it a second time.
"""

import numpy as np

from prouter_jax.data.interactions import Interactions


def knows(data: Interactions, user: str) -> bool:
    """Whether the data of a router have a history of the user."""
    rows = np.flatnonzero(data.users.ids == user)
    return bool(np.isin(rows, data.decisions.user).any())


def counted(data: Interactions, since: float) -> set[tuple[str, float]]:
    """User and time of each decision in the data of a router, from a time on."""
    rows = np.flatnonzero(data.decisions.time >= since)
    return set(zip(data.users.ids[data.decisions.user[rows]], data.decisions.time[rows].tolist(), strict=True))
