"""CSV whose separator may be a semicolon or a tab: spreadsheets write semicolons where commas are in numbers."""

import csv
import itertools
from collections.abc import Iterable

_OTHERS = ";\t"


def csv_reader(lines: Iterable[str], strict: bool = True):
    """A `csv.reader` of lines, the header first. Without a comma in it, the separator is a semicolon or a tab.

    Args:
      strict: as of `csv.reader`, whether a wrong quote is an error.
    """
    rest = iter(lines)
    header = next(rest, None)
    if header is None:
        return csv.reader(())
    other = max(_OTHERS, key=header.count)
    mark = other if other in header and "," not in header else ","
    return csv.reader(itertools.chain([header], rest), delimiter=mark, strict=strict)
