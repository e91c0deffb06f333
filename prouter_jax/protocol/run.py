"""`reproduce`: measures tables, judges them against what was required, and writes them with the page of all."""

import math
import pathlib
import time
from collections.abc import Iterable, Sequence

from prouter_jax import files
from prouter_jax.protocol.definition import Definition, Requirement
from prouter_jax.protocol.markdown import to_markdown
from prouter_jax.protocol.page import to_html
from prouter_jax.protocol.stored import read_tables, table_path, to_json
from prouter_jax.protocol.table import Cell, Table, Verdict, build_cells, join_facts
from prouter_jax.protocol.units import Work, run_units
from prouter_jax.protocol.words import MET, NOT_MEASURED, finding_words, missed

REPORT = "report/report.html"
_PATIENCE = 1.0  # seconds between two looks at what other processes are at


def reproduce(
    definitions: Iterable[Definition], workdir: pathlib.Path, small: bool, until: float = math.inf
) -> list[str]:
    """Measures what is not yet measured; writes tables/NAME.json and .md of each table, and the page of all tables.

    What other processes are measuring into the same folder is left to them, and waited for at the end.

    Args:
      small: the tables are of the small size; a workdir is of one size.
      until: `time.monotonic()` from which on nothing is measured that is not there.

    Returns:
      One line for each unit that failed, for data that are missing, and for a table whose stored results are refused.

    Raises:
      ValueError: naming the file, if something else lies among the tables.
    """
    problems: dict[str, Iterable[str]] = {}
    waiting, failed = list(definitions), {}
    while waiting:
        for definition in list(waiting):
            name = definition.name
            try:
                work = run_units(definition, workdir, small, until, failed.get(name, {}))
                failed[name] = work.failures
                if work.busy:
                    continue
                table = build_table(definition, work, small)
            except ValueError as error:
                problems[name] = [f"table {name}: {error}"]
            else:
                problems[name] = work.failures.values()
                _write(table, workdir)
            waiting.remove(definition)
        if waiting:
            time.sleep(_PATIENCE)
    return list(dict.fromkeys(line for lines in problems.values() for line in lines))


def build_table(definition: Definition, work: Work, small: bool) -> Table:
    """The table of what its units measured.

    Raises:
      ValueError: naming the setting, if measurements contradict each other.
    """
    cells = build_cells(one for record in work.records for one in record["measurements"])
    verdicts = [_judge(asked, cells, complete=not work.failures) for asked in definition.requirements]
    title = f"{definition.title} (small variant)" if small else definition.title
    facts = join_facts(record["provenance"] for record in work.records)
    seconds = math.fsum(record["seconds"] for record in work.records)
    kind, caption = definition.kind, definition.caption
    return Table(definition.name, title, caption, kind, cells, verdicts, facts, seconds, list(work.failures))


def _judge(asked: Requirement, cells: Sequence[Cell], complete: bool) -> Verdict:
    """A number that is met by what was measured counts only if nothing is missing."""
    found = asked.check(cells, asked.metric)
    margin = found.margin
    if math.isnan(margin) or (margin >= 0 and not complete):
        return Verdict(asked.text, asked.aim, NOT_MEASURED, margin)
    return Verdict(asked.text, asked.aim, missed(-margin) if margin < 0 else MET, margin, finding_words(found))


def _write(table: Table, workdir: pathlib.Path) -> None:
    """Everything is built before the first file is written, but the page, which reads the others."""
    path, page = table_path(workdir, table.name), workdir / REPORT
    pages = {path: to_json(table), path.with_suffix(".md"): to_markdown(table)}
    for folder in (path.parent, page.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for place, text in pages.items():
        files.write_whole(place, text)
    files.write_whole(page, to_html(read_tables(workdir)))
