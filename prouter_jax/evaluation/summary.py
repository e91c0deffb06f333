"""Summarises the picks of all seeds as a `Report`, with explanations and a map of single users."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import build_decisions, choice_shares
from prouter_jax.dataset import Dataset
from prouter_jax.evaluation.evaluate import SeedResult
from prouter_jax.model.inference import prepare_queries
from prouter_jax.report import types as report
from prouter_jax.report.types import ROUTER, UserMap
from prouter_jax.serving.explain import Explanation, Question
from prouter_jax.serving.router import Router

_MOST_ROWS = 12  # rows (users or groups of users) of a table or a plot


def summarise(results: Sequence[SeedResult], title: str, facts: Mapping[str, str]) -> report.Report:
    """Makes the report on one or several seeds of the same source.

    Args:
      results: one for each seed.
      facts: facts on data and run, by name.
    """
    preference = results[0].users.preference
    names = list(results[0].picks)
    routed = report.ROUTER in names
    return report.Report(
        title=title,
        facts=facts,
        reward_name=report.MATCHED if np.isnan(preference).any() else "reward",
        policies={name: _policy_result(results, name) for name in names},
        paired=_paired(results, names),
        users=_user_rows(results) if routed else [],
        shares=_share_table(results) if routed else report.ShareTable([], [], np.zeros((0, 0))),
        frontier=_frontier(results) if routed and not np.isnan(preference).any() else [],
    )


def _policy_result(results: Sequence[SeedResult], name: str) -> report.PolicyResult:
    rewards, singles, oracles = (_rewards(results, policy) for policy in (name, "best_single", "oracle"))
    gaps = [metrics.gap_closed(*triple) for triple in zip(rewards, singles, oracles, strict=True)]
    over_seeds = report.SeedStatistics.of
    right, effect, cost = (
        over_seeds([metrics.mean(getattr(result.picks[name], field)) for result in results])
        for field in ("right", "effect", "cost")
    )
    by_task, by_user = (_mean_rewards(results, name, group) for group in (_by_task, _by_user))
    return report.PolicyResult(over_seeds(rewards), over_seeds(gaps), right, effect, cost, by_task, by_user)


def _rewards(results: Sequence[SeedResult], name: str) -> list[float]:
    return [metrics.mean(result.picks[name].reward) for result in results]


def _by_task(result: SeedResult) -> tuple[np.ndarray, list[str]]:
    """The group row of each decision, and the names of the groups."""
    return np.where(result.task < 0, len(result.task_ids), result.task), [*result.task_ids, "no task"]


def _by_user(result: SeedResult) -> tuple[np.ndarray, list[str]]:
    return result.user, list(result.users.ids)


def _mean_rewards(results: Sequence[SeedResult], name: str, grouping: Callable) -> dict[str, float]:
    """The mean over seeds of each group's mean reward, for groups with test decisions."""
    _, names = grouping(results[0])
    means = [metrics.group_means(result.picks[name].reward, grouping(result)[0], len(names)) for result in results]
    overall = [metrics.mean(column) for column in np.stack(means, axis=1)]
    return {group: value for group, value in zip(names, overall, strict=True) if not np.isnan(value)}


def _paired(results: Sequence[SeedResult], names: list[str]) -> list[report.PairedDifference]:
    """Differences of the router to every policy, and of the user-blind router to the best single LLM."""
    pairs = [(report.ROUTER, name) for name in names if name != report.ROUTER]
    pairs.append(("user_blind", "best_single"))
    found = []
    for policy, against in pairs:
        if policy in names:
            interval, over = _difference(results, policy, against)
            found.append(
                report.PairedDifference(policy, against, interval.mean, interval.low, interval.high, over, interval.n)
            )
    return found


def _difference(results: Sequence[SeedResult], policy: str, against: str) -> tuple[metrics.Interval, str]:
    if len(results) > 1:
        first, second = (np.array(_rewards(results, name)) for name in (policy, against))
        return metrics.difference_over_seeds(first, second), "seeds"
    picks, query = results[0].picks, results[0].query
    return metrics.difference_over_queries(picks[policy].reward, picks[against].reward, query), "test queries"


def _user_rows(results: Sequence[SeedResult]) -> list[report.UserRow]:
    reward, single = (_mean_rewards(results, name, _by_user) for name in (report.ROUTER, "best_single"))
    favourite = results[0].llm_ids[_router_picks(results).argmax(1)]
    rows = zip(results[0].users.ids, results[0].users.preference, favourite, strict=True)
    return [
        report.UserRow(name, float(preference), reward[name], single[name], llm)
        for name, preference, llm in rows
        if name in reward
    ]


def _router_picks(results: Sequence[SeedResult]) -> np.ndarray:
    """Number of times the router picked each LLM for each user, over all seeds: [users, llms]."""
    num_users, num_llms = len(results[0].users.ids), len(results[0].llm_ids)
    cells = [result.user.astype(np.int64) * num_llms + result.picks[report.ROUTER].llm for result in results]
    return np.bincount(np.concatenate(cells), minlength=num_users * num_llms).reshape(num_users, num_llms)


def _share_table(results: Sequence[SeedResult]) -> report.ShareTable:
    """Pick shares of users evenly spaced in the order of preference, or in row order without preferences."""
    users, counts = results[0].users, _router_picks(results)
    tested = np.flatnonzero(counts.any(1))
    order = tested[np.argsort(users.preference[tested], kind="stable")]
    some = order[np.linspace(0, len(order) - 1, min(_MOST_ROWS, len(order))).round().astype(int)]
    names = [str(users.ids[row]) + _preference(float(users.preference[row])) for row in some]
    return report.ShareTable(names, list(results[0].llm_ids), counts[some] / counts[some].sum(1, keepdims=True))


def _preference(weight: float) -> str:
    return "" if np.isnan(weight) else f" (preference {weight:.2f})"


def _frontier(results: Sequence[SeedResult]) -> list[report.FrontierPoint]:
    """Mean effect and cost of the router for groups of users of similar preference, in ascending order."""
    weight = results[0].users.preference
    order = np.argsort(weight, kind="stable")
    points = []
    for group in np.array_split(order, min(_MOST_ROWS, len(order))):
        low, high = f"{weight[group[0]]:.2f}", f"{weight[group[-1]]:.2f}"
        effect, cost = (_router_mean(results, field, group) for field in ("effect", "cost"))
        if not np.isnan([effect, cost]).any():
            points.append(report.FrontierPoint(low if low == high else f"{low} to {high}", effect, cost))
    return points


def _router_mean(results: Sequence[SeedResult], field: str, group: np.ndarray) -> float:
    """The mean effect or cost of the router's picks for some users, over all seeds."""
    values = [getattr(result.picks[report.ROUTER], field)[np.isin(result.user, group)] for result in results]
    return metrics.mean(np.concatenate(values))


_EXPLAINED = 3
_MOST_ON_MAP = 2000


def explain_users(router: Router, dataset: Dataset, result: SeedResult) -> list[Explanation]:
    """Explains a test query of the first, the middle and the last user in the order of preference.

    Without preferences, the users are those with the most different picks. All users have a history.

    Args:
      router: the router trained on `dataset`.
      result: the router's picks for the test decisions.
    """
    test = dataset.labelled("test").decisions
    counts = np.bincount(router.interactions.decisions.user, minlength=len(router.interactions.users.ids))
    rows = np.flatnonzero((test.offered.sum(1) > 1) & (counts[test.user] > 0))
    users = _first_to_last(result, np.intersect1d(test.user[rows], result.user))
    asked_by = [rows[test.user[rows] == user] for user in users]
    asked = [query for theirs in asked_by for query in np.unique(test.query[theirs])]
    common = np.bincount(asked, minlength=len(dataset.data.queries.ids))  # prefers a common query
    chosen = [theirs[common[test.query[theirs]].argmax()] for theirs in asked_by]
    return [router.explain_question(_question(router, dataset, test, row)) for row in chosen]


def _question(router: Router, dataset: Dataset, test, row: int) -> Question:
    asked, _ = prepare_queries(router.scorer, dataset, test.query[[row]])
    return Question(test.user[row], str(dataset.data.queries.texts[test.query[row]]), asked, test.offered[row])


def _first_to_last(result: SeedResult, users: np.ndarray) -> np.ndarray:
    """A few of `users`: evenly spaced in preference, or by farthest-point sampling of their pick shares."""
    preference = result.users.preference[users]
    if len(users) <= _EXPLAINED:
        return users
    if not np.isnan(preference).any():
        order = users[np.argsort(preference, kind="stable")]
        return order[np.linspace(0, len(order) - 1, _EXPLAINED).round().astype(int)]
    shares = np.zeros((len(result.users.ids), len(result.llm_ids)))
    np.add.at(shares, (result.user, result.picks[ROUTER].llm), 1)
    shares = shares[users] / shares[users].sum(1, keepdims=True)
    distance = np.abs(shares - shares.mean(0)).sum(1)
    chosen = [int(distance.argmax())]
    while len(chosen) < _EXPLAINED:
        distance = np.min([np.abs(shares - shares[row]).sum(1) for row in chosen], axis=0)
        chosen.append(int(distance.argmax()))
    return users[chosen]


def map_users(router: Router) -> UserMap | None:
    """Maps users with a history: the first two principal components of their weights on the answers' properties.

    Each weight is scaled by the standard deviation of its property among the answers to a query. Many users are
    subsampled evenly.

    Returns:
      None if fewer than three users have a history, or all have the same state.
    """
    data, answers = router.interactions, router.scorer.answers
    users = np.unique(data.decisions.user)
    users = users[np.linspace(0, len(users) - 1, min(len(users), _MOST_ON_MAP)).round().astype(int)]
    spread = (answers - answers.mean(1, keepdims=True)).std((0, 1))
    states = (router.users[users, : len(spread)] * spread).astype(np.float64)
    left, size, axes = np.linalg.svd(states - states.mean(0), full_matrices=False)
    if len(users) < 3 or len(size) < 2 or not size[0] > 0:
        return None
    sign = np.sign(np.take_along_axis(axes[:2], np.abs(axes[:2]).argmax(1)[:, None], 1))[:, 0]
    variance = size**2 / (size**2).sum()
    return UserMap(
        users=data.users.ids[users].tolist(),
        points=left[:, :2] * size[:2] * np.where(sign == 0, 1, sign),
        preference=data.users.preference[users],
        favourite=_favourites(router, users),
        explained_variance=(float(variance[0]), float(variance[1])),
    )


def _favourites(router: Router, users: np.ndarray) -> list[str]:
    """The LLM with the most positive feedback of each of `users`: choices, else thumbs up, else ratings; or `NONE`."""
    data = router.interactions
    decisions = build_decisions(data, np.flatnonzero(np.isin(data.decisions.user, users)))
    chosen_counts = np.zeros((len(users), len(data.llms.ids)))
    shares = choice_shares(decisions)
    stated = np.where(decisions.thumb < 0, np.nan_to_num(decisions.rating), decisions.thumb)
    positive = np.where(shares.any(1, keepdims=True), shares, stated)
    np.add.at(chosen_counts, np.searchsorted(users, decisions.user), positive)
    found = np.where(chosen_counts.max(1) > 0, data.llms.ids[chosen_counts.argmax(1)], report.NONE)
    return found.tolist()
