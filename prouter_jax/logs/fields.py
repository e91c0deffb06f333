"""What a row of a log may hold, and the names that gateways give it."""

import math

FIELDS = {
    "user": ("user", "user_id", "end_user", "customer"),
    "query": ("prompt", "query", "question", "input"),
    "messages": ("messages",),
    "task": ("task", "task_id"),
    "served": ("served", "model", "llm", "model_name"),
    "candidates": ("candidates", "on_offer", "models"),
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cost": ("cost", "cost_usd", "response_cost", "spend"),
    "latency": ("latency", "latency_s"),
    "thumb": ("thumb", "thumbs", "feedback", "liked"),
    "rating": ("rating", "score", "stars"),
    "time": ("time", "timestamp", "created_at", "created"),
    "propensity": ("propensity", "probability"),
}
AMOUNTS = ("input_tokens", "output_tokens", "cost", "latency")


def parse_columns(named: str) -> dict[str, tuple[str, ...]]:
    """The columns that may hold each field: those named, else the usual ones, of which the first with a cell counts.

    Args:
      named: such as "user=customer_id,served=deployment".

    Raises:
      ValueError: on anything but FIELD=COLUMN of the fields above, each once.
    """
    found = {}
    for part in filter(None, named.split(",")):
        field, sign, column = part.partition("=")
        if field not in FIELDS or not sign or not column or field in found:
            raise ValueError(f"columns: expected FIELD=COLUMN, each of {', '.join(FIELDS)} once, found {part!r}")
        found[field] = (column,)
    return FIELDS | found


def parse_range(text: str) -> tuple[float, float]:
    """The lowest and highest rating of "LOW:HIGH".

    Raises:
      ValueError: on anything else.
    """
    low, _, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (0.0, 0.0)
    if not found[0] < found[1] or not all(map(math.isfinite, found)):
        raise ValueError(f"rating_range: expected LOW:HIGH, two numbers that rise, found {text!r}")
    return found
