"""The results section of a README, written from stored tables alone."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence

from prouter_jax.protocol.selection import most_to_gain
from prouter_jax.protocol.stored import read_tables
from prouter_jax.protocol.table import Table, Verdict, join_facts
from prouter_jax.protocol.words import HOW_TO_READ, MET, duration, summary_table, useless_parts
from prouter_jax.report import markdown
from prouter_jax.report.section import write_section

_MOST = 16  # rows of a table


def write_results(document: str | os.PathLike, workdir: pathlib.Path) -> None:
    """Puts the results of WORKDIR/tables/*.json between the two markers of a Markdown document; the rest stays.

    Raises:
      ValueError: naming the file, if the markers are not there once and in order, or there is no sound table.
    """
    tables = read_tables(workdir)
    if not tables:
        raise ValueError(f"{workdir}/tables: expected tables, found none; measure them first")
    write_section(document, "results", results_section(tables))


def results_section(tables: Sequence[Table]) -> str:
    """All tables in short, what was not reached and what did not help, in Markdown."""
    parts = [_where_from(tables)]
    for table in tables:
        parts += _section(table)
    parts += ["### Not reached", _list(_not_reached(tables), "Every number asked for was reached.")]
    if any(useless := [_useless(table) for table in tables]):
        parts += ["### What did not help", "Parts of the router whose gain is no more than chance."]
        parts += [_list([line for lines in useless for line in lines], "")]
    return "\n\n".join(parts)


def _where_from(tables: Sequence[Table]) -> str:
    # what a table says of several commits or days is already joined
    said = ((name, part) for table in tables for name, value in table.facts.items() for part in value.split(", "))
    facts = join_facts({name: part} for name, part in said)
    from_where = "; ".join(f"{name} {value}" for name, value in facts.items())
    total = duration(sum(table.seconds for table in tables))
    return markdown.cell(f"{len(tables)} tables, {total} of computing ({from_where}). {HOW_TO_READ}")


def _section(table: Table) -> Iterable[str]:
    yield f"### {markdown.cell(table.title)}"
    yield markdown.cell(" ".join(filter(None, [table.caption, *_counts(table)])))
    shown = most_to_gain(table.cells, _MOST)
    if shown:
        yield markdown.table(*summary_table(dataclasses.replace(table, cells=shown)))
    if len(shown) < len(table.cells):
        yield (
            f"{len(shown)} of {len(table.cells)} rows, of the settings where most is to be gained; what is required is "
            f"required of all, which are in tables/{table.name}.md of the workdir."
        )


def _counts(table: Table) -> Iterable[str]:
    """`Required: 2 of 3 met.`"""
    for aim, name in ((False, "Required"), (True, "Aims")):
        asked = [one for one in table.verdicts if one.aim == aim]
        if asked:
            yield f"{name}: {sum(one.status == MET for one in asked)} of {len(asked)} met."
    if table.failed:
        yield f"Units without a result: {len(table.failed)}."


def _not_reached(tables: Sequence[Table]) -> list[str]:
    return [
        f"{table.title}, {'aim' if one.aim else 'required'}: {one.text}: {_outcome(one)}"
        for table in tables
        for one in table.verdicts
        if one.status != MET
    ]


def _outcome(verdict: Verdict) -> str:
    return f"{verdict.status}, found {verdict.found}" if verdict.found else verdict.status


def _useless(table: Table) -> list[str]:
    return [f"{table.title}, {setting}: {part}, {gain}" for setting, part, gain in useless_parts(table)]


def _list(lines: Sequence[str], otherwise: str) -> str:
    return "\n".join(f"- {markdown.cell(line)}" for line in lines) or otherwise
