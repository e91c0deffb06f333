"""Errors of the service, in the shape that OpenAI's API gives them: {"error": {message, type, param, code}}."""

from collections.abc import Mapping

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable",
}
"""The type of an error by its HTTP status."""


class ApiError(Exception):
    """An error that a client gets.

    Attributes:
      status: HTTP status.
      message: one line: what was expected, what was found.
      param: the field of the request that is wrong; None for none.
      code: a short name of the error for programs; None for none.
      headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.param, self.code, self.headers = status, param, code, dict(headers or {})
        self.message = " ".join(message.split())

    def body(self) -> dict:
        """The body of the answer."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def describe(errors: list[dict]) -> ApiError:
    """The error of a request that does not fit its schema, from the first of pydantic's errors."""
    first = errors[0]
    place = [str(part) for part in first["loc"][1:]]  # after "body", "query" or "path"
    param = ".".join(place) or None
    if first["type"] == "value_error" and not place:  # of fields that do not go together
        return ApiError(400, f"body: {_plain(first['msg'])}", None, "invalid_value")
    if first["type"] == "json_invalid" or not place:
        return ApiError(400, "body: expected a JSON object, found something else", None, "invalid_json")
    reason = "unknown field" if first["type"] == "extra_forbidden" else _plain(first["msg"])
    return ApiError(400, f"{param}: {reason}", param, first["type"])


def _plain(message: str) -> str:
    """Pydantic's message without what the client sent."""
    return message.removeprefix("Value error, ").replace("Input should be", "expected")
