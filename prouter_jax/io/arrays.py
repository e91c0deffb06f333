"""Arrays as files, written whole."""

import os
from typing import BinaryIO

import numpy as np

from prouter_jax.io.files import open_whole


def write_array(path: str | os.PathLike, array: np.ndarray) -> None:
    """`files.write_whole` of an array, as .npy.

    Raises:
      OSError: with the file's name, if it cannot be written.
    """
    with open_whole(path) as file:
        np.save(_ByPython(file), array, allow_pickle=False)


class _ByPython:
    """Hides that a file is one of the system: into those NumPy writes by C, and does not hear of the last error."""

    def __init__(self, file: BinaryIO):
        self.write = file.write
