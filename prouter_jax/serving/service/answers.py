"""The bodies of answers, for the OpenAPI page."""

from typing import Literal

from pydantic import BaseModel, Field


class ErrorDetails(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """The body of every error, as OpenAI's API has it."""

    error: ErrorDetails


class RankedModel(BaseModel):
    """A model for a request."""

    model: str
    probability: float = Field(description="That the user likes its answer best among these models.")
    expected_cost: float | None = Field(description="Of the answer, in USD.")


class RouteAnswer(BaseModel):
    """The models for a request: the first is the pick, the others are fallbacks in their order."""

    decision_id: str
    model: str
    models: list[RankedModel]
    basis: Literal["history", "cold_start"]
    reason: Literal["best", "explored", "held", "session", "tool_loop", "pinned"]
    propensity: float = Field(description="Probability with which the pick was picked.")


class FeedbackAnswer(BaseModel):
    """Feedback that is durable."""

    id: str
    duplicate: bool = Field(description="Whether this id was there before; it counts once.")


class ServedAnswer(BaseModel):
    """What was served is noted."""

    decision_id: str


class ModelEntry(BaseModel):
    """A model that can be picked."""

    id: str
    object: Literal["model"] = "model"


class ModelsAnswer(BaseModel):
    """The models that can be picked, as OpenAI's API lists them."""

    object: Literal["list"] = "list"
    data: list[ModelEntry]


class ModelProfile(BaseModel):
    """What a user said of a model."""

    model: str
    liked: float = Field(description="Choices, votes won (half of a tie) and thumbs up.")
    judged: int = Field(description="Choices and votes with the model on offer, and thumbs.")
    share: float | None = Field(description="liked / judged.")
    low: float | None = Field(description="Lower end of the 95 % interval of the share (Wilson).")
    high: float | None = Field(description="Its upper end.")
    ratings: int
    mean_rating: float | None


class PropertyProfile(BaseModel):
    """How a user weighs a property of answers, as the router learnt it."""

    name: str
    weight: float
    new_user_weight: float


class UserAnswer(BaseModel):
    """A user: settings, and what it said, in words and numbers."""

    user: str
    basis: Literal["history", "cold_start"]
    pin: str | None
    ban: list[str]
    weights: dict[str, float] = Field(description="Those that the user set, by the name of the property.")
    decisions: int
    feedback: int
    models: list[ModelProfile]
    properties: list[PropertyProfile] = Field(description="Those that the user weighs most unlike a new user.")
    summary: list[str]


class DeletedAnswer(BaseModel):
    """What was removed of a user."""

    user: str
    deleted: dict[str, int] = Field(description="Rows of each table.")
    in_trained_router: bool = Field(
        description="Whether the trained router still has the user's history; training without it removes that."
    )
