"""Tables as files: WORKDIR/tables/NAME.json has every number; pages and documents are written from it."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping

from prouter_jax.evaluation.protocol.definition import MAIN
from prouter_jax.evaluation.protocol.table import Cell, Row, Table, Verdict
from prouter_jax.metrics import Interval
from prouter_jax.report.types import PairedDifference, SeedStatistics
from prouter_jax.report.write import jsonable


def to_json(table: Table) -> str:
    """Strict JSON: every value exact, NaN as null."""
    tree = dataclasses.asdict(table)
    for cell in tree["cells"]:
        for row in cell["rows"].values():
            row["share"] = row["share"]._asdict()
    return json.dumps(jsonable(tree), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str) -> Table:
    """The table of `to_json`.

    Raises:
      ValueError, KeyError, TypeError, AttributeError: if the text is not of `to_json`.
    """
    tree = json.loads(text)
    cells = [_cell(one) for one in tree["cells"]]
    verdicts = [Verdict(**_known(one, "margin")) for one in tree["verdicts"]]
    return Table(**tree | {"cells": cells, "verdicts": verdicts})


def table_path(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """Where a table is stored."""
    return workdir / "tables" / f"{name}.json"


def read_tables(workdir: pathlib.Path) -> list[Table]:
    """All tables measured so far, ablations last, by name.

    Raises:
      ValueError: naming the file that is not a table.
    """
    found = []
    for path in table_path(workdir, "").parent.glob("*.json"):
        try:
            found.append(from_json(path.read_text()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path}: expected a table as it was written, found something else; delete it") from None
    return sorted(found, key=lambda table: (table.kind != MAIN, table.name))


def _cell(tree: Mapping) -> Cell:
    rows = {name: _row(one) for name, one in tree["rows"].items()}
    return Cell(**{**tree, "rows": rows, "blind": _spread(tree["blind"]), "full": _spread(tree["full"])})


def _row(tree: Mapping) -> Row:
    gains = {name: PairedDifference(**_known(one, "mean", "low", "high")) for name, one in tree["gains"].items()}
    values = {name: _spread(one) for name, one in tree["metrics"].items()}
    return Row(values, gains, Interval(**_known(tree["share"], "mean", "low", "high")), tree["settings"])


def _spread(tree: Mapping) -> SeedStatistics:
    tree = _known(tree, "mean", "spread")
    return SeedStatistics(
        tree["mean"], tree["spread"], [math.nan if value is None else value for value in tree["values"]]
    )


def _known(tree: Mapping, *numbers: str) -> dict:
    """The tree with NaN where one of these numbers is null."""
    return {**tree, **{name: math.nan for name in numbers if tree[name] is None}}
