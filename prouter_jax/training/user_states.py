"""States of users beside the checkpoints, so that scoring does not read every history again.

    workdir/users/states.npy      float32 [users, properties], rows as in the world of the workdir
    workdir/users/manifest.json   SHA-256 of the file, and of the parameters that the states belong to

The histories of a workdir and its parameters determine the states: where the folder is missing, damaged or of other
parameters, the states are computed anew.
"""

import hashlib
import pathlib

import jax
import numpy as np

from prouter_jax.io import files
from prouter_jax.io.arrays import write_array

USERS, _STATES = "users", "states.npy"


def save_user_states(workdir: pathlib.Path, params: dict, users: np.ndarray) -> None:
    """Writes the states of the users of a workdir's world under these parameters, in place of earlier ones.

    Args:
      users: float32 [users, properties].
    """
    folder = workdir / USERS
    folder.mkdir(parents=True, exist_ok=True)
    write_array(folder / _STATES, users)
    files.write_manifest(folder, {"parameters": _digest(params)})


def load_user_states(workdir: pathlib.Path, params: dict) -> np.ndarray | None:
    """The states that were saved with these parameters, [users, properties]; None where there are none."""
    folder = workdir / USERS
    try:
        if files.verify(folder)["parameters"] != _digest(params):
            return None
        with (folder / _STATES).open("rb") as file:
            return np.load(file, allow_pickle=False)
    except (ValueError, OSError, KeyError):
        return None


def _digest(params: dict) -> str:
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
