"""From requests to what the router takes: texts, and feedback as `LiveFeedback`."""

from collections.abc import Callable
from typing import Any

from prouter_jax.serving.live_feedback import LiveFeedback, query_text
from prouter_jax.serving.service import store
from prouter_jax.serving.service.errors import ApiError
from prouter_jax.serving.service.requests import FeedbackRequest, RouteRequest
from prouter_jax.serving.service.writer import Connection

_QUERY = ("query", "query_id", "features", "task_id")


def text_of(request: RouteRequest | FeedbackRequest) -> str:
    """The text of a request.

    Raises:
      ApiError: 400 without one, or on one that is no Unicode.
    """
    text = request.query if request.messages is None else checked(query_text, request.messages)
    assert text is not None  # the request has one of both
    try:
        text.encode()
    except UnicodeError:
        raise ApiError(400, "messages: expected Unicode text, found half of a UTF-16 pair", "messages") from None
    return text


def checked(function: Callable, *arguments, **named) -> Any:
    """Calls a function of the router; its ValueError is one of the request."""
    try:
        return function(*arguments, **named)
    except ValueError as error:
        field, colon, _ = str(error).partition(":")
        param = field if colon and field.isidentifier() else None
        raise ApiError(400, str(error), param, "invalid_value") from None


def live_feedback(user: str, request: FeedbackRequest, known: dict[str, Any]) -> LiveFeedback:
    """The feedback of a request.

    Args:
      known: columns of the query; with a decision also its candidates and pick.
    """
    kind, value = request.kind, None
    candidates = tuple(request.candidates) if request.candidates else known.get("candidates")
    llm = request.model or known.get("llm", "")
    if request.vote is not None:
        vote = request.vote
        candidates, llm = (vote.model_a, vote.model_b), {"a": vote.model_a, "b": vote.model_b, "tie": ""}[vote.winner]
    elif request.choice is not None:
        llm = request.choice
    elif request.thumb is not None:
        value = float(request.thumb == "up")
    else:
        value, candidates = request.rating, None
    query = {name: known[name] for name in _QUERY}
    return LiveFeedback(user, **query, kind=kind, llm=llm, value=value, candidates=candidates, first=request.first)


def columns_of_decision(database: Connection, user: str, decision_id: str | None) -> dict[str, Any]:
    """The columns of a decision that feedback needs.

    Raises:
      ApiError: 404 if the user has no such decision.
    """
    decision = store.find_decision(database, decision_id or "")
    if decision is None or decision.user_id != user:
        message = "decision_id: expected a decision of this user, found none; name the query and the model"
        raise ApiError(404, message, "decision_id", "unknown_decision")
    return {name: getattr(decision, name) for name in (*_QUERY, "candidates", "llm")}
