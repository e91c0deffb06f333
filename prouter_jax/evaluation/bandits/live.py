"""The live router as a bandit, and the gate that validation users choose for it."""

import numpy as np
from jaxtyping import Float, Int

from prouter_jax.data.interactions import Interactions
from prouter_jax.evaluation.bandits.simulation import Rounds, regret, simulate
from prouter_jax.serving.exploration import NO_EXPLORATION, Exploration
from prouter_jax.serving.live import LiveRouter, Ranking
from prouter_jax.serving.live_feedback import LiveFeedback

GATES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, np.inf)
"""Log-odds among which `choose_gate` chooses."""


class LiveBandit:
    """Routes by `LiveRouter.route` and learns by `LiveRouter.observe`, as `prouter serve` does.

    Args:
      live: the router; users of the same name were not there before.
      data: has the queries.
      name: of these users, to which their numbers are added.
      explore: how picks are drawn.

    Attributes:
      rankings: of each round and user.
    """

    def __init__(self, live: LiveRouter, data: Interactions, name: str, explore: Exploration = NO_EXPLORATION):
        self.live, self.name, self.explore = live, name, explore
        self.row = {llm: row for row, llm in enumerate(live.llms)}
        self.texts, tasks = data.queries.texts, [*data.tasks.ids, None]
        self.tasks = [tasks[task] for task in data.queries.task]
        self.rankings: list[list[Ranking]] = []

    def pick(self, query: Int[np.ndarray, " users"]) -> Int[np.ndarray, " users"]:
        self.rankings.append([self._route(f"{self.name} {user}", row) for user, row in enumerate(query)])
        return np.array([self.row[ranking.llms[0]] for ranking in self.rankings[-1]])

    def learn(self, user: int, query: int, llm: int, up: bool) -> None:
        about = {"query": self.texts[query], "task_id": self.tasks[query], "kind": "thumb"}
        self.live.observe(LiveFeedback(f"{self.name} {user}", llm=self.live.llms[llm], value=float(up), **about))

    def _route(self, user: str, query: int) -> Ranking:
        return self.live.route(user, self.texts[query], task_id=self.tasks[query], explore=self.explore)


def blind_picks(live: LiveRouter, data: Interactions, rounds: Rounds) -> Int[np.ndarray, "users rounds"]:
    """Returns the picks for a user without history."""
    bandit = LiveBandit(live, data, "nobody")
    rows, place = np.unique(rounds.query, return_inverse=True)
    picks = [bandit.row[bandit._route("nobody", row).llms[0]] for row in rows]
    return np.array(picks)[place.reshape(rounds.query.shape)]


def choose_gate(live: LiveRouter, data: Interactions, rounds: Rounds) -> float:
    """Returns the gate with the least regret, of those with which no number of rounds has more than the blind picks.

    The gates are compared on the histories of a router without a gate.

    Args:
      rounds: of validation users.
    """
    bandit, blind = LiveBandit(live, data, "validation"), blind_picks(live, data, rounds)
    simulate(bandit, rounds)
    rankings = [[of_round[user] for of_round in bandit.rankings] for user in range(len(blind))]
    personal = np.array([[bandit.row[one.llms[0]] for one in of_user] for of_user in rankings])
    margin = np.array([[_margin(one, live.llms[usual]) for one, usual in zip(of_user, picks, strict=True)]
                       for of_user, picks in zip(rankings, blind, strict=True)])  # fmt: skip
    usual = _cumulative(rounds, blind)
    found = {gate: _cumulative(rounds, np.where(margin > gate, personal, blind)) for gate in GATES}
    safe = [gate for gate in GATES if (found[gate] <= usual + 1e-9).all()]  # infinity always is
    return min(safe, key=lambda gate: found[gate][-1])


def _margin(ranking: Ranking, usual: str) -> float:
    """Log-odds of the first over the blind pick."""
    return float(np.log(ranking.probabilities[0] / ranking.probabilities[ranking.llms.index(usual)]))


def _cumulative(rounds: Rounds, picks: np.ndarray) -> Float[np.ndarray, " rounds"]:
    return regret(rounds, picks).mean(0).cumsum()
