"""The requests that the service answers."""

import asyncio
import dataclasses
from concurrent.futures import Future
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from prouter_jax.serving.live_feedback import LiveFeedback
from prouter_jax.serving.service import answers
from prouter_jax.serving.service.decide import Ask, Routed
from prouter_jax.serving.service.errors import ApiError
from prouter_jax.serving.service.page import HEADERS, api_page, people_page
from prouter_jax.serving.service.profile import model_profiles, property_profiles, summarise
from prouter_jax.serving.service.requests import FeedbackRequest, Id, RouteRequest, ServedRequest, UserRequest
from prouter_jax.serving.service.state import State

_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": answers.ErrorAnswer}}
router = APIRouter()


async def _state(request: Request) -> State:  # one that is not async would be called in a thread
    return request.app.state.shared


Shared = Annotated[State, Depends(_state)]


@router.post("/v1/route", response_model=answers.RouteAnswer, responses=_ERRORS)
async def route(request: Request, body: RouteRequest, state: Shared) -> Response:
    """Ranks the models for a user's request; the first is the pick, the others are fallbacks."""
    user = _user(request, state, body.user)
    current = state.service.session_model(user, body.session)
    if isinstance(current, Future):
        current = await _durable(current)
    routed: Routed = await state.routes.ask(Ask(user, body, current))
    decision = routed.decision
    state.metrics.decisions.labels(decision.llm, decision.basis, routed.reason).inc()
    state.log.write("route", decision_id=decision.decision_id, model=decision.llm, reason=routed.reason)
    columns = zip(routed.ranking.llms, routed.ranking.probabilities, routed.ranking.costs, strict=True)
    answer = {
        "decision_id": decision.decision_id,
        "model": decision.llm,
        "models": [{"model": llm, "probability": share, "expected_cost": cost} for llm, share, cost in columns],
        "basis": decision.basis,
        "reason": routed.reason,
        "propensity": decision.propensity,
    }
    # Envoy's AI gateway picks the backend by this header
    headers = {"x-ai-eg-model": decision.llm} if decision.llm.isascii() else {}
    return JSONResponse(answer, headers=headers)


@router.post("/v1/feedback", response_model=answers.FeedbackAnswer, responses=_ERRORS)
async def feedback(request: Request, body: FeedbackRequest, state: Shared) -> Response:
    """Takes a thumb, rating, choice or vote; answers once it is durable, and the next request heeds it."""
    user = _user(request, state, body.user)
    answer = await _durable(await _in_thread(state, state.service.feedback, user, body))
    if not answer["duplicate"]:
        state.metrics.feedback.labels(body.kind).inc()
    state.log.write("feedback", decision_id=body.decision_id, kind=body.kind, duplicate=answer["duplicate"])
    return JSONResponse(answer)


@router.post("/v1/served", response_model=answers.ServedAnswer, responses=_ERRORS)
async def served(request: Request, body: ServedRequest, state: Shared) -> Response:
    """Notes what a gateway served after a decision: model, tokens, cost, latency."""
    user = _user(request, state, body.user)
    await _durable(state.service.served(user, body))
    state.log.write("served", decision_id=body.decision_id)
    return JSONResponse({"decision_id": body.decision_id})


@router.get("/v1/models", response_model=answers.ModelsAnswer, responses=_ERRORS)
async def models(state: Shared) -> Response:
    """Lists the models that can be picked."""
    data = [{"id": llm, "object": "model"} for llm in state.service.live.llms]
    return JSONResponse({"object": "list", "data": data})


_UserId = Annotated[Id, Path(description="The user; `me` is the user of the API key or header.")]


@router.get("/v1/users/{user_id:path}", response_model=answers.UserAnswer, responses=_ERRORS)
async def get_user(
    request: Request, user_id: _UserId, state: Shared, export: Annotated[bool, Query(strict=False)] = False
) -> Response:
    """Describes a user; with ?export=true gives everything that is stored of it instead."""
    user = _user(request, state, None if user_id == "me" else user_id)
    decisions, said, served_rows = await _durable(state.service.history(user))
    settings = state.service.settings(user)
    if export:
        rows = [dataclasses.asdict(row) | {"features": row.features and row.features.hex()} for row in decisions]
        content = [dataclasses.asdict(row) for row in said]
        everything = {
            "decisions": rows,
            "feedback": content,
            "served": [dataclasses.asdict(row) for row in served_rows],
        }
        return JSONResponse({"user": user, "settings": settings.to_row()} | everything)
    profiles = model_profiles(LiveFeedback.from_row(row.content) for row in said)
    properties = property_profiles(state.service.live.weights(user))
    answer = {
        "user": user,
        "basis": "history" if said or state.service.is_known(user) else "cold_start",
        "pin": settings.pin,
        "ban": list(settings.ban),
        "weights": dict(settings.weights),
        "decisions": len(decisions),
        "feedback": len(said),
        "models": profiles,
        "properties": properties,
        "summary": summarise(profiles, properties, settings),
    }
    return JSONResponse(answer)


@router.put("/v1/users/{user_id:path}", response_model=answers.UserAnswer, responses=_ERRORS)
async def put_user(request: Request, user_id: _UserId, body: UserRequest, state: Shared) -> Response:
    """Pins or bans models for a user, sets weights, or forgets its feedback; answers as GET does."""
    user = _user(request, state, None if user_id == "me" else user_id)
    await _durable(state.service.set(user, body))
    state.log.write("user_set", fields=sorted(body.model_fields_set))
    return await get_user(request, user_id, state)


@router.delete("/v1/users/{user_id:path}", response_model=answers.DeletedAnswer, responses=_ERRORS)
async def delete_user(request: Request, user_id: _UserId, state: Shared) -> Response:
    """Removes everything that is stored of a user."""
    user = _user(request, state, None if user_id == "me" else user_id)
    deleted = await _durable(state.service.delete(user))
    state.log.write("user_deleted", rows=sum(deleted.values()))
    return JSONResponse({"user": user, "deleted": deleted, "in_trained_router": state.service.is_known(user)})


@router.get("/healthz", include_in_schema=False)
async def healthz() -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", include_in_schema=False)
async def readyz(state: Shared) -> Response:
    """Requests are welcome: the router is loaded and the last transaction was written."""
    if not state.service.healthy:
        raise ApiError(503, "expected a ready service, found one that cannot write", None, "not_ready")
    return JSONResponse({"status": "ready"})


@router.get("/metrics", include_in_schema=False)
async def metrics(state: Shared) -> Response:
    """Metrics for Prometheus."""
    return Response(state.metrics.page(), media_type=CONTENT_TYPE_LATEST)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """A page on this interface."""
    return HTMLResponse(api_page(request.app.openapi()))


@router.get("/ui", include_in_schema=False)
async def ui() -> Response:
    """A page for people: ranks models for a user and a prompt, takes thumbs, pins and bans."""
    return _file("ui.html")


@router.get("/ui/{name}", include_in_schema=False)
async def ui_file(name: str) -> Response:
    """A file of this page."""
    return _file(name)


def _file(name: str) -> Response:
    found = people_page(name)
    if found is None:
        raise ApiError(404, "path: expected one that /docs lists, found another")
    return Response(found[0], media_type=found[1], headers=HEADERS)


def _user(request: Request, state: State, named: str | None) -> str:
    return state.settings.identity.user(request.scope["caller"], request.headers, named)


async def _in_thread(state: State, function: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(state.threads, function, *arguments)


async def _durable(future: Future) -> Any:
    """The result of an operation on the state.

    Raises:
      ApiError: 503 if it could not be written.
    """
    try:
        return await asyncio.wrap_future(future)
    except ApiError:
        raise
    except Exception as error:
        message = f"expected to write the state, found {type(error).__name__}; try again"
        raise ApiError(503, message, None, "not_written") from error
