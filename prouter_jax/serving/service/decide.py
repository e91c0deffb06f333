"""What is decided for a request: the ranking of the models, the pick, and the decision as it is stored."""

import dataclasses
import secrets
from typing import Any

from prouter_jax.serving.exploration import NO_EXPLORATION, Exploration
from prouter_jax.serving.live import LiveRouter, Ranking
from prouter_jax.serving.live_query import CostChange, FoundQuery, PreparedQuery
from prouter_jax.serving.offer import Offer
from prouter_jax.serving.service.arrange import Settings, is_tool_loop, pick
from prouter_jax.serving.service.requests import FeedbackRequest, RouteRequest
from prouter_jax.serving.service.said import checked, text_of
from prouter_jax.serving.service.store import StoredDecision


@dataclasses.dataclass(frozen=True)
class Options:
    """How a service works.

    Attributes:
      store_prompts: whether the texts of queries are stored; otherwise features are.
      switch_gain: as in `arrange.pick`, where a request has none.
      shared: whether other services use the same database.
      explore: how picks are drawn.
    """

    store_prompts: bool = False
    switch_gain: float = 0.1
    shared: bool = False
    explore: Exploration = NO_EXPLORATION


DEFAULTS = Options()


@dataclasses.dataclass(frozen=True)
class Ask:
    """A request for a ranking.

    Attributes:
      user: its id.
      current: the model of the session, see `Service.session_model`.
    """

    user: str
    request: RouteRequest
    current: str | None = None


@dataclasses.dataclass(frozen=True)
class Routed:
    """An answer of `Service.route`.

    Attributes:
      decision: as it is stored.
      ranking: the models, the pick first.
      reason: why it is the pick, see `arrange.pick`.
    """

    decision: StoredDecision
    ranking: Ranking
    reason: str


def find_query(live: LiveRouter, request: RouteRequest | FeedbackRequest) -> tuple[str, FoundQuery]:
    """The text of a request, and its query.

    Raises:
      ApiError: 400 if it has none.
    """
    text = text_of(request)
    return text, checked(live.find, text, None, request.task_id)


def decide(
    live: LiveRouter,
    ask: Ask,
    text: str,
    query: PreparedQuery,
    settings: Settings,
    options: Options,
    now: float,
) -> Routed:
    """Ranks the models for a request.

    Args:
      text: of the request.
      query: of this text.
      settings: of the user.
      now: seconds since 1970.

    Raises:
      ApiError: 400 if there is nothing to pick.
    """
    request = ask.request
    allowed = settings.allowed(live.llms, request.candidates)
    offer = Offer(allowed, request.max_cost, request.max_latency)
    changes = CostChange(request.prices or {}, request.cached_tokens, ask.current)
    costs = changes if request.prices or request.cached_tokens else None
    ranking = checked(live.rank, ask.user, query, offer, options.explore, settings.weights, costs)
    gain = options.switch_gain if request.switch_gain is None else request.switch_gain
    model, reason, propensity = pick(ranking, settings.pin, ask.current, is_tool_loop(request.messages), gain)
    ranking = _first(ranking, model)
    decision = StoredDecision(
        decision_id=secrets.token_hex(12),
        user_id=ask.user,
        time=now,
        session=request.session,
        **query_columns(query.columns, text, request.task_id, options.store_prompts),
        candidates=tuple(ranking.llms),
        llm=model,
        propensity=propensity,
        probability=ranking.probabilities[0],
        basis=ranking.basis,
    )
    return Routed(decision, ranking, reason)


def query_columns(columns: dict[str, Any], text: str, task_id: str | None, store_prompts: bool) -> dict[str, Any]:
    """The columns of a query as they are stored.

    Args:
      columns: as in `PreparedQuery`.
      store_prompts: whether the text is stored; else where it stands for the router.
    """
    nothing: dict[str, Any] = {"query": None, "query_id": None, "features": None, "task_id": task_id}
    return nothing | ({"query": text} if store_prompts else columns)


def _first(ranking: Ranking, model: str) -> Ranking:
    """The ranking with a model first; the others keep their order."""
    order = sorted(range(len(ranking.llms)), key=lambda place: ranking.llms[place] != model)
    columns = ("llms", "probabilities", "costs", "propensities")
    return dataclasses.replace(ranking, **{name: [getattr(ranking, name)[i] for i in order] for name in columns})
