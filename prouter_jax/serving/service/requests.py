"""The bodies of requests, with their limits; strict: a number in quotes is no number, an unknown field is an error."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from prouter_jax.data.validation import MOST_RATING, MOST_TOKENS, MOST_USD

LONGEST_ID = 256  # characters
LONGEST_TEXT = 1_000_000  # characters, as in training
_MOST_MODELS = 1000
_MOST_MESSAGES = 10_000


def check_id(text: str) -> str:
    """Returns an id of a user, a session, a model or a request.

    Raises:
      ValueError: if it is empty, too long or not printable.
    """
    if not 0 < len(text) <= LONGEST_ID:
        raise ValueError(f"expected an id of 1 to {LONGEST_ID} characters, found {len(text)}")
    if not text.isprintable():
        raise ValueError("expected an id of printable characters, found others")
    return text


def _check_text(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a text, found none")
    return text


Id = Annotated[str, AfterValidator(check_id)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT), AfterValidator(_check_text)]
Models = Annotated[list[Id], Field(min_length=1, max_length=_MOST_MODELS)]
Messages = Annotated[list[dict[str, Any]], Field(min_length=1, max_length=_MOST_MESSAGES)]
Number = Annotated[float, Field(allow_inf_nan=False)]


_HIGHEST_FACTOR = 1e6
Factor = Annotated[Number, Field(ge=0, le=_HIGHEST_FACTOR)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RouteRequest(_Body):
    """A request for a ranking of models."""

    user: Id | None = Field(None, description="The user, if the caller may name one and no header does.")
    query: Text | None = Field(None, description="The text to route on.")
    messages: Messages | None = Field(None, description="In place of query: a conversation as in OpenAI's API.")
    task_id: Id | None = Field(None, description="A task of the training data.")
    candidates: Models | None = Field(None, description="The models on offer; all by default.")
    max_cost: Annotated[Number, Field(gt=0)] | None = Field(None, description="Highest expected cost in USD.")
    max_latency: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="Highest latency in seconds: the median of those that /v1/served noted of a model lately."
    )
    prices: Annotated[dict[Id, Factor], Field(max_length=_MOST_MODELS)] | None = Field(
        None, description="Factors on the costs of models, to see what other prices would change."
    )
    session: Id | None = Field(None, description="A conversation, which keeps its model.")
    switch_gain: Annotated[Number, Field(ge=0, le=1)] | None = Field(
        None, description="Gain in probability from which on a session changes its model."
    )
    cached_tokens: Annotated[Number, Field(ge=0, le=MOST_TOKENS)] = Field(
        0, description="Tokens that the session's model has cached: the others are expected to cost their reading more."
    )

    @model_validator(mode="after")
    def _one_text(self) -> "RouteRequest":
        if (self.query is None) == (self.messages is None):
            raise ValueError("expected query or messages, found " + ("neither" if self.query is None else "both"))
        return self


class Vote(_Body):
    """Two answers side by side, and the better one."""

    model_a: Id
    model_b: Id
    winner: Literal["a", "b", "tie"]

    @model_validator(mode="after")
    def _different(self) -> "Vote":
        if self.model_a == self.model_b:
            raise ValueError("expected two different models, found one")
        return self


class FeedbackRequest(_Body):
    """What a user thinks of an answer; exactly one of thumb, rating, choice and vote."""

    id: Id | None = Field(None, description="The caller's id: the same one twice counts once.")
    decision_id: Id | None = Field(None, description="The decision of /v1/route that this is about.")
    user: Id | None = Field(None, description="The user, if the caller may name one and no header does.")
    query: Text | None = Field(None, description="Without decision_id: the text that was asked.")
    messages: Messages | None = Field(None, description="Without decision_id, in place of query.")
    task_id: Id | None = None
    model: Id | None = Field(None, description="The model of a thumb or rating; the pick of the decision by default.")
    candidates: Models | None = Field(None, description="The models on offer; those of the decision by default.")
    first: Id | None = Field(None, description="The model whose answer was shown first.")
    thumb: Literal["up", "down"] | None = None
    rating: Annotated[Number, Field(ge=-MOST_RATING, le=MOST_RATING)] | None = None
    choice: Id | None = Field(None, description="The model that the user chose among the candidates.")
    vote: Vote | None = None

    @property
    def kind(self) -> str:
        """Which of the four kinds of feedback this is."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @model_validator(mode="after")
    def _consistent(self) -> "FeedbackRequest":
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {', '.join(_KINDS)}, found {' and '.join(given) or 'none'}")
        if self.query is not None and self.messages is not None:
            raise ValueError("expected query or messages, found both")
        if self.decision_id is None and self.query is None and self.messages is None:
            raise ValueError("expected a decision_id, a query or messages, found none")
        if self.decision_id is not None and not (self.query is None and self.messages is None and self.task_id is None):
            raise ValueError("expected a decision_id or a query, found both")
        if self.decision_id is None and self.model is None and given[0] in ("thumb", "rating"):
            raise ValueError("expected a model beside a thumb or rating without decision_id, found none")
        if self.model is not None and given[0] in ("choice", "vote"):
            raise ValueError(f"expected no model beside a {given[0]}, found one")
        return self


_KINDS = ("thumb", "rating", "choice", "vote")


# no more than the tables that are exported may hold
Tokens = Annotated[Number, Field(ge=0, le=MOST_TOKENS)]
Cost = Annotated[Number, Field(ge=0, le=MOST_USD)]
Seconds = Annotated[Number, Field(ge=0, le=10**9)]


class ServedRequest(_Body):
    """What a gateway served after a decision."""

    decision_id: Id
    user: Id | None = Field(None, description="The user, if the caller may name one and no header does.")
    model: Id = Field(description="The model that answered; a fallback may be another one than the pick.")
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cost: Cost | None = Field(None, description="In USD.")
    latency: Seconds | None = Field(None, description="In seconds.")


_LARGEST_WEIGHT = 1000.0
Weight = Annotated[Number, Field(ge=-_LARGEST_WEIGHT, le=_LARGEST_WEIGHT)]


class UserRequest(_Body):
    """What a user sets; a field that is left out stays as it was, null takes it back."""

    pin: Id | None = Field(None, description="The model that is always picked where it is on offer.")
    ban: Annotated[list[Id], Field(max_length=_MOST_MODELS)] | None = Field(
        None, description="Models that are never picked."
    )
    weights: dict[Id, Weight] | None = Field(
        None, description="Weights on properties of answers in place of the learnt ones; these names alone."
    )
    reset: bool = Field(False, description="Forgets all feedback and decisions; what is set stays.")
