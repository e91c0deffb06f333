"""Which of the ranked models is picked: pins and bans of the user, sessions that keep their model, tool loops."""

import collections
import dataclasses
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from prouter_jax.serving.live import Ranking
from prouter_jax.serving.service.errors import ApiError

_MOST_SESSIONS = 100_000


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a user sets.

    Attributes:
      pin: the model that is picked where it is on offer; None for none.
      ban: models that are never picked.
      weights: on named properties of answers, in place of the learnt ones.
    """

    pin: str | None = None
    ban: tuple[str, ...] = ()
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Settings":
        """The inverse of `to_row`."""
        return cls(row.get("pin"), tuple(row.get("ban", ())), row.get("weights", {}))

    def to_row(self) -> dict[str, Any]:
        """The settings that are not the defaults, as JSON."""
        row = {"pin": self.pin, "ban": list(self.ban), "weights": dict(self.weights)}
        return {name: value for name, value in row.items() if value}

    def allowed(self, llms: Sequence[str], candidates: Sequence[str] | None) -> list[str]:
        """The models that may be picked.

        Args:
          llms: the models of the router.
          candidates: those on offer; None for all.

        Raises:
          ApiError: 400 if a candidate is unknown, or all are banned.
        """
        unknown = sorted(set(candidates or ()) - set(llms))
        if unknown:
            message = f"candidates: expected models that /v1/models lists, found {', '.join(map(repr, unknown[:3]))}"
            raise ApiError(400, message, "candidates", "unknown_model")
        left = [llm for llm in dict.fromkeys(candidates or llms) if llm not in self.ban]
        if not left:
            raise ApiError(400, "candidates: expected one that the user has not banned, found none", "candidates")
        return left


class Sessions:
    """The model of each session that was used lately."""

    def __init__(self, most: int = _MOST_SESSIONS):
        self._most, self._lock = most, threading.Lock()
        self._models: collections.OrderedDict[tuple[str, str], str] = collections.OrderedDict()

    def get(self, user: str, session: str) -> str | None:
        """The model, None for a session that is not in memory."""
        with self._lock:
            return self._models.get((user, session))

    def set(self, user: str, session: str, model: str) -> None:
        """Notes the model of a session."""
        with self._lock:
            self._models[user, session] = model
            self._models.move_to_end((user, session))
            if len(self._models) > self._most:
                self._models.popitem(last=False)

    def forget(self, user: str) -> None:
        """Removes the sessions of a user."""
        with self._lock:
            for key in [key for key in self._models if key[0] == user]:
                del self._models[key]


def pick(
    ranking: Ranking, pin: str | None, current: str | None, in_tool_loop: bool, switch_gain: float
) -> tuple[str, str, float]:
    """The model to use, why, and its propensity.

    Args:
      ranking: of the models that may be picked; the first was drawn by its propensities.
      pin: the model that the user pins.
      current: the model of the session, None without one.
      in_tool_loop: whether the model waits for the result of a tool: another one could not read it.
      switch_gain: gain in the probability that the user likes the answer best from which on a session changes model.

    Returns:
      the model; "tool_loop", "pinned", "session", or the reason of the ranking; the probability with which this model
      is used, over all that could have been drawn.
    """
    probability = dict(zip(ranking.llms, ranking.probabilities, strict=True))

    def used(drawn: str) -> tuple[str, str]:
        if in_tool_loop and current in probability:
            return current, "tool_loop"
        if pin in probability:
            return pin, "pinned"
        if current in probability and current != drawn and probability[drawn] - probability[current] <= switch_gain:
            return current, "session"
        return drawn, ranking.reason

    model, reason = used(ranking.llms[0])
    chances = zip(ranking.llms, ranking.propensities, strict=True)
    return model, reason, 1 - math.fsum(chance for drawn, chance in chances if used(drawn)[0] != model)


def is_tool_loop(messages: Sequence[Mapping[str, Any]] | None) -> bool:
    """Whether a conversation ends with a call of a tool or with a tool's result."""
    last = messages[-1] if messages else {}
    parts = last.get("content") if isinstance(last.get("content"), list) else []
    result = any(isinstance(part, Mapping) and part.get("type") == "tool_result" for part in parts or [])
    return last.get("role") in ("tool", "function") or bool(last.get("tool_calls")) or result
