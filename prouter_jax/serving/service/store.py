"""The tables of the service and the statements on them, which are the same in SQLite and PostgreSQL.

    decisions   what /v1/route answered, with the features of its text (the text only if it is asked for)
    feedback    what users said, numbered in the order in which it counts
    served      what a gateway served after decisions: model, tokens, cost, latency
    users       what users set: pin and ban
    events      who was deleted or has other settings, for a minute: services that share the tables read it

All functions run within a transaction of `writer.Writer`.
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from prouter_jax.serving.service.writer import Connection

TABLES = ("decisions", "feedback", "served", "users")
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS decisions (
        decision_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, time DOUBLE PRECISION NOT NULL, session TEXT,
        query TEXT, query_id TEXT, features {blob}, task_id TEXT, candidates TEXT NOT NULL, llm TEXT NOT NULL,
        propensity DOUBLE PRECISION NOT NULL, probability DOUBLE PRECISION NOT NULL, basis TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS decisions_by_user ON decisions (user_id, session, time)",
    """CREATE TABLE IF NOT EXISTS feedback (
        number {serial}, user_id TEXT NOT NULL, id TEXT NOT NULL, request_sha256 TEXT NOT NULL, decision_id TEXT,
        time DOUBLE PRECISION NOT NULL, content TEXT NOT NULL, UNIQUE (user_id, id))""",
    """CREATE TABLE IF NOT EXISTS served (
        decision_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, llm TEXT NOT NULL, input_tokens DOUBLE PRECISION,
        output_tokens DOUBLE PRECISION, cost DOUBLE PRECISION, latency DOUBLE PRECISION)""",
    """CREATE TABLE IF NOT EXISTS events (
        number {serial}, user_id TEXT NOT NULL, time DOUBLE PRECISION NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS users (user_id TEXT PRIMARY KEY, settings TEXT NOT NULL)",
)
"""Statements that make the tables; {blob} and {serial} are the database's types."""


@dataclasses.dataclass(frozen=True)
class StoredDecision:
    """A decision of the service.

    Attributes:
      decision_id, user_id, session, task_id: ids; None for none.
      time: seconds since 1970.
      query: the text, None where texts are not stored.
      query_id, features: its `live_query.PreparedQuery.columns`, where texts are not stored.
      candidates: the models that were on offer.
      llm: the pick.
      propensity: probability with which it was picked.
      probability: probability that the user likes it best, by the router.
      basis: "history" or "cold_start".
    """

    decision_id: str
    user_id: str
    time: float
    session: str | None
    query: str | None
    query_id: str | None
    features: bytes | None
    task_id: str | None
    candidates: tuple[str, ...]
    llm: str
    propensity: float
    probability: float
    basis: str


@dataclasses.dataclass(frozen=True)
class StoredFeedback:
    """Feedback as it was received.

    Attributes:
      number: rises in the order in which it counts; 0 before it is stored.
      user_id, id: together unique.
      request_sha256: of the request, to tell a repeated one from another under the same id.
      decision_id: the decision that it is about; None for none.
      time: seconds since 1970.
      content: the feedback, as `LiveFeedback.to_row` gives it.
    """

    number: int
    user_id: str
    id: str
    request_sha256: str
    decision_id: str | None
    time: float
    content: dict


@dataclasses.dataclass(frozen=True)
class StoredServed:
    """What was served after a decision; amounts are None where they are unknown, cost in USD, latency in seconds."""

    decision_id: str
    user_id: str
    llm: str
    input_tokens: float | None
    output_tokens: float | None
    cost: float | None
    latency: float | None


_SERVED = [field.name for field in dataclasses.fields(StoredServed)]
_DECISION = [field.name for field in dataclasses.fields(StoredDecision)]
_FEEDBACK = [field.name for field in dataclasses.fields(StoredFeedback)]


def add_decision(database: Connection, decision: StoredDecision) -> None:
    """Adds a decision."""
    values = dataclasses.asdict(decision) | {"candidates": json.dumps(decision.candidates)}
    _insert(database, "decisions", values)


def add_feedback(database: Connection, feedback: StoredFeedback) -> int:
    """Adds feedback, and returns the number that it gets: the next one."""
    values = {**dataclasses.asdict(feedback), "content": json.dumps(feedback.content)}
    del values["number"]
    return _insert(database, "feedback", values, " RETURNING number").fetchone()[0]


def put_served(database: Connection, served: StoredServed) -> None:
    """Sets what was served after a decision, in place of what was told before."""
    database.execute("DELETE FROM served WHERE decision_id = ?", (served.decision_id,))
    _insert(database, "served", dataclasses.asdict(served))


def served_of(database: Connection, user_id: str | None = None) -> Iterator[StoredServed]:
    """What was served, to one user or to all."""
    where, parameters = _of_user(user_id)
    sql = f"SELECT {', '.join(_SERVED)} FROM served{where} ORDER BY decision_id"
    return (StoredServed(*row) for row in database.execute(sql, parameters))


def find_decision(database: Connection, decision_id: str) -> StoredDecision | None:
    """A decision by its id."""
    rows = database.execute(f"SELECT {', '.join(_DECISION)} FROM decisions WHERE decision_id = ?", (decision_id,))
    return next(map(_decision, rows), None)


def find_session(database: Connection, user_id: str, session: str) -> str | None:
    """The model of a user's session: the pick of its latest decision."""
    sql = "SELECT llm FROM decisions WHERE user_id = ? AND session = ? ORDER BY time DESC LIMIT 1"
    return next((llm for (llm,) in database.execute(sql, (user_id, session))), None)


def find_feedback(database: Connection, user_id: str, id_: str) -> StoredFeedback | None:
    """Feedback by its id."""
    sql = f"SELECT {', '.join(_FEEDBACK)} FROM feedback WHERE user_id = ? AND id = ?"
    return next(map(_feedback, database.execute(sql, (user_id, id_))), None)


def feedback_after(database: Connection, number: int, most: int | None = None) -> list[StoredFeedback]:
    """Feedback with larger numbers, in order; at most so many pieces."""
    limit = "" if most is None else f" LIMIT {most:d}"
    sql = f"SELECT {', '.join(_FEEDBACK)} FROM feedback WHERE number > ? ORDER BY number{limit}"
    return list(map(_feedback, database.execute(sql, (number,))))


def last_number(database: Connection) -> int:
    """Number of the latest feedback; 0 without any."""
    ((number,),) = database.execute("SELECT COALESCE(MAX(number), 0) FROM feedback")
    return int(number)


def last_time(database: Connection) -> float:
    """Time of the latest feedback; 0 without any."""
    ((time,),) = database.execute("SELECT COALESCE(MAX(time), 0) FROM feedback")
    return float(time)


def decisions_of(database: Connection, user_id: str | None = None) -> Iterator[StoredDecision]:
    """Decisions in order of time, of one user or of all."""
    where, parameters = _of_user(user_id)
    sql = f"SELECT {', '.join(_DECISION)} FROM decisions{where} ORDER BY time, decision_id"
    return map(_decision, database.execute(sql, parameters))


def feedback_of(database: Connection, user_id: str | None = None) -> Iterator[StoredFeedback]:
    """Feedback in order, of one user or of all."""
    where, parameters = _of_user(user_id)
    sql = f"SELECT {', '.join(_FEEDBACK)} FROM feedback{where} ORDER BY number"
    return map(_feedback, database.execute(sql, parameters))


def all_settings(database: Connection) -> dict[str, dict]:
    """The settings of each user who has some."""
    return {user: json.loads(text) for user, text in database.execute("SELECT user_id, settings FROM users")}


def write_settings(database: Connection, user_id: str, settings: dict) -> None:
    """Sets the settings of a user; empty ones are removed."""
    database.execute("DELETE FROM users WHERE user_id = ?", (user_id,))
    if settings:
        _insert(database, "users", {"user_id": user_id, "settings": json.dumps(settings)})


def delete_user(database: Connection, user_id: str, tables: tuple[str, ...] = TABLES) -> dict[str, int]:
    """Removes a user's rows; returns their number in each table."""
    return {table: database.execute(f"DELETE FROM {table} WHERE user_id = ?", (user_id,)).rowcount for table in tables}


def add_event(database: Connection, user_id: str, time: float) -> int:
    """Notes that a user was deleted or has other settings; returns the event's number."""
    return _insert(database, "events", {"user_id": user_id, "time": time}, " RETURNING number").fetchone()[0]


def events_after(database: Connection, number: int) -> list[tuple[int, str]]:
    """Number and user of each later event, in order."""
    sql = "SELECT number, user_id FROM events WHERE number > ? ORDER BY number"
    return [(number, user) for number, user in database.execute(sql, (number,))]


def last_event(database: Connection) -> int:
    """Number of the latest event that is kept; 0 without any."""
    ((number,),) = database.execute("SELECT COALESCE(MAX(number), 0) FROM events")
    return int(number)


def remove_events(database: Connection, before: float) -> None:
    """Removes events from before a time, in seconds since 1970."""
    database.execute("DELETE FROM events WHERE time < ?", (before,))


def find_settings(database: Connection, user_id: str) -> dict:
    """The settings of a user; empty without any."""
    rows = database.execute("SELECT settings FROM users WHERE user_id = ?", (user_id,))
    return next((json.loads(text) for (text,) in rows), {})


def _of_user(user_id: str | None) -> tuple[str, tuple]:
    return ("", ()) if user_id is None else (" WHERE user_id = ?", (user_id,))


def _insert(database: Connection, table: str, values: dict[str, Any], end: str = "") -> Any:
    places = ", ".join("?" * len(values))
    sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}){end}"
    return database.execute(sql, tuple(values.values()))


def _decision(row: tuple) -> StoredDecision:
    values = dict(zip(_DECISION, row, strict=True))
    features = None if values["features"] is None else bytes(values["features"])
    return StoredDecision(**values | {"candidates": tuple(json.loads(values["candidates"])), "features": features})


def _feedback(row: tuple) -> StoredFeedback:
    values = dict(zip(_FEEDBACK, row, strict=True))
    return StoredFeedback(**values | {"content": json.loads(values["content"])})
