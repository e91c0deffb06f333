"""Stores the measured result tables of the protocol as JSON files, WORKDIR/tables/NAME.json.

The Markdown and HTML pages are generated from these files. In the files the groups of a table are under "cells" and
the results of its requirements under "verdicts", names that must stay readable for stored tables.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping

from prouter_jax.evaluation.protocol.definition import CLAIMS, MAIN
from prouter_jax.evaluation.protocol.table import Group, RequirementResult, Row, Table
from prouter_jax.io import files
from prouter_jax.metrics import Interval
from prouter_jax.report.types import PairedDifference, SeedStatistics

_FOLDER = "tables"
_KEYS = {"groups": "cells", "requirements": "verdicts"}  # names in the file


def to_json(table: Table) -> str:
    """Strict JSON: every value exact, NaN as null."""
    tree = dataclasses.asdict(table)
    for group in tree["groups"]:
        for row in group["rows"].values():
            row["share"] = row["share"]._asdict()  # a NamedTuple, which `asdict` leaves as it is
    tree = {_KEYS.get(name, name): value for name, value in tree.items()}
    return json.dumps(files.jsonable(tree), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str) -> Table:
    """The inverse of `to_json`.

    Raises:
      ValueError, KeyError, TypeError, AttributeError: if the text was not written by `to_json`.
    """
    tree = json.loads(text)
    groups = [_group(one) for one in tree.pop("cells")]
    results = [RequirementResult(**_null_to_nan(one, "margin")) for one in tree.pop("verdicts")]
    return Table(**tree, groups=groups, requirements=results)


def table_path(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """The JSON file of a table."""
    return workdir / _FOLDER / f"{name}.json"


def read_tables(workdir: pathlib.Path) -> list[Table]:
    """All tables measured so far: first the paper's claims, then the main tables by name, then the ablations by name.

    Raises:
      ValueError: naming the file that is not a result table.
    """
    found = []
    for path in (workdir / _FOLDER).glob("*.json"):
        try:
            found.append(from_json(path.read_text()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"{path}: expected a result table, found something else; delete it and measure the table again"
            ) from None
    return sorted(found, key=lambda table: (table.kind != MAIN, table.name != CLAIMS, table.name))


def _group(tree: Mapping) -> Group:
    rows = {name: _row(one) for name, one in tree["rows"].items()}
    return Group(
        **{**tree, "rows": rows, "blind": _seed_statistics(tree["blind"]), "full": _seed_statistics(tree["full"])}
    )


def _row(tree: Mapping) -> Row:
    gains = {name: PairedDifference(**_null_to_nan(one, "mean", "low", "high")) for name, one in tree["gains"].items()}
    values = {name: _seed_statistics(one) for name, one in tree["metrics"].items()}
    return Row(values, gains, Interval(**_null_to_nan(tree["share"], "mean", "low", "high")), tree["settings"])


def _seed_statistics(tree: Mapping) -> SeedStatistics:
    values = [math.nan if value is None else value for value in tree["values"]]
    tree = _null_to_nan(tree, "mean", "spread")
    return SeedStatistics(tree["mean"], tree["spread"], values)


def _null_to_nan(tree: Mapping, *numbers: str) -> dict:
    """The tree with null replaced by NaN in the fields `numbers`."""
    return {**tree, **{name: math.nan for name in numbers if tree[name] is None}}
