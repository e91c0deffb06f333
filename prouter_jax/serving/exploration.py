"""`Exploration`: draws the pick of a request from a distribution that is known, and holds users at the blind pick.

Notation for a request: u_j are the logits of the user's choice among the n LLMs on offer, b_j those of a user without
history. The personal pick is argmax u, the blind pick is argmax b.

    gate        the personal pick counts if u_personal - u_blind > gate: the user's log-odds of it over the blind pick
    epsilon     P(j) = (1 - share) [j is the pick] + share / n
    thompson    P(j) = (1 - share) q_j + share / n,  q_j the posterior probability that u_j is the largest;
                as epsilon while the gate holds the user

The posterior is that of the user's weights, Gaussian around the mode (Laplace), and u is taken as linear in them.

So every LLM has a propensity of share / n or more, and the log of the decisions tells what another policy would have
been worth.
"""

import dataclasses
import functools
import random
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

KINDS = ("none", "thompson", "epsilon")
BEST, HELD, EXPLORED = "best", "held", "explored"
_DRAWS = 256  # from the posterior; the same normal numbers each time, so the probabilities are a function of the state


@dataclasses.dataclass(frozen=True)
class Exploration:
    """How a pick is drawn; equations in the module docstring.

    Attributes:
      kind: "none", "thompson" or "epsilon".
      share: of the probability that is spread evenly over the LLMs on offer, 0 to 1; nothing is spread for "none".
      gate: log-odds above which the personal pick counts; None for no gate.
      uniform: function that draws a number from 0 to 1.
    """

    kind: str = "none"
    share: float = 0.02
    gate: float | None = None
    uniform: Callable[[], float] = random.random

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"explore: expected one of {', '.join(KINDS)}, found {self.kind!r}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"explore: expected a share of 0 to 1, found {self.share}")

    @property
    def is_greedy(self) -> bool:
        """Whether the personal pick is always taken."""
        return self.kind == "none" and (self.gate is None or self.gate <= 0)

    @property
    def needs_posterior(self) -> bool:
        """Whether picks are drawn from the posterior."""
        return self.kind == "thompson"

    def draw(
        self,
        logits: Float[np.ndarray, " offered"],
        blind: Float[np.ndarray, " offered"],
        slopes: Float[np.ndarray, "offered features"] | None = None,
    ) -> tuple[int, Float[np.ndarray, " offered"], str]:
        """Draws a pick.

        Args:
          logits: of the user's choice.
          blind: of a user without history.
          slopes: derivatives of the logits in independent standard normal variables that the posterior is made of;
            only for "thompson".

        Returns:
          the pick; the probability with which each LLM is picked; "best", "held" or "explored".
        """
        personal, usual = int(np.argmax(logits)), int(np.argmax(blind))
        held = self.gate is not None and bool(logits[personal] - logits[usual] <= self.gate)
        greedy = usual if held else personal
        if self.kind == "none":
            pick, chances = greedy, np.eye(len(logits))[greedy]
        else:
            chances = self._chances(logits, greedy, slopes if self.needs_posterior and not held else None)
            pick = min(int(np.searchsorted(np.cumsum(chances), self.uniform())), len(chances) - 1)
        reason = BEST if pick == personal else HELD if pick == greedy else EXPLORED
        return pick, chances, reason

    def _chances(self, logits: np.ndarray, greedy: int, slopes: np.ndarray | None) -> np.ndarray:
        best = np.eye(len(logits))[greedy]
        if slopes is not None:
            drawn = logits + _normal(slopes.shape[1]) @ slopes.T
            best = np.bincount(drawn.argmax(1), minlength=len(logits)) / len(drawn)
        return (1 - self.share) * best + self.share / len(logits)


NO_EXPLORATION = Exploration()
"""The best LLM, always."""


@functools.lru_cache(maxsize=4)
def _normal(size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((_DRAWS, size)).astype(np.float32)
