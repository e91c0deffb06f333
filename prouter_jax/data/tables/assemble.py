"""Builds `Interactions` from loaded tables, optionally on top of existing data.

The rows of the tables follow the rows of the existing data, so that existing row numbers stay valid. Error messages
count the rows of the file.
"""

import dataclasses

import numpy as np
from jaxtyping import Int32, Shaped

from prouter_jax.data import interactions
from prouter_jax.data.interactions import Interactions, Llms, Outcomes, Queries, Tasks, Users
from prouter_jax.data.tables import feedback
from prouter_jax.data.tables.feedback import DecisionTables
from prouter_jax.data.tables.schema import OUTCOME_NUMBERS
from prouter_jax.data.tables.table import Allowed, AllowedIds, Table
from prouter_jax.data.thoughts import strip_all
from prouter_jax.data.validation import check_ranges
from prouter_jax.io.display import log_line


def assemble(tables: dict[str, Table], base: Interactions | None = None) -> Interactions:
    """Combines the entities of existing data and of tables with the outcomes and feedback of the tables.

    Args:
      tables: by their name in `schema.SCHEMAS`. Their ids may refer to each other and to `base`. The users, tasks and
        queries that they list must be new. A row of llms about an LLM of `base` updates that LLM.
      base: existing data, without its vectors; default: none.

    Returns:
      Users, tasks, queries and LLMs of both; outcomes, offers, decisions and feedback of `tables` only. The result is
      not yet validated.

    Raises:
      ValueError: naming table (file), column and row, what was expected and what was found.
    """
    base = _empty_interactions() if base is None else base
    users, tasks, llms = _read_users(tables, base.users), _read_tasks(tables, base), _read_llms(tables, base.llms)
    queries = _read_queries(tables, tasks, base.queries)
    allowed = {
        "user_id": AllowedIds(users.ids, "a user_id"),
        "query_id": AllowedIds(queries.ids, _expected("a query_id", tables.get("queries"), len(base.queries.ids))),
        "llm": AllowedIds(llms.ids, _expected("an llm", tables.get("llms"), len(base.llms.ids))),
        "decision_id": AllowedIds(base.decisions.ids, "a new decision_id"),
    }
    record = _read_feedback(tables, allowed)
    outcomes = _read_outcomes(tables, allowed)
    return Interactions(users, tasks, queries, llms, outcomes, record.offers, record.decisions, record.feedback)


def _empty_interactions() -> Interactions:
    none, rows, numbers = interactions.strings([]), np.zeros(0, np.int32), np.zeros(0)
    return Interactions(
        users=Users(none, numbers),
        tasks=Tasks(none, none),
        queries=Queries(none, none, rows),
        llms=Llms(none, none, none, numbers, numbers, none),
        outcomes=_no_outcomes(),
        offers=np.zeros((0, 0), bool),
        decisions=interactions.no_decisions(),
        feedback=interactions.no_feedback(),
    )


def _no_outcomes() -> Outcomes:
    rows, numbers = np.zeros(0, np.int32), np.zeros(0)
    return Outcomes(rows, rows, numbers, numbers, numbers, numbers)


def _expected(noun: str, table: Table | None, num_base: int) -> str:
    """Describes the allowed ids for an error message, such as "an llm of llms.csv or of the router"."""
    sources = ([f"of {table.name}"] if table else []) + (["of the router"] if num_base else [])
    return f"{noun} {' or '.join(sources)}"


def _new_ids(table: Table, column: str, existing: Shaped[np.ndarray, " existing"]) -> Shaped[np.ndarray, " rows"]:
    """The ids of a key column; an error if one of them exists already."""
    ids, taken = table.strings(column), set(existing)
    for row, id_ in enumerate(ids):
        if id_ in taken:
            raise table.error(column, row, "a new id", id_)
    return ids


def _read_users(tables: dict[str, Table], base: Users) -> Users:
    """The users of `base`, those of the table in its order, then users that only feedback names, sorted."""
    listed = Users(interactions.strings([]), np.zeros(0))
    if "users" in tables:
        listed = Users(_new_ids(tables["users"], "user_id", base.ids), tables["users"].floats("preference"))
        check_ranges("users", listed, tables["users"].name)
    named = [table.texts["user_id"] for name, table in tables.items() if name != "users" and "user_id" in table.texts]
    others = {user for texts in named for user in texts.values.to_pylist()} - set(base.ids) - set(listed.ids)
    unlisted = Users(interactions.strings(sorted(others)), np.full(len(others), np.nan))
    return interactions.concatenate([base, listed, unlisted])


def _read_tasks(tables: dict[str, Table], base: Interactions) -> Tasks:
    """The tasks of `base` and of the table. With neither, the task ids that queries name."""
    ids = descriptions = interactions.strings([])
    if "tasks" in tables:
        ids = _new_ids(tables["tasks"], "task_id", base.tasks.ids)
        descriptions = tables["tasks"].strings("description")
    elif not len(base.queries.ids):
        ids = descriptions = interactions.strings(sorted(set(tables["queries"].strings("task_id")) - {""}))
    return Tasks(np.append(base.tasks.ids, ids), np.append(base.tasks.descriptions, descriptions))


def _read_queries(tables: dict[str, Table], tasks: Tasks, base: Queries) -> Queries:
    if "queries" not in tables:
        return dataclasses.replace(base, vectors=None)
    table = tables["queries"]
    task = np.full(table.num_rows, -1, np.int32)
    if "task_id" in table.texts:
        expected = f"a task_id of the tasks table{' or of the router' if len(base.ids) else ''}, or none"
        task = table.find_ids("task_id", AllowedIds(tasks.ids, expected))
    listed = Queries(_new_ids(table, "query_id", base.ids), table.strings("query"), task)
    return interactions.concatenate([base, listed])


def _read_llms(tables: dict[str, Table], base: Llms) -> Llms:
    """The LLMs of `base`, updated by the table, then the new ones."""
    if "llms" not in tables:
        return base
    table = tables["llms"]
    listed = Llms(
        ids=table.strings("llm"),
        families=table.strings("family"),
        descriptions=table.strings("description"),
        input_price=table.floats("input_price"),
        output_price=table.floats("output_price"),
        pools=table.strings("pool"),
    )
    check_ranges("llms", listed, table.name)
    base_rows = {llm: row for row, llm in enumerate(base.ids)}
    base_row = np.array([base_rows.get(llm, -1) for llm in listed.ids], np.int32)
    return interactions.concatenate([_update(base, listed, base_row), interactions.take(listed, base_row < 0)])


def _update(base: Llms, listed: Llms, base_row: Int32[np.ndarray, " listed"]) -> Llms:
    """`base` with the cells of `listed` that are not missing; `base_row` is the row of each LLM in `base`, or -1."""
    updated = {}
    for name, values in vars(base).items():
        new = getattr(listed, name)
        given = (base_row >= 0) & (~np.isnan(new) if new.dtype.kind == "f" else new != "")
        updated[name] = values.copy()
        updated[name][base_row[given]] = new[given]
    return Llms(**updated)


def _read_outcomes(tables: dict[str, Table], allowed: Allowed) -> Outcomes:
    if "outcomes" not in tables:
        return _no_outcomes()
    table = tables["outcomes"]
    query, llm = (table.find_ids(column, allowed[column]) for column in ("query_id", "llm"))
    response = _read_answers(table) if "response" in table.texts else None
    return Outcomes(query, llm, **{column: table.floats(column) for column in OUTCOME_NUMBERS}, response=response)


def _read_answers(table: Table) -> Shaped[np.ndarray, " rows"]:
    """The answers without what the models thought aloud."""
    answers, thoughts = strip_all(table.strings("response"))
    if thoughts:
        log_line(f"table {table.name}: {thoughts:,} answers are read without what the model thought aloud")
    return answers


def _read_feedback(tables: dict[str, Table], allowed: Allowed) -> DecisionTables:
    """The decisions of all tables. The table decisions comes first, so that error messages count its rows from 0."""
    records = []
    if "decisions" in tables:
        decisions, taken = tables["decisions"], allowed["decision_id"]
        ids = np.append(taken.ids, _new_ids(decisions, "decision_id", taken.ids))
        records.append(feedback.read_decisions(decisions, tables.get("feedback"), tables.get("offers"), allowed))
        allowed = allowed | {"decision_id": dataclasses.replace(taken, ids=ids)}
    for name, read in feedback.SHORT_FORMS.items():
        if name in tables:
            records.append(read(tables[name], allowed))
    return feedback.concatenate(records, len(allowed["llm"].ids))
