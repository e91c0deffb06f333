"""Which cells are shown where there are too many: those of the settings where most is to be gained."""

import math
from collections.abc import Sequence

from prouter_jax.protocol.table import Cell


def by_room(cells: Sequence[Cell]) -> list[str]:
    """Settings by how far the fully trained score is from the blind one, unknown last, else in their order."""
    room = {cell.setting: 0.0 for cell in cells}
    for cell in cells:
        gap = abs(cell.full.mean - cell.blind.mean)
        room[cell.setting] = max(room[cell.setting], gap if math.isfinite(gap) else 0.0)
    return sorted(room, key=lambda setting: -room[setting])


def most_to_gain(cells: Sequence[Cell], most: int) -> list[Cell]:
    """At most so many cells, in their order: whole settings, those with most to gain first, one at least."""
    shown = []
    for setting in by_room(cells):
        found = [cell for cell in cells if cell.setting == setting]
        if shown and len(shown) + len(found) > most:
            break
        shown += found
    return [cell for cell in cells if cell in shown]
