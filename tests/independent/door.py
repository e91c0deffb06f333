"""`Door`: a reader of files that is compared with a simple one."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Door:
    """A reader of files.

    Attributes:
      records: of the sound file.
      write: (folder, records) -> the file.
      project: file -> what the project finds, as a dictionary; a ValueError is a refusal.
      simple: file -> what a simple reader finds; `cells.Refused` is a refusal.
    """

    records: list[dict]
    write: Callable
    project: Callable
    simple: Callable
