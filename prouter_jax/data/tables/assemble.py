"""From loaded tables to `Interactions`, from nothing or on top of what is known already.

New rows follow the known ones, so that row numbers of the known stay what they are; complaints count the
rows of the file.
"""

import dataclasses

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.interactions import Interactions, Llms, Outcomes, Queries, Tasks, Users
from prouter_jax.data.tables import feedback as forms
from prouter_jax.data.tables.columns import Known, Table
from prouter_jax.data.tables.schema import OUTCOME_NUMBERS
from prouter_jax.data.validation import check_ranges


def nothing() -> Interactions:
    """What is known at first."""
    none, rows, numbers = interactions.strings([]), np.zeros(0, np.int32), np.zeros(0)
    return Interactions(
        users=Users(none, numbers),
        tasks=Tasks(none, none),
        queries=Queries(none, none, rows),
        llms=Llms(none, none, none, numbers, numbers, none),
        outcomes=no_outcomes(),
        offers=np.zeros((0, 0), bool),
        decisions=interactions.no_decisions(),
        feedback=interactions.no_feedback(),
    )


def no_outcomes() -> Outcomes:
    """An empty table."""
    rows, numbers = np.zeros(0, np.int32), np.zeros(0)
    return Outcomes(rows, rows, numbers, numbers, numbers, numbers)


def assemble(tables: dict[str, Table], base: Interactions | None = None) -> Interactions:
    """The users, tasks, queries and LLMs of `base` and those of `tables`, with what `tables` say happened to them.

    Args:
      tables: by their name in `folder.SCHEMAS`. Their ids may refer to each other and to `base`; users, tasks and
        queries that they list are new; an LLM that `base` knows takes over what its row says.
      base: what is known already (default: nothing); vectors do not come along.

    Returns:
      Outcomes, offers, decisions and feedback of `tables` alone; not yet validated as a whole.

    Raises:
      ValueError: naming table (file), column and row, what was expected and what was found.
    """
    base = nothing() if base is None else base
    users, tasks, llms = _read_users(tables, base.users), _read_tasks(tables, base), _read_llms(tables, base.llms)
    queries = _read_queries(tables, tasks, base.queries)
    known = {
        "user_id": Known(users.ids, "a user_id"),
        "query_id": Known(queries.ids, _expected("a query_id", tables.get("queries"), len(base.queries.ids))),
        "llm": Known(llms.ids, _expected("an llm", tables.get("llms"), len(base.llms.ids))),
        "decision_id": Known(base.decisions.ids, "a new decision_id"),
    }
    record = _read_feedback(tables, known)
    outcomes = _read_outcomes(tables, known)
    return Interactions(users, tasks, queries, llms, outcomes, record.offers, record.decisions, record.feedback)


def _expected(what: str, table: Table | None, num_known: int) -> str:
    places = ([f"of {table.name}"] if table else []) + (["known before"] if num_known else [])
    return f"{what} {' or '.join(places)}"


def _new_keys(table: Table, column: str, known: np.ndarray) -> np.ndarray:
    """The ids of a key column, none of which is known."""
    ids, taken = table.strings(column), set(known)
    for row, id_ in enumerate(ids):
        if id_ in taken:
            raise table.error(column, row, "a new id", id_)
    return ids


def _read_users(tables: dict[str, Table], base: Users) -> Users:
    """The known ones, those of the table in its order, then those that only feedback names."""
    listed = Users(interactions.strings([]), np.zeros(0))
    if "users" in tables:
        listed = Users(_new_keys(tables["users"], "user_id", base.ids), tables["users"].floats("preference"))
        check_ranges("users", listed, tables["users"].name)
    named = [table.texts["user_id"] for name, table in tables.items() if name != "users" and "user_id" in table.texts]
    others = {user for texts in named for user in texts.values.to_pylist()} - set(base.ids) - set(listed.ids)
    unlisted = Users(interactions.strings(sorted(others)), np.full(len(others), np.nan))
    return interactions.concatenate([base, listed, unlisted])


def _read_tasks(tables: dict[str, Table], base: Interactions) -> Tasks:
    """Without anything known and without a table, queries may name the tasks."""
    ids = descriptions = interactions.strings([])
    if "tasks" in tables:
        ids = _new_keys(tables["tasks"], "task_id", base.tasks.ids)
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
        expected = f"a task_id of the tasks table{' or known before' if len(base.ids) else ''}, or none"
        task = table.rows("task_id", Known(tasks.ids, expected))
    listed = Queries(_new_keys(table, "query_id", base.ids), table.strings("query"), task)
    return interactions.concatenate([base, listed])


def _read_llms(tables: dict[str, Table], base: Llms) -> Llms:
    """The known ones, with what the table has to say about them, then the new ones."""
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
    place = {llm: row for row, llm in enumerate(base.ids)}
    known = np.array([place.get(llm, -1) for llm in listed.ids], np.int32)
    return interactions.concatenate([_updated(base, listed, known), interactions.take(listed, known < 0)])


def _updated(base: Llms, listed: Llms, known: np.ndarray) -> Llms:
    """`base` with the cells of `listed` that hold something; `known` [listed] is a row of base, or -1."""
    updated = {}
    for name, values in vars(base).items():
        new = getattr(listed, name)
        given = (known >= 0) & (~np.isnan(new) if new.dtype.kind == "f" else new != "")
        updated[name] = values.copy()
        updated[name][known[given]] = new[given]
    return Llms(**updated)


def _read_outcomes(tables: dict[str, Table], known: dict[str, Known]) -> Outcomes:
    if "outcomes" not in tables:
        return no_outcomes()
    table = tables["outcomes"]
    query, llm = (table.rows(column, known[column]) for column in ("query_id", "llm"))
    response = table.strings("response") if "response" in table.texts else None
    return Outcomes(query, llm, **{column: table.floats(column) for column in OUTCOME_NUMBERS}, response=response)


_FORMS = (("choices", forms.choices), ("votes", forms.votes), ("ratings", forms.ratings), ("thumbs", forms.thumbs))


def _read_feedback(tables: dict[str, Table], known: dict[str, Known]) -> forms.Record:
    """All forms that are there; the long form comes first, so that its rows keep their numbers in complaints."""
    records = []
    if "decisions" in tables:
        ids = np.append(
            known["decision_id"].ids, _new_keys(tables["decisions"], "decision_id", known["decision_id"].ids)
        )
        records.append(forms.long_form(tables["decisions"], tables.get("feedback"), tables.get("offers"), known))
        known = known | {"decision_id": dataclasses.replace(known["decision_id"], ids=ids)}
    for name, read in _FORMS:
        if name in tables:
            records.append(read(tables[name], known))
    return forms.join(records, len(known["llm"].ids))
