"""Rows of a feedback table that repeat another: exports overlap, and a person counts once."""

import numpy as np
from jaxtyping import Bool, Int

from prouter_jax.data.distinct import first_seen
from prouter_jax.data.tables.names import in_any_order
from prouter_jax.data.tables.table import Table, TextColumn
from prouter_jax.io.display import log_line


def without_repeats(table: Table, among: Bool[np.ndarray, " rows"] | None = None) -> Table:
    """The table without rows that repeat another; a line on stderr counts them.

    Args:
      among: the rows that can be repeats; default: all.
    """
    keep = ~repeated_rows(table)
    if among is not None:
        keep |= ~among
    if keep.all():
        return table
    log_line(f"table {table.name}: {np.count_nonzero(~keep):,} rows that repeat another are read once")
    return table.take(keep)


def repeated_rows(table: Table) -> Bool[np.ndarray, " rows"]:
    """Whether each row equals an earlier one in every column; the order of a list does not count."""
    number = np.zeros(table.num_rows, np.int64)
    codes = [_codes(column, table.num_rows) for column in table.texts.values()]
    for code in (*codes, *(first_seen(values)[0] for values in table.numbers.values())):
        number = first_seen(number * (int(code.max(initial=0)) + 2) + code + 1)[0].astype(np.int64)
    repeated = np.ones(table.num_rows, bool)
    repeated[first_seen(number)[1]] = False
    return repeated


def _codes(column: TextColumn, num_rows: int) -> Int[np.ndarray, " rows"]:
    """A number for the cell of each row, the same for equal cells."""
    codes = column.codes.astype(np.int64)
    if column.joined:
        keys = [*map(in_any_order, column.values.to_pylist()), ""]
        codes = first_seen(np.array(keys, object))[0].astype(np.int64)[codes]
    if np.array_equal(column.row, np.arange(num_rows)):
        return codes
    cells: list[list[int]] = [[] for _ in range(num_rows)]
    for row, code in zip(column.row.tolist(), codes.tolist(), strict=True):
        cells[row].append(code)
    return first_seen(np.array([str(sorted(cell)) for cell in cells], object))[0].astype(np.int64)
