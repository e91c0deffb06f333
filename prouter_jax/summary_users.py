"""Of single users in a report: why a few of them get what they get, and where all of them stand."""

import numpy as np

from prouter_jax.decisions import build_decisions, choice_shares
from prouter_jax.evaluate import SeedResult
from prouter_jax.explain import Question
from prouter_jax.explain_types import Explanation
from prouter_jax.prepare import Prepared
from prouter_jax.report.types import ROUTER, UserMap
from prouter_jax.router import Router
from prouter_jax.scoring import ask_prepared

_EXPLAINED = 3
_MOST_ON_MAP = 2000


def explain_users(router: Router, prepared: Prepared, result: SeedResult) -> list[Explanation]:
    """A test query of the first, the middle and the last user in the order of preference.

    Where preferences are not known, of users who get the most different LLMs. Only users with a history are taken.

    Args:
      router: trained on `prepared`; result: its picks for the test decisions.
    """
    test = prepared.labelled("test").decisions
    counts = np.bincount(router.known.decisions.user, minlength=len(router.known.users.ids))
    rows = np.flatnonzero((test.offered.sum(1) > 1) & (counts[test.user] > 0))
    users = _first_to_last(result, np.intersect1d(test.user[rows], result.user))
    asked_by = [rows[test.user[rows] == user] for user in users]
    asked = [query for theirs in asked_by for query in np.unique(test.query[theirs])]
    common = np.bincount(asked, minlength=len(prepared.data.queries.ids))  # one query for all shows most
    chosen = [theirs[common[test.query[theirs]].argmax()] for theirs in asked_by]
    return [router.explain_question(_question(router, prepared, test, row)) for row in chosen]


def _question(router: Router, prepared: Prepared, test, row: int) -> Question:
    asked, _ = ask_prepared(router.scorer, prepared, test.query[[row]])
    return Question(test.user[row], str(prepared.data.queries.texts[test.query[row]]), asked, test.offered[row])


def _first_to_last(result: SeedResult, users: np.ndarray) -> np.ndarray:
    """A few of the `users`, as different as can be."""
    preference = result.users.preference[users]
    if len(users) <= _EXPLAINED:
        return users
    if not np.isnan(preference).any():
        order = users[np.argsort(preference, kind="stable")]
        return order[np.linspace(0, len(order) - 1, _EXPLAINED).round().astype(int)]
    shares = np.zeros((len(result.users.ids), len(result.llm_ids)))
    np.add.at(shares, (result.user, result.picks[ROUTER].llm), 1)
    shares = shares[users] / shares[users].sum(1, keepdims=True)
    away = np.abs(shares - shares.mean(0)).sum(1)
    chosen = [int(away.argmax())]
    while len(chosen) < _EXPLAINED:
        away = np.min([np.abs(shares - shares[row]).sum(1) for row in chosen], axis=0)
        chosen.append(int(away.argmax()))
    return users[chosen]


def map_users(router: Router) -> UserMap | None:
    """Where users with a history stand: the first two principal components of their states.

    A weight counts by how much the answers to a query differ in what it weighs. Of many users some are taken, evenly.

    Returns:
      None where fewer than three users have a history, or all are alike.
    """
    data, answers = router.known, router.scorer.answers
    users = np.unique(data.decisions.user)
    users = users[np.linspace(0, len(users) - 1, min(len(users), _MOST_ON_MAP)).round().astype(int)]
    spread = (answers - answers.mean(1, keepdims=True)).std((0, 1))
    states = (router.users[users] * spread).astype(np.float64)
    left, size, axes = np.linalg.svd(states - states.mean(0), full_matrices=False)
    if len(users) < 3 or len(size) < 2 or not size[0] > 0:
        return None
    sign = np.sign(np.take_along_axis(axes[:2], np.abs(axes[:2]).argmax(1)[:, None], 1))[:, 0]
    told = size**2 / (size**2).sum()
    return UserMap(
        users=data.users.ids[users].tolist(),
        points=left[:, :2] * size[:2] * np.where(sign == 0, 1, sign),
        preference=data.users.preference[users],
        favourite=data.llms.ids[_favourites(router, users)].tolist(),
        told=(float(told[0]), float(told[1])),
    )


def _favourites(router: Router, users: np.ndarray) -> np.ndarray:
    """The LLM that each of the `users` liked most often, a row of the pool, [users]."""
    data = router.known
    said = build_decisions(data, np.flatnonzero(np.isin(data.decisions.user, users)))
    liked = np.zeros((len(users), len(data.llms.ids)))
    np.add.at(liked, np.searchsorted(users, said.user), choice_shares(said))
    return liked.argmax(1)
