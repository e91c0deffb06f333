"""The mark of a folder in which a conversion has begun to write tables, and has not ended.

A kill or a full disk leaves it. Then the folder is not read, and the next conversion may replace its tables.
"""

import pathlib

from prouter_jax.io import files

UNFINISHED = ".unfinished"
"""File name of the mark."""


def mark_unfinished(folder: pathlib.Path) -> None:
    """Marks a folder before the first table is written."""
    files.write_whole(folder / UNFINISHED, b"")


def mark_finished(folder: pathlib.Path) -> None:
    """Removes the mark after the last file is written."""
    (folder / UNFINISHED).unlink(missing_ok=True)


def is_unfinished(folder: pathlib.Path) -> bool:
    """Whether the tables of a folder are those of a conversion that did not end."""
    return (folder / UNFINISHED).exists()
